"""MatMul and Gemm: s(xW) + t = x(Ws) + t along W's columns, (sx + t)W = x(sW) + tW along its rows.

Gemm is alpha*op(A)op(B) + beta*C. Whichever operand is constant takes the scale; where both are
computed, the scale passes to the one that carries the axis. The shift lands in C, or in an Add.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bnfold.folding.affine import Affine, Array
from bnfold.folding.answers import (
    Absorbed,
    Answer,
    Answers,
    Blocked,
    Change,
    Facts,
    Operand,
    Passes,
    Put,
    Scale,
    trimmed,
)
from bnfold.folding.reasons import Reason
from bnfold.folding.rules import vectors
from bnfold.folding.rules.broadcast import dim_from_right, on_operand


def pull_matmul(node: Facts, m: Affine) -> Answers:
    """Scale the operand that has the map's axes; the shift is one bias behind the product."""
    a, b = node.input(0), node.input(1)
    if a.rank is None or b.rank is None:
        return Blocked(Reason.SHAPE_UNKNOWN)
    if a.rank < 2 or b.rank < 2:
        return vectors.pull(node, m)
    constants: list[Answer] = []
    computed: list[Answer] = []
    reason = Reason.AXIS_MISMATCH
    for slot, (mine, other) in enumerate(((a, b), (b, a))):
        part = _factor(m.scale_part(), slot, mine, other)
        if isinstance(part, Reason):
            reason = part
        elif mine.constant is not None:
            bias = None if m.is_scale_only else m.shift
            constants.append(Absorbed({slot: Scale(part.scale)}, bias=bias))
        elif m.is_scale_only:
            computed.append(Passes({slot: part}))
        elif other.constant is not None:  # a constant on the other side: t behind it as a bias
            computed.append(Passes({slot: part}, bias=m.shift))
    if a.rows_sum_to_one and b.constant is None:
        # P(sV + t) = s PV + t where the rows of P sum to one: attention outputs
        whole = _factor(m, 1, b, a)
        if isinstance(whole, Affine):
            computed.insert(0, Passes({1: whole}))
    answers = (*constants, *computed)
    if answers:
        # where a constant stands on the wrong side and the other way fails too, say the former
        wrong_side = [Blocked(reason)] if not constants and (a.constant or b.constant) else []
        return (*answers, *wrong_side)
    return Blocked(reason if a.constant or b.constant else Reason.NONLINEAR_NEIGHBOURS)


def _factor(m: Affine, slot: int, mine: Operand, other: Operand) -> Affine | Reason:
    """The map on one operand of a product: its own free axis and batch axes can carry one."""
    rank = m.rank
    free, gone = (rank - 2, rank - 1) if slot == 0 else (rank - 1, rank - 2)
    if gone in m.axes:
        return Reason.AXIS_MISMATCH
    for axis in m.axes:
        own = dim_from_right(mine, axis, rank)
        if own == m.extent(axis) or (axis == free and not isinstance(own, int)):
            continue  # the free axis is this operand's alone: the result's extent is its own
        if isinstance(own, int):
            return Reason.AXIS_MISMATCH
        if dim_from_right(other, axis, rank) != 1:
            return Reason.SHAPE_UNKNOWN
    return m.without_axes(range(rank - (mine.rank or rank)))


def push_matmul(node: Facts, m: Affine, k: int) -> Answers:
    """Along the summed axis the constant operand takes the map; along others a scale passes."""
    mine, other = node.input(k), node.input(1 - k)
    if mine.rank is None or other.rank is None:
        return Blocked(Reason.SHAPE_UNKNOWN)
    if mine.rank < 2 or other.rank < 2:
        return vectors.push(node, m, k)
    free = m.rank - 2 if k == 0 else m.rank - 1
    if other.constant is not None and free not in m.axes:
        return _push_summed(other, m, k, max(mine.rank, other.rank))
    summed = m.rank - 1 if k == 0 else m.rank - 2
    if summed in m.axes:
        return _over_to_the_other(node, m, k, summed)
    if m.is_scale_only or (k == 1 and other.rows_sum_to_one):
        return Passes({0: m.lifted(max(mine.rank, other.rank))})
    return Blocked(Reason.AXIS_MISMATCH)


def _over_to_the_other(node: Facts, m: Affine, k: int, summed: int) -> Answers:
    """Q (sK) = (Qs) K: along the summed axis a scale goes over to the other operand.

    Q (K + t) adds Q t to a whole row: it drops where a Softmax compares within rows alone.
    """
    other = node.input(1 - k)
    moves = node.outputs[0].up_to_softmax if k == 1 and not m.is_scale_only else ()
    if not (m.is_scale_only or moves):
        return Blocked(Reason.AXIS_MISMATCH)
    if (m.rank - 2 + k) in m.axes:
        return Blocked(Reason.AXIS_MISMATCH)
    if m.is_shift_only:
        return Absorbed(moves=moves)
    scale = trimmed(m.scale.swapaxes(-1, -2), other.rank or 0)
    scale = scale.reshape((1,) * ((other.rank or 0) - scale.ndim) + scale.shape)
    part = Affine.of(scale, np.zeros((1,) * scale.ndim))
    shared = range(scale.ndim - 2)  # batch axes, which the other must have in full
    if part.rank != other.rank or any(part.extent(a) not in (1, other.dim(a)) for a in shared):
        return Blocked(Reason.AXIS_MISMATCH)
    return Passes({}, aside={1 - k: part}, moves=moves)


def _push_summed(other: Operand, m: Affine, k: int, rank: int) -> Answers:
    """(sx + t)W: rows of W take s; tW is one vector, passed on or added behind the product."""
    assert other.constant is not None
    shape = other.constant.shape
    scale, shift = (trimmed(v.swapaxes(-1, -2), len(shape)) for v in (m.scale, m.shift))
    for by in (scale, shift):
        pairs = zip(by.shape[::-1], shape[::-1], strict=False)
        if by.ndim > len(shape) or any(n not in (1, length) for n, length in pairs):
            return Blocked(Reason.AXIS_MISMATCH)
    changes: dict[int, Change] = {}
    if not m.is_shift_only:
        changes[1 - k] = Scale(scale)
    if m.is_scale_only:
        return Absorbed(changes)
    total = (other.constant.value() * shift).sum(axis=-2 if k == 0 else -1, keepdims=True)
    onward = Affine.of(
        np.ones((1,) * rank), total.reshape((1,) * (rank - total.ndim) + total.shape)
    )
    return Passes({0: onward}, changes), Absorbed(changes, bias=onward.shift)


def pull_gemm(node: Facts, m: Affine) -> Answers:
    """B' = sB along its columns (A' along its rows), C' = s beta C + t; beta becomes 1."""
    a_side = m.axes == (0,) or (not m.axes and node.input(1).constant is None)
    if len(m.axes) > 1:
        return Blocked(Reason.AXIS_MISMATCH)
    slot = 0 if a_side else 1
    transposed = bool(node.attributes.get("transA" if a_side else "transB", 0))
    mine = node.input(slot)
    laid = m.scale.T if transposed else m.scale
    third = _third(node, m)
    if isinstance(third, Blocked):
        return third
    if mine.constant is not None:
        if m.extent(m.axes[0] if m.axes else 0) not in (1, _result_dim(node, slot)):
            return Blocked(Reason.AXIS_MISMATCH)
        changes = {slot: Scale(laid), **third.changes}
        if third.to:
            return Passes(third.to, changes, third.attributes)
        return Absorbed(changes, third.attributes)
    if m.is_shift_only:
        return third if third.to else Absorbed(third.changes, third.attributes)
    part = Affine.of(laid, np.zeros((1, 1)))
    passes = replace(third, to={slot: part, **third.to})
    if node.input(1 - slot).constant is not None:
        return passes, Blocked(Reason.AXIS_MISMATCH)
    return passes


def _result_dim(node: Facts, slot: int) -> object:
    """The extent that an operand gives to the result: its rows for A, its columns for B."""
    transposed = bool(node.attributes.get("transA" if slot == 0 else "transB", 0))
    return node.input(slot).dim(1 - slot if transposed else slot)


def _third(node: Facts, m: Affine) -> Passes | Blocked:
    """What becomes of C: a constant takes s beta C + t, a computed one passes (s, t / beta) on."""
    c, beta = node.input(2), float(node.attributes.get("beta", 1.0))
    if c.absent or beta == 0:
        if m.is_scale_only:
            return Passes({})
        return Passes({}, {2: Put(trimmed(m.shift, 1))}, {"beta": 1.0})
    if c.constant is not None:
        value = m.scale * (beta * c.constant.value()) + m.shift
        return Passes({}, {2: Put(trimmed(value, len(c.constant.shape)))}, {"beta": 1.0})
    part = on_operand(Affine.of(m.scale, m.shift / beta), c, ())
    return Blocked(part) if isinstance(part, Reason) else Passes({2: part})


def push_gemm(node: Facts, m: Affine, k: int) -> Answers:
    """(sx + t)B: B's rows take s, C' = beta C + alpha tB; the same for the second operand."""
    if k == 2:
        return _push_third(node, m)
    attribute = "transA" if k == 0 else "transB"
    laid = _transposed(m) if node.attributes.get(attribute, 0) else m  # (M, K) or (K, N)
    summed = 1 - k
    if laid.axes and laid.axes != (summed,):
        return Blocked(Reason.AXIS_MISMATCH)
    other = node.input(1 - k)
    if other.constant is None:
        return Blocked(Reason.NONLINEAR_NEIGHBOURS)
    other_transposed = bool(node.attributes.get("transB" if k == 0 else "transA", 0))
    value = other.constant.value()
    full = value.T if other_transposed else value  # (K, N) or (M, K)
    if laid.extent(summed) not in (1, full.shape[k]):
        return Blocked(Reason.AXIS_MISMATCH)
    changes: dict[int, Change] = {}
    if not m.is_shift_only:
        by = laid.scale.T
        changes[1 - k] = Scale(by.T if other_transposed else by)
    if m.is_scale_only:
        return Absorbed(changes)
    alpha = float(node.attributes.get("alpha", 1.0))
    total = alpha * (full * laid.shift.T).sum(axis=k, keepdims=True)
    return _into_third(node, changes, total)


def _transposed(m: Affine) -> Affine:
    return m.transposed((1, 0))


def _into_third(node: Facts, changes: dict[int, Change], total: Array) -> Answers:
    c, beta = node.input(2), float(node.attributes.get("beta", 1.0))
    if c.absent or beta == 0:
        return Absorbed({**changes, 2: Put(trimmed(total, 1))}, {"beta": 1.0})
    if c.constant is not None:
        value = beta * c.constant.value() + total
        return Absorbed({**changes, 2: Put(trimmed(value, len(c.constant.shape)))}, {"beta": 1.0})
    return Passes({0: Affine.of(np.ones((1, 1)), total)}, changes)


def _push_third(node: Facts, m: Affine) -> Answers:
    """A shifted C only shifts the result; a scaled one would have to scale the product too."""
    if not m.is_shift_only or m.rank > 2:
        return Blocked(Reason.NONLINEAR_NEIGHBOURS)
    beta = float(node.attributes.get("beta", 1.0))
    return Passes({0: Affine.of(np.ones((1, 1)), beta * m.lifted(2).shift)})
