"""From the index to what a rule sees: a node's operands with their shapes and constants."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bnfold.folding.answers import ABSENT, Facts, Operand
from bnfold.folding.reasons import Reason
from bnfold.folding.rules.sequences import Cut
from bnfold.graph.index import GraphIndex, Node
from bnfold.graph.quantised import known

DEFAULT_DOMAINS = ("", "ai.onnx")
_KEEPS_ROWS = ("Identity", "Dropout")
# exact moves exist for these (in principle); this version makes none
_LINEAR_WITHOUT_RULE = frozenset({"If", "Loop", "Scan", "CenterCropPad", "Col2Im"})


def facts(index: GraphIndex, node: Node) -> Facts:
    """What the rules may know of a node."""
    index.watch.read.add(node.key)
    attributes = dict(node.attributes)
    if node.op_type == "Cast":
        attributes["from"] = index.type_of(node.inputs[0]).elem_type
    if node.op_type == "SequenceAt":
        attributes["cut"] = _cut(index, node)
    inputs = tuple(_operand(index, name) for name in node.inputs)
    if node.op_type == "MatMul":
        rows = _rows_sum_to_one(index, node.inputs[0])
        inputs = (replace(inputs[0], rows_sum_to_one=rows), *inputs[1:])
    outputs = tuple(Operand(name, index.type_of(name).shape) for name in node.outputs)
    if node.op_type == "MatMul":
        outputs = (replace(outputs[0], up_to_softmax=_up_to_softmax(index, node.outputs[0])),)
    declared = f"{node.domain}::{node.op_type}" in index.linear
    return Facts(node.op_type, index.opset, attributes, inputs, outputs, declared)


def _operand(index: GraphIndex, name: str) -> Operand:
    if not name:
        return ABSENT
    constant = known(index, name)
    shape = constant.shape if constant is not None else index.type_of(name).shape
    return Operand(name, shape, constant)


def _cut(index: GraphIndex, node: Node) -> Cut | None:
    """The piece that a SequenceAt takes, where the sequence is a tensor cut into known pieces."""
    maker, at = index.producer_of(node.inputs[0]), index.constant(node.inputs[1])
    if maker is None or maker.op_type != "SplitToSequence" or maker.domain not in DEFAULT_DOMAINS:
        return None
    split = index.constant(maker.inputs[1]) if len(maker.inputs) > 1 else None
    shape = index.type_of(maker.inputs[0]).shape
    if split is None or at is None or not shape:
        return None
    axis = int(maker.attributes.get("axis", 0)) % len(shape)
    length = shape[axis]
    if not isinstance(length, int):
        return None
    stated = split.value()
    ends = np.cumsum(stated) if stated.ndim else np.arange(0, length, int(stated)) + int(stated)
    ends = np.minimum(ends, length)
    place = int(at.value().reshape(())) % len(ends)
    return Cut(axis, int(ends[place - 1]) if place else 0, int(ends[place]), length)


def _rows_sum_to_one(index: GraphIndex, name: str) -> bool:
    """Whether a Softmax over the last axis stands behind a tensor, unchanged on the way."""
    node = index.producer_of(name)
    while node is not None and node.op_type in _KEEPS_ROWS and node.domain in DEFAULT_DOMAINS:
        if len(node.inputs) > 2 and node.inputs[2]:  # a Dropout that may be live
            return False
        name = node.inputs[0]
        node = index.producer_of(name)
    if node is None or node.op_type != "Softmax" or node.domain not in DEFAULT_DOMAINS:
        return False
    shape = index.type_of(name).shape
    axis = int(node.attributes.get("axis", -1 if index.opset >= 13 else 1))
    return axis == -1 or (shape is not None and axis == len(shape) - 1)


_MOST_LINKS = 8  # between the scores and their Softmax: a scale, a mask, a position bias


def _up_to_softmax(index: GraphIndex, name: str, links: int = _MOST_LINKS) -> tuple[str, ...]:
    """The tensors from here to the Softmax that is all that reads them; () where others do.

    It compares within rows alone: what is added to a whole row drops.
    """
    shape = index.type_of(name).shape
    readers = list(index.value_readers(name))
    if not links or shape is None or not readers or index.is_exposed(name):
        return ()
    names = {name: None}
    for reader, slot in readers:
        if not _is_softmax(index, reader, len(shape)):
            behind = _keeps_rows(index, reader, slot) and reader.outputs[0]
            further = _up_to_softmax(index, behind, links - 1) if behind else ()
            if not further:
                return ()
            names.update(dict.fromkeys(further))
    return tuple(names)


def _is_softmax(index: GraphIndex, node: Node, rank: int) -> bool:
    """A Softmax over the last axis."""
    if node.domain not in DEFAULT_DOMAINS or node.op_type not in ("Softmax", "LogSoftmax"):
        return False
    axis = int(node.attributes.get("axis", -1 if index.opset >= 13 else 1))
    return axis in (-1, rank - 1)


def _keeps_rows(index: GraphIndex, node: Node, slot: int) -> bool:
    """Whether what was added to a whole row stays that: a scale, a mask, a position bias."""
    if node.domain not in DEFAULT_DOMAINS:
        return False
    if node.op_type == "Mul" or (node.op_type == "Div" and slot == 0):
        factor = index.constant(node.inputs[1 - slot])
        return factor is not None and (not factor.shape or factor.shape[-1] == 1)
    return node.op_type in ("Add", "Sub", "Identity")


def without_rule(index: GraphIndex, node: Node) -> Reason:
    """Why a node for which there is no rule is in the way."""
    if node.domain not in DEFAULT_DOMAINS:
        called = (node.domain, node.op_type)
        local = any((f.domain, f.name) == called for f in index.model.functions)
        return Reason.NOT_YET if local else Reason.OPERATOR_UNKNOWN
    if node.op_type in _LINEAR_WITHOUT_RULE:
        return Reason.NOT_YET
    return Reason.NONLINEAR_NEIGHBOURS


def sharpened(index: GraphIndex, node: Node, reason: Reason) -> Reason:
    """The better reason where a weight is no constant, but nearly one."""
    if reason is not Reason.NONLINEAR_NEIGHBOURS:
        return reason
    for name in node.inputs[1:]:
        if index.is_overridable(name):
            return Reason.PARAMETER_OVERRIDABLE
    return reason
