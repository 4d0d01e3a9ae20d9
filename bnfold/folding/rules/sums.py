"""Add, Sub, Sum and Mean: the scale goes to every branch, the shift to one that can take it.

With out = sum of w_i x_i (w = 1, -1 or 1/n):  s out + t = sum of w_i (s x_i + t_i), where the
t_i are free as long as the sum of w_i t_i is t. A constant branch absorbs: c' = s c + t_i.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bnfold.folding.affine import Affine, Array
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

Weights = Sequence[float]


def pull_add(node: Facts, m: Affine) -> Answers:
    """s(a + b) + t = (sa + t) + sb."""
    return _pull(node, m, [1.0] * len(node.inputs))


def pull_sub(node: Facts, m: Affine) -> Answers:
    """s(a - b) + t = (sa + t) - sb = sa - (sb - t)."""
    return _pull(node, m, [1.0, -1.0])


def pull_mean(node: Facts, m: Affine) -> Answers:
    """S mean(x) + t = mean of the scaled ones, one of them shifted by n t."""
    return _pull(node, m, [1.0 / len(node.inputs)] * len(node.inputs))


def _pull(node: Facts, m: Affine, weights: Weights) -> Answers:
    net = _net_weights(node, weights)
    constant = [i for i, operand in enumerate(node.inputs) if operand.constant is not None]
    if m.is_scale_only:
        takers: Sequence[str] = [""]
    elif constant:
        takers = [node.inputs[constant[0]].name]
    else:
        takers = [name for name, weight in net.items() if weight != 0]
    answers = [_with_shift_in(taker, node, m, net) for taker in takers]
    usable = tuple(a for a in answers if not isinstance(a, Blocked))
    return usable or (answers[0] if answers else Blocked(Reason.NONLINEAR_NEIGHBOURS))


def _net_weights(node: Facts, weights: Weights) -> dict[str, float]:
    """A branch's total weight: x + x reads one tensor twice, x - x not at all."""
    net: dict[str, float] = {}
    for operand, weight in zip(node.inputs, weights, strict=True):
        net[operand.name] = net.get(operand.name, 0.0) + weight
    return net


def _with_shift_in(taker: str, node: Facts, m: Affine, net: Mapping[str, float]) -> Answer:
    to: dict[int, Affine] = {}
    changes: dict[int, Change] = {}
    for i, operand in enumerate(node.inputs):
        wanted = m.scale_part()
        if operand.name == taker:
            wanted = Affine.of(m.scale, m.shift / net[taker])
        if operand.constant is not None:
            value = wanted.scale * operand.constant.value() + wanted.shift
            changes[i] = Put(trimmed(value, len(operand.constant.shape)))
            continue
        others = tuple(o for j, o in enumerate(node.inputs) if j != i)
        part = on_operand(wanted, operand, others)
        if isinstance(part, Reason):
            return Blocked(part)
        to[i] = part
    return Passes(to, changes) if to else Absorbed(changes)


def push_add(node: Facts, maps: Mapping[int, Affine]) -> Answers:
    """(sa + t) + c = s(a + c') with c' = (c + t)/s for a constant c."""
    return _push(node, maps, [1.0] * len(node.inputs))


def push_sub(node: Facts, maps: Mapping[int, Affine]) -> Answers:
    """The same with the second operand's sign turned."""
    return _push(node, maps, [1.0, -1.0])


def push_mean(node: Facts, maps: Mapping[int, Affine]) -> Answers:
    """The same with every operand weighing 1/n."""
    return _push(node, maps, [1.0 / len(node.inputs)] * len(node.inputs))


def _push(node: Facts, maps: Mapping[int, Affine], weights: Weights) -> Answers:
    """Every computed branch must carry one and the same scale; the shifts add up."""
    rank = max((o.rank if o.rank is not None else -1) for o in node.inputs)
    if rank < 0 or any(o.rank is None for o in node.inputs):
        return Blocked(Reason.SHAPE_UNKNOWN)
    lifted = {i: m.lifted(rank) for i, m in maps.items()}
    scale = next(iter(lifted.values())).scale
    shift: Array = np.zeros((1,) * rank)
    constant = None
    for i, (operand, weight) in enumerate(zip(node.inputs, weights, strict=True)):
        if operand.constant is not None:
            constant = i
            continue
        mapped = lifted.get(i, Affine.identity(rank))
        if not np.array_equal(mapped.scale, scale):
            return Blocked(Reason.NONLINEAR_NEIGHBOURS)
        shift = shift + weight * mapped.shift
    onward = Affine.of(scale, shift)
    if constant is None:
        return Passes({0: onward})
    return _through_constants(node, onward, weights, constant)


def _through_constants(node: Facts, m: Affine, weights: Weights, taker: int) -> Answers:
    """Out = s a + t + sum of w c: one constant swallows t, all are divided by s.

    Where s = 0 the constant becomes 0 and all of t + w c goes on as the shift.
    """
    dead = m.scale == 0
    divisor = np.where(dead, 1.0, m.scale)
    changes: dict[int, Change] = {}
    leftover: Array = np.zeros((1,) * m.rank)
    for i, (operand, weight) in enumerate(zip(node.inputs, weights, strict=True)):
        if operand.constant is None:
            continue
        value = operand.constant.value()
        total = value + m.shift / weight if i == taker else value
        if i == taker and not _has_axes(operand.constant.shape, m):
            return Blocked(Reason.AXIS_MISMATCH)
        rank = len(operand.constant.shape)
        changes[i] = Put(trimmed(np.where(dead, 0.0, total / divisor), rank))
        leftover = leftover + np.where(dead, weight * total, 0.0)
    onward = Affine.of(m.scale, leftover.reshape((1,) * (m.rank - leftover.ndim) + leftover.shape))
    return Absorbed(changes) if onward.is_identity else Passes({0: onward}, changes)


def _has_axes(shape: tuple[int, ...], m: Affine) -> bool:
    """Whether a constant has the map's axes behind the channels: it shall not grow to a plane."""
    return all(axis - m.rank >= -len(shape) and shape[axis - m.rank] > 1 for axis in m.axes[1:])
