"""Concat, Max, Min and Where: every branch must take its part of the map, or none does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from bnfold.folding.affine import Affine, joined
from bnfold.folding.answers import (
    Absorbed,
    Answer,
    Answers,
    Blocked,
    Change,
    Facts,
    Passes,
    Put,
    trimmed,
)
from bnfold.folding.reasons import Reason
from bnfold.folding.rules.broadcast import on_operand


def concat_axis(node: Facts, rank: int) -> int:
    """The axis of a Concat, counted from the front."""
    return int(node.attributes["axis"]) % rank


def pull_concat(node: Facts, m: Affine) -> Answers:
    """Each branch takes its slice along the axis, or the whole map where it is constant there."""
    axis = concat_axis(node, m.rank)
    to: dict[int, Affine] = {}
    changes: dict[int, Change] = {}
    start = 0
    for i, operand in enumerate(node.inputs):
        part = m
        if axis in m.axes:
            length = operand.dim(axis)
            if not isinstance(length, int):
                return Blocked(Reason.SHAPE_UNKNOWN)
            part = m.take(axis, range(start, start + length)) if length else m
            start += length
        if operand.constant is None:
            to[i] = part
        elif any(n != 1 and n != have for n, have in _pairs(part, operand.constant.shape)):
            return Blocked(Reason.AXIS_MISMATCH)
        else:
            changes[i] = Put(part.scale * operand.constant.value() + part.shift)
    if axis in m.axes and start != m.extent(axis):
        return Blocked(Reason.AXIS_MISMATCH)
    return Passes(to, changes) if to else Absorbed(changes)


def _pairs(m: Affine, shape: tuple[int, ...]) -> list[tuple[int, int]]:
    return [(m.extent(axis), length) for axis, length in enumerate(shape)]


def push_concat(node: Facts, maps: Mapping[int, Affine]) -> Answers:
    """Slices in front become one map behind; what was not mapped stays under the identity."""
    rank = next(iter(maps.values())).rank
    axis = concat_axis(node, rank)
    parts = [maps.get(i, Affine.identity(rank)) for i in range(len(node.inputs))]
    if all(part == parts[0] for part in parts) and axis not in parts[0].axes:
        return Passes({0: parts[0]})
    lengths = [operand.dim(axis) for operand in node.inputs]
    known = [n for n in lengths if isinstance(n, int)]
    if len(known) < len(lengths):
        return Blocked(Reason.SHAPE_UNKNOWN)
    whole = joined(parts, known, axis)
    return Blocked(Reason.SHAPE_UNKNOWN) if whole is None else Passes({0: whole})


def pull_max(node: Facts, m: Affine) -> Answers:
    """S max(a, b) + t = max(sa + t, sb + t) for s >= 0, and min(sa + t, sb + t) for s <= 0."""
    if not (m.nonnegative or m.nonpositive):
        return Blocked(Reason.NEGATIVE_SCALE)
    return turned(_to_all(node, m, range(len(node.inputs))), node, m)


_OPPOSITE = {"Max": "Min", "Min": "Max", "ReduceMax": "ReduceMin", "ReduceMin": "ReduceMax"}


def turned(answer: Answer, node: Facts, m: Affine) -> Answer:
    """The same answer of the opposite operator where the scale is negative."""
    if m.nonnegative or isinstance(answer, Blocked):
        return answer
    return replace(answer, becomes=_OPPOSITE[node.op_type])


def pull_where(node: Facts, m: Affine) -> Answers:
    """Either value takes the map; the mask stays."""
    return _to_all(node, m, (1, 2))


def _to_all(node: Facts, m: Affine, slots: range | tuple[int, ...]) -> Answer:
    to: dict[int, Affine] = {}
    changes: dict[int, Change] = {}
    for i in slots:
        operand = node.input(i)
        if operand.constant is not None:
            value = m.scale * operand.constant.value() + m.shift
            changes[i] = Put(trimmed(value, len(operand.constant.shape)))
            continue
        others = tuple(o for j, o in enumerate(node.inputs) if j != i)
        part = on_operand(m, operand, others)
        if isinstance(part, Reason):
            return Blocked(part)
        to[i] = part
    return Passes(to, changes) if to else Absorbed(changes)


def push_max(node: Facts, maps: Mapping[int, Affine]) -> Answers:
    """All computed branches carry one map with s >= 0 or s <= 0; a constant c: (c - t)/s."""
    m = next(iter(maps.values()))
    if not (m.nonnegative or m.nonpositive):
        return Blocked(Reason.NEGATIVE_SCALE)
    return turned(_from_all(node, maps, tuple(range(len(node.inputs)))), node, m)


def push_where(node: Facts, maps: Mapping[int, Affine]) -> Answers:
    """Both values carry one map; a constant c becomes (c - t)/s."""
    if 0 in maps:
        return Blocked(Reason.NONLINEAR_NEIGHBOURS)
    return _from_all(node, maps, (1, 2))


def _from_all(node: Facts, maps: Mapping[int, Affine], slots: tuple[int, ...]) -> Answer:
    if any(operand.rank is None for operand in node.inputs):
        return Blocked(Reason.SHAPE_UNKNOWN)
    rank = max(operand.rank or 0 for operand in node.inputs)
    lifted = {i: m.lifted(rank) for i, m in maps.items()}
    m = next(iter(lifted.values()))
    changes: dict[int, Change] = {}
    for i in slots:
        constant = node.input(i).constant
        if constant is None:
            if i not in lifted or lifted[i] != m:
                return Blocked(Reason.NONLINEAR_NEIGHBOURS)
        elif not m.invertible:
            return Blocked(Reason.NONLINEAR_NEIGHBOURS)
        else:
            value = (constant.value() - m.shift) / m.scale
            changes[i] = Put(trimmed(np.asarray(value), len(constant.shape)))
    return Passes({0: m}, changes)
