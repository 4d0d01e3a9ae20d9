"""TopK, ArgMax, ArgMin: a map with one scale sign along the axis keeps the order, or turns it."""

from __future__ import annotations

from bnfold.folding.affine import Affine
from bnfold.folding.answers import Absorbed, Answers, Blocked, Facts, Passes
from bnfold.folding.reasons import Reason

_OPPOSITE = {"ArgMax": "ArgMin", "ArgMin": "ArgMax"}


def _axis(node: Facts, rank: int, default: int) -> int:
    return int(node.attributes.get("axis", default)) % rank


def _disorders(m: Affine, axis: int) -> Blocked | None:
    """Why the order along an axis would not survive: ties that were none, or both signs."""
    if axis in m.axes:
        return Blocked(Reason.AXIS_MISMATCH)
    one_sign = m.invertible and (m.nonnegative or m.nonpositive)
    return None if one_sign else Blocked(Reason.NEGATIVE_SCALE)


def pull_top_k(node: Facts, m: Affine) -> Answers:
    """The values carry the map; the order is turned where s < 0."""
    blocked = _disorders(m, _axis(node, m.rank, -1))
    if blocked is not None:
        return blocked
    if m.nonnegative:
        return Passes({0: m})
    if node.version < 11:
        return Blocked(Reason.NEGATIVE_SCALE)
    return Passes({0: m}, {}, {"largest": 1 - int(node.attributes.get("largest", 1))})


def push_top_k(node: Facts, m: Affine, k: int) -> Answers:
    """As pull; the indices stay."""
    return pull_top_k(node, m) if k == 0 else Blocked(Reason.NONLINEAR_NEIGHBOURS)


def push_arg(node: Facts, m: Affine, k: int) -> Answers:
    """Where the largest stands does not change for s > 0; for s < 0 the smallest stands there."""
    blocked = _disorders(m, _axis(node, m.rank, 0))
    if blocked is not None:
        return blocked
    return Absorbed(becomes=None if m.nonnegative else _OPPOSITE[node.op_type])
