"""From the index to what a rule sees: a node's operands with their shapes and constants."""

from __future__ import annotations

from bnfold.folding.answers import ABSENT, Facts, Operand
from bnfold.folding.reasons import Reason
from bnfold.graph.index import GraphIndex, Node
from bnfold.graph.quantised import known

DEFAULT_DOMAINS = ("", "ai.onnx")
_KEEPS_ROWS = ("Identity", "Dropout")
# exact moves exist for these (in principle); this version makes none
_LINEAR_WITHOUT_RULE = frozenset(
    {
        *("If", "Loop", "Scan", "GatherElements", "GatherND", "ScatterND", "ScatterElements"),
        *(
            "CenterCropPad",
            "Col2Im",
            "ReverseSequence",
            "GlobalLpPool",
            "MeanVarianceNormalization",
        ),
    }
)


def facts(index: GraphIndex, node: Node) -> Facts:
    """What the rules may know of a node."""
    attributes = dict(node.attributes)
    if node.op_type == "Cast":
        attributes["from"] = index.type_of(node.inputs[0]).elem_type
    inputs = tuple(_operand(index, name) for name in node.inputs)
    if node.op_type == "MatMul":
        rows = _rows_sum_to_one(index, node.inputs[0])
        first = Operand(inputs[0].name, inputs[0].shape, inputs[0].constant, rows)
        inputs = (first, *inputs[1:])
    outputs = tuple(Operand(name, index.type_of(name).shape) for name in node.outputs)
    declared = f"{node.domain}::{node.op_type}" in index.linear
    return Facts(node.op_type, index.opset, attributes, inputs, outputs, declared)


def _operand(index: GraphIndex, name: str) -> Operand:
    if not name:
        return ABSENT
    constant = known(index, name)
    shape = constant.shape if constant is not None else index.type_of(name).shape
    return Operand(name, shape, constant)


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
