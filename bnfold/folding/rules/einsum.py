"""Einsum of two operands: labels say where a map's axes go; a constant operand takes them."""

from __future__ import annotations

from dataclasses import dataclass

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
    Scale,
)
from bnfold.folding.reasons import Reason
from bnfold.graph.constants import Constant


@dataclass(frozen=True, slots=True)
class _Labels:
    """One letter an axis: of both operands and of the result."""

    operands: tuple[str, str]
    result: str


def _labels(node: Facts) -> _Labels | None:
    """The equation's labels, or None where it is not of the plain kind."""
    equation = str(node.attributes.get("equation", "")).replace(" ", "")
    left, arrow, result = equation.partition("->")
    terms = left.split(",")
    if "." in equation or len(terms) != 2 or len(node.inputs) != 2:
        return None
    if any(len(set(term)) != len(term) or not term.isalpha() for term in terms):
        return None
    if not arrow:
        both = "".join(terms)
        result = "".join(sorted(label for label in set(both) if both.count(label) == 1))
    ranks = [operand.rank for operand in node.inputs]
    if ranks != [len(term) for term in terms] or len(set(result)) != len(result):
        return None
    return _Labels((terms[0], terms[1]), result)


def _laid(values: Array, mine: str, theirs: str) -> Array:
    """Values whose axes are `mine`, laid along `theirs`; what has no label there has length 1."""
    kept = [i for i, label in enumerate(mine) if label in theirs]
    values = values.reshape([values.shape[i] for i in kept])
    order = sorted(range(len(kept)), key=lambda i: theirs.index(mine[kept[i]]))
    values = values.transpose(order)
    return np.expand_dims(values, [i for i, label in enumerate(theirs) if label not in mine])


def _covers(m: Affine, mine: str, operand: Operand, theirs: str) -> bool:
    """Whether an operand has each of the map's axes, in full extent."""
    varies = [(mine[axis], m.extent(axis)) for axis in m.axes]
    return all(
        label in theirs and operand.dim(theirs.index(label)) == length for label, length in varies
    )


def pull(node: Facts, m: Affine) -> Answers:
    """Scale an operand that has the map's labels; the shift is a bias behind the node."""
    labels = _labels(node)
    if labels is None:
        return Blocked(Reason.NOT_YET)
    absorbing: list[Answer] = []
    passing: list[Answer] = []
    for slot, (operand, term) in enumerate(zip(node.inputs, labels.operands, strict=True)):
        if not _covers(m.scale_part(), labels.result, operand, term):
            continue
        by = _laid(m.scale, labels.result, term)
        if operand.constant is not None:
            bias = None if m.is_scale_only else m.shift
            absorbing.append(Absorbed({slot: Scale(by)}, bias=bias))
        elif m.is_scale_only or node.input(1 - slot).constant is not None:
            part = Affine.of(by, np.zeros((1,) * len(term)))
            passing.append(Passes({slot: part}, bias=None if m.is_scale_only else m.shift))
    return (*absorbing, *passing) or Blocked(Reason.AXIS_MISMATCH)


def push(node: Facts, m: Affine, k: int) -> Answers:
    """A constant takes the scale of its own labels; the shift's answer is one further bias."""
    labels = _labels(node)
    if labels is None:
        return Blocked(Reason.NOT_YET)
    mine, theirs = labels.operands[k], labels.operands[1 - k]
    other = node.input(1 - k)
    rank = len(labels.result)
    onward = Affine.identity(rank)
    changes: dict[int, Change] = {}
    if other.constant is not None and _covers(m.scale_part(), mine, other, theirs):
        if not m.is_shift_only:
            changes[1 - k] = Scale(_laid(m.scale, mine, theirs))
    elif all(mine[axis] in labels.result for axis in m.scale_part().axes):
        scale = _laid(m.scale, mine, labels.result)
        onward = Affine.of(scale, np.zeros((1,) * rank))
    else:
        return Blocked(Reason.AXIS_MISMATCH)
    if not m.is_scale_only:
        shift = _answer_to_shift(node, m, labels, k)
        if shift is None:
            return Blocked(Reason.AXIS_MISMATCH)
        onward = Affine.of(onward.scale, shift)
    if onward.is_identity:
        return Absorbed(changes)
    further = Passes({0: onward}, changes)
    return (further, Absorbed(changes, bias=onward.shift)) if onward.is_shift_only else further


def _answer_to_shift(node: Facts, m: Affine, labels: _Labels, k: int) -> Array | None:
    """What the node makes of the shift alone; of length 1 where that is constant."""
    mine, theirs = labels.operands[k], labels.operands[1 - k]
    constant = node.input(1 - k).constant
    shift = None if constant is None else _summed(m.shift, node.input(k), constant, labels, k)
    if constant is None or shift is None:
        return None
    lengths = dict(zip(theirs, constant.shape, strict=True))
    wanted = [lengths.get(label, own) for label, own in zip(mine, shift.shape, strict=True)]
    if any(own not in (1, length) for own, length in zip(shift.shape, wanted, strict=True)):
        return None
    shift = np.broadcast_to(shift, wanted)
    return np.asarray(np.einsum(f"{mine},{theirs}->{labels.result}", shift, constant.value()))


def _summed(
    shift: Array, operand: Operand, constant: Constant, labels: _Labels, k: int
) -> Array | None:
    """The shift summed over the labels that the operand alone has, or has to more than length 1."""
    lengths = dict(zip(labels.operands[1 - k], constant.shape, strict=True))
    for axis, label in enumerate(labels.operands[k]):
        if label in labels.result or lengths.get(label, 1) != 1:
            continue
        extent = operand.dim(axis)
        if not isinstance(extent, int):
            return None
        shift = shift.mean(axis, keepdims=True) * extent
    return shift
