"""The fold of a whole model: its main graph, the bodies in it, and its local functions."""

from __future__ import annotations

import onnx

from bnfold.folding.declared import linear_operators
from bnfold.folding.engine import Allowed, everywhere
from bnfold.folding.functions import fold_inlined, scope_of
from bnfold.folding.place import Between, Place, nothing_between
from bnfold.folding.reasons import Reason
from bnfold.folding.report import FoldReport, Found, Options, Remaining
from bnfold.folding.scopes import all_names, fold_scopes
from bnfold.folding.spot import batch_norms, counts
from bnfold.onnxfile import IN_MEMORY, DataFiles


def fold_in_place(
    model: onnx.ModelProto,
    options: Options,
    allowed: Allowed = everywhere,
    between: Between = nothing_between,
    data: DataFiles = IN_MEMORY,
) -> FoldReport:
    """Fold a model that the caller owns; where nothing folds, it stays as it was.

    `data` holds the initializers that are not in memory.
    """
    before = counts(model)
    variable, linear = overridable(model, options), linear_operators(options)

    def fold(one: onnx.ModelProto) -> Found:
        names = set(all_names(one.graph))
        place = Place("main", variable, names, options, between=between, linear=linear, data=data)
        return fold_scopes(one, place, allowed)

    why: dict[str, Remaining] = {}
    found = fold_inlined(model, fold, why) if model.functions else None
    if found is None:
        found = fold(model)
    kept = (name for f in model.functions for name in batch_norms(f, scope_of(f)))
    remaining = (*found.remaining, *(why.get(name) or _uncalled(name) for name in kept))
    after = counts(model)
    return FoldReport(before, after, found.folded, remaining, found.merged, found.apart)


def overridable(model: onnx.ModelProto, options: Options) -> frozenset[str]:
    """Initializers that callers may feed: also inputs, from IR 4 on, unless frozen."""
    if model.ir_version < 4 or options.freeze_inputs:
        return frozenset()
    return frozenset(i.name for i in model.graph.input)


def _uncalled(name: str) -> Remaining:
    """Of a function that nothing calls, or that is written for another opset than the model."""
    reason = Reason.NOT_YET
    return Remaining(name, "batchnorm", reason.code, reason.sentence, None, reason.unblock)
