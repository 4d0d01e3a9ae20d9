"""Softmax and its kin see differences along an axis alone: what is added to all of them drops."""

from __future__ import annotations

from bnfold.folding.affine import Affine
from bnfold.folding.answers import Absorbed, Answers, Blocked, Facts
from bnfold.folding.reasons import Reason


def push_softmax(node: Facts, m: Affine, k: int) -> Answers:
    """softmax(x + t) = softmax(x) for a t that is constant along the axis; so for LogSoftmax."""
    if not m.is_shift_only or any(axis in m.axes for axis in _axes(node, m.rank)):
        return Blocked(Reason.NONLINEAR_NEIGHBOURS)
    return Absorbed()


def _axes(node: Facts, rank: int) -> range:
    """What is normalised together: one axis, or all from it on before opset 13."""
    if node.version >= 13:
        axis = int(node.attributes.get("axis", -1)) % rank
        return range(axis, axis + 1)
    return range(int(node.attributes.get("axis", 1)) % rank, rank)
