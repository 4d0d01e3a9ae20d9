"""Folding and merging in turn, until nothing moves any more.

A merge makes room for a fold (the BatchNorm behind a merged sum), and a fold for a merge (the
BatchNorm between two products): so they alternate on one index, and what is written is rounded
once.
"""

from __future__ import annotations

from functools import partial

import onnx

from bnfold.folding.engine import Allowed, everywhere
from bnfold.folding.model import fold_in_place
from bnfold.folding.report import FoldReport, Options
from bnfold.onnxfile import IN_MEMORY, DataFiles


def folded_in_place(
    model: onnx.ModelProto,
    options: Options,
    allowed: Allowed = everywhere,
    data: DataFiles = IN_MEMORY,
) -> FoldReport:
    """Fold a model that the caller owns, and merge where the options say so.

    A merge that takes in a map that is not `allowed` is not made; `data` holds the initializers
    that are not in memory.
    """
    if not options.reparam:
        return fold_in_place(model, options, allowed, data=data)
    from bnfold.merging.sweep import swept  # a plain fold does without the 20 ms of its import

    return fold_in_place(model, options, allowed, partial(swept, allowed), data)
