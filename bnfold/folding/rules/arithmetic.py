"""Mul, Div and Neg: a constant factor merges with the scale, a computed gate lets one through."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bnfold.folding.affine import Affine, Array
from bnfold.folding.answers import (
    Absorbed,
    Answer,
    Answers,
    Blocked,
    Facts,
    Operand,
    Passes,
    Put,
    trimmed,
)
from bnfold.folding.reasons import Reason
from bnfold.folding.rules.broadcast import on_operand


def pull_neg(node: Facts, m: Affine) -> Answers:
    """s(-x) + t = -(sx - t)."""
    return Passes({0: Affine.of(m.scale, -m.shift)})


def push_neg(node: Facts, m: Affine, k: int) -> Answers:
    """-(sx + t) = s(-x) - t."""
    return Passes({0: Affine.of(m.scale, -m.shift)})


def pull_mul(node: Facts, m: Affine) -> Answers:
    """s(kx) + t = (sk)(x + t/(sk)) = k(sx + t/k); of two computed factors one takes s, if t = 0."""
    for i in (0, 1):
        if node.input(i).constant is not None and node.input(1 - i).constant is None:
            return _pull_factor(node, m, x=1 - i, k=i, factor=_value(node.input(i)))
    return _pull_gate(node, m, slots=(0, 1))


def pull_div(node: Facts, m: Affine) -> Answers:
    """x/k is a product with 1/k; k/x and x/y carry a pure scale in their numerator."""
    k = node.input(1)
    if k.constant is not None and node.input(0).constant is None:
        value = _value(k)
        if not (value != 0).all():
            return Blocked(Reason.PARAMETER_INVALID)
        return _pull_factor(node, m, x=0, k=1, factor=1.0 / value)
    if node.input(0).constant is not None:
        if not m.is_scale_only:
            return Blocked(Reason.NONLINEAR_NEIGHBOURS)
        return Absorbed({0: Put(_like(m.scale * _value(node.input(0)), node.input(0)))})
    return _pull_gate(node, m, slots=(0,))


def _pull_factor(node: Facts, m: Affine, x: int, k: int, factor: Array) -> Answers:
    """The constant takes s if it can give t back, else the map goes on with t divided by it."""

    def written(product: Array) -> Put:
        value = product if node.op_type == "Mul" else 1.0 / product
        return Put(_like(value, node.input(k)))

    scaled = m.scale * factor
    merges = node.op_type == "Mul" or bool((scaled != 0).all())
    if m.is_scale_only and merges:
        return Absorbed({k: written(scaled)})
    answers: list[Answer] = []
    for scale, divisor, changes in (
        (np.ones((1,) * m.rank), scaled, {k: written(scaled)} if merges else None),
        (m.scale, factor, {}),
    ):
        shift = _divided(m.shift, divisor)
        if changes is None or shift is None:
            continue
        part = on_operand(_affine(scale, shift, m.rank), node.input(x), (node.input(k),))
        answers.append(Blocked(part) if isinstance(part, Reason) else Passes({x: part}, changes))
    usable = tuple(a for a in answers if not isinstance(a, Blocked))
    return usable or (answers[0] if answers else Blocked(Reason.NONLINEAR_NEIGHBOURS))


def _divided(shift: Array, divisor: Array) -> Array | None:
    """Shift / divisor with 0/0 = 0, or None where a nonzero shift meets a zero."""
    zero = divisor == 0
    if (zero & (shift != 0)).any():
        return None
    return np.where(zero, 0.0, shift / np.where(zero, 1.0, divisor))


def _affine(scale: Array, shift: Array, rank: int) -> Affine:
    def full(values: Array) -> Array:
        return values.reshape((1,) * (rank - values.ndim) + values.shape)

    return Affine.of(full(scale), full(shift))


def _pull_gate(node: Facts, m: Affine, slots: tuple[int, ...]) -> Answers:
    """s(xy) = (sx)y: one of two computed factors takes the scale, the other is a gate."""
    if not m.is_scale_only or node.input(0).name == node.input(1).name:
        return Blocked(Reason.NONLINEAR_NEIGHBOURS)
    parts = [(i, on_operand(m, node.input(i), (node.input(1 - i),))) for i in slots]
    usable = tuple(Passes({i: part}) for i, part in parts if isinstance(part, Affine))
    failed = [part for _, part in parts if isinstance(part, Reason)]
    return usable or Blocked(failed[0])


def push_mul(node: Facts, maps: Mapping[int, Affine]) -> Answers:
    """k(sx + t) = (sk)x + kt; a product of computed factors carries pure scales."""
    if len(maps) == 1:
        ((x, m),) = maps.items()
        k = node.input(1 - x)
        if k.constant is not None:
            return _push_factor(node, m, x, _value(k))
    return _push_gate(node, maps)


def push_div(node: Facts, maps: Mapping[int, Affine]) -> Answers:
    """(sx + t)/k; k/(sx) = (k/s)/x; x/(sy) = (1/s)(x/y)."""
    if set(maps) == {0} and node.input(1).constant is not None:
        value = _value(node.input(1))
        if not (value != 0).all():
            return Blocked(Reason.PARAMETER_INVALID)
        return _push_factor(node, maps[0], 0, 1.0 / value)
    if 1 in maps and not maps[1].invertible:
        return Blocked(Reason.NONLINEAR_NEIGHBOURS)
    if set(maps) == {1} and node.input(0).constant is not None:
        if not maps[1].is_scale_only:
            return Blocked(Reason.NONLINEAR_NEIGHBOURS)
        return Absorbed({0: Put(_like(_value(node.input(0)) / maps[1].scale, node.input(0)))})
    return _push_gate(node, maps)


def _push_factor(node: Facts, m: Affine, x: int, factor: Array) -> Answers:
    rank = max(m.rank, factor.ndim)
    m = m.lifted(rank)
    scaled = m.scale * factor
    merges = node.op_type == "Mul" or bool((scaled != 0).all())
    shift = np.asarray(m.shift * factor)
    whole = Passes({0: _affine(m.scale, shift, rank)})
    if not merges:
        return whole
    put = Put(_like(scaled if node.op_type == "Mul" else 1.0 / scaled, node.input(1 - x)))
    if m.is_scale_only:
        return Absorbed({1 - x: put})
    return Passes({0: _affine(np.ones((1,) * rank), shift, rank)}, {1 - x: put}), whole


def _push_gate(node: Facts, maps: Mapping[int, Affine]) -> Answers:
    ranks = [operand.rank for operand in node.inputs]
    if not all(m.is_scale_only for m in maps.values()):
        return Blocked(Reason.NONLINEAR_NEIGHBOURS)
    if None in ranks:
        return Blocked(Reason.SHAPE_UNKNOWN)
    rank = max(r for r in ranks if r is not None)
    scale: Array = np.ones((1,) * rank)
    for i, m in maps.items():
        own = m.lifted(rank).scale
        scale = scale / own if (i == 1 and node.op_type == "Div") else scale * own
    return Passes({0: Affine.of(scale, np.zeros((1,) * rank))})


def _value(operand: Operand) -> Array:
    assert operand.constant is not None
    return operand.constant.value()


def _like(values: Array, operand: Operand) -> Array:
    """Written with as few leading axes as the constant had."""
    return trimmed(np.asarray(values), operand.rank or 0)
