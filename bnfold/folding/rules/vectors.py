"""MatMul with a constant vector: x w sums over the last axis of x, w x over the last but one."""

from __future__ import annotations

import numpy as np

from bnfold.folding.affine import Affine
from bnfold.folding.answers import (
    Absorbed,
    Answer,
    Answers,
    Blocked,
    Change,
    Facts,
    Operand,
    Passes,
    Scale,
)
from bnfold.folding.reasons import Reason

_BIASED = 3  # the rank from which a product may get an Add for the bias that it never had


def _parts(node: Facts) -> tuple[int, Operand, int] | None:
    """The vector's slot, the other operand, and the axis that is summed; None for two vectors."""
    a, b = node.input(0), node.input(1)
    if a.rank == b.rank:
        return None
    slot = 0 if a.rank == 1 else 1
    other = node.input(1 - slot)
    return slot, other, (other.rank or 0) - (1 if slot == 1 else 2)


def pull(node: Facts, m: Affine) -> Answers:
    """s(xw) + t = x(sw) + t for one s; along the axes of x, x carries it. t is an Add behind."""
    found = _parts(node)
    if found is None or node.input(found[0]).constant is None:
        return Blocked(Reason.AXIS_MISMATCH)
    slot, other, summed = found
    bias = None if m.is_scale_only else m.shift
    if bias is not None and m.rank < _BIASED:
        return Blocked(Reason.WOULD_COST_MORE)
    answers: list[Answer] = []
    if m.scale.size == 1:
        answers.append(Absorbed({slot: Scale(m.scale.reshape(1))}, bias=bias))
    part = m.scale_part().with_axes([summed])
    if other.constant is None and all(other.dim(a) == part.extent(a) for a in part.axes):
        answers.append(Passes({1 - slot: part}, bias=bias))
    return tuple(answers) or Blocked(Reason.AXIS_MISMATCH)


def push(node: Facts, m: Affine, k: int) -> Answers:
    """(sx + t)w: what lies along the summed axis goes into w, its answer tw is one number.

    What is constant there goes on: s(xw) + t sum(w).
    """
    found = _parts(node)
    vector = None if found is None or found[0] == k else node.input(found[0]).constant
    if found is None or vector is None:
        return Blocked(Reason.AXIS_MISMATCH)
    slot, _, summed = found
    if summed not in m.axes:
        onward = m.without_axes([summed])
        return Passes({0: Affine.of(onward.scale, onward.shift * vector.value().sum())})
    if m.axes != (summed,) or m.extent(summed) != vector.shape[0]:
        return Blocked(Reason.AXIS_MISMATCH)
    changes: dict[int, Change] = {}
    if not m.is_shift_only:
        changes[slot] = Scale(m.scale.reshape(-1))
    if m.is_scale_only:
        return Absorbed(changes)
    total = (m.shift.reshape(-1) * vector.value()).sum().reshape((1,) * (m.rank - 1))
    onward = Affine.of(np.ones((1,) * (m.rank - 1)), total)
    further = Passes({0: onward}, changes)
    return (further, Absorbed(changes, bias=total)) if total.ndim >= _BIASED else further
