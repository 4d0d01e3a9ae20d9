"""Operators that the user declares linear in each channel: f(s x) = s f(x), s along axis 1.

What such an operator makes of a shift is not declared, so only a scale crosses.
"""

from __future__ import annotations

from bnfold.folding.affine import Affine
from bnfold.folding.answers import Answers, Blocked, Facts, Passes
from bnfold.folding.reasons import Reason


def cross(node: Facts, m: Affine) -> Answers:
    """Either way the same: the first input, the only output, of one rank."""
    if not m.is_scale_only:
        return Blocked(Reason.OPERATOR_UNKNOWN)
    if any(axis != 1 for axis in m.axes):
        return Blocked(Reason.AXIS_MISMATCH)
    ranks = {node.input(0).rank, node.outputs[0].rank} - {None}
    if len(node.outputs) != 1 or ranks != {m.rank}:
        return Blocked(Reason.SHAPE_UNKNOWN)
    return Passes({0: m})
