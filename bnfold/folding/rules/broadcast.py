"""Which operand of a broadcasting operator can carry a map of the result."""

from __future__ import annotations

from math import prod

from bnfold.folding.affine import Affine, Array
from bnfold.folding.answers import Operand
from bnfold.folding.reasons import Reason
from bnfold.graph.shapes import Dim


def dim_from_right(operand: Operand, axis: int, rank: int) -> Dim:
    """The operand's extent where the result has `axis`; 1 where it has no such axis."""
    if operand.shape is None:
        return None
    own = axis - (rank - len(operand.shape))
    return 1 if own < 0 else operand.shape[own]


def on_operand(m: Affine, operand: Operand, others: tuple[Operand, ...]) -> Affine | Reason:
    """The map on one operand that makes m on the result, or why it cannot have one.

    It must have every channel by itself: one that is stretched along an axis by the others holds
    a single value there, which cannot take two factors.
    """
    if operand.rank is None or operand.rank > m.rank:
        return Reason.SHAPE_UNKNOWN
    for axis in m.axes:
        own = dim_from_right(operand, axis, m.rank)
        if own == m.extent(axis):
            continue
        if isinstance(own, int):
            return Reason.AXIS_MISMATCH
        # of unknown extent: the result's is its own only if no other operand could stretch it
        if any(dim_from_right(other, axis, m.rank) != 1 for other in others):
            return Reason.SHAPE_UNKNOWN
    return m.without_axes(range(m.rank - operand.rank))


def fits(values: Array, operand: Operand) -> bool:
    """Whether a constant broadcasts into the operand without enlarging it."""
    if operand.rank is None or values.ndim > operand.rank:
        return False
    offset = operand.rank - values.ndim
    pairs = enumerate(values.shape)
    return all(length == 1 or operand.dim(offset + i) == length for i, length in pairs)


def known_size(dims: tuple[Dim, ...]) -> int | None:
    """The product of extents, or None where one is unknown."""
    numbers = [d for d in dims if isinstance(d, int)]
    return prod(numbers) if len(numbers) == len(dims) else None
