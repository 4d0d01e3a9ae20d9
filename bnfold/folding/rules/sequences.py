"""SplitToSequence and SequenceAt: a map on a sequence is that on the tensor it was cut from.

torch's raw exports write a split so: which piece an element of the sequence is, `cut` tells.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bnfold.folding.affine import Affine, scattered
from bnfold.folding.answers import Answer, Answers, Blocked, Facts, Passes
from bnfold.folding.reasons import Reason


class Cut(NamedTuple):
    """The piece of a tensor that stands at a place of a sequence."""

    axis: int
    start: int
    stop: int
    length: int  # of the whole


def pull_at(node: Facts, m: Affine) -> Answers:
    """As of a Slice: the other pieces stay as they are, or the whole axis changes."""
    cut = node.attributes["cut"]
    if cut is None:
        return Blocked(Reason.SHAPE_UNKNOWN)
    answers: list[Answer] = [] if cut.axis in m.axes else [Passes({0: m})]
    if m.extent(cut.axis) not in (1, cut.stop - cut.start):
        return Blocked(Reason.AXIS_MISMATCH)
    spread = scattered(m, cut.axis, np.arange(cut.start, cut.stop), cut.length)
    return (*answers, Passes({0: spread})) if spread is not None else tuple(answers)


def push_at(node: Facts, m: Affine, k: int) -> Answers:
    """The piece carries its slice of the map."""
    cut = node.attributes["cut"]
    if k != 0 or cut is None:
        return Blocked(Reason.SHAPE_UNKNOWN)
    if cut.axis not in m.axes:
        return Passes({0: m})
    return Passes({0: m.take(cut.axis, range(cut.start, cut.stop))})


def pull_split(node: Facts, m: Affine) -> Answers:
    """The sequence holds the tensor."""
    return Passes({0: m})


def push_split(node: Facts, m: Affine, k: int) -> Answers:
    """The sequence holds the tensor."""
    return Passes({0: m}) if k == 0 else Blocked(Reason.NONLINEAR_NEIGHBOURS)
