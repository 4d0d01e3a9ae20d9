"""Carry plans out on the index. It is dull: all decisions are in the plan.

A tensor's name never comes to stand for other values: what a plan moves gets a fresh name, and
so does every constant it changes.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from bnfold.folding import integers
from bnfold.folding.affine import Array
from bnfold.folding.answers import Change, Put, Rim, trimmed
from bnfold.folding.certificate import Ledger, expected
from bnfold.folding.masters import Role, changed, in_range, role_of
from bnfold.folding.plan import Plan, Step
from bnfold.folding.reasons import Reason
from bnfold.graph.constants import Constant
from bnfold.graph.index import GraphIndex, Node
from bnfold.graph.numbers import FLOATS
from bnfold.graph.quantised import Quantised, quantised
from bnfold.graph.shapes import TensorType


def obstacle(index: GraphIndex, plan: Plan) -> Reason | None:
    """Why a constant that the plan makes cannot be written in the model's number types."""
    for step in plan.steps:
        for slot, change in step.changes.items():
            reason = _unwritable(index, step, slot, change)
            if reason is not None:
                return reason
        if step.bias is not None:
            elem_type = _elem_type(index, step.node, None)
            bias = Put(step.bias)
            if elem_type not in FLOATS or not in_range(None, bias, elem_type, Role.TERM):
                return Reason.NUMBER_RANGE
        for value in step.attributes.values():
            if not np.isfinite(np.asarray(value, np.float32)).all():
                return Reason.NUMBER_RANGE
        if step.rim is not None:
            elem_type = _elem_type(index, step.node, None)
            value = Put(np.asarray(step.rim.value))
            if elem_type not in FLOATS or not in_range(None, value, elem_type, Role.TERM):
                return Reason.NUMBER_RANGE
    return None


def _unwritable(index: GraphIndex, step: Step, slot: int, change: Change) -> Reason | None:
    node = step.node
    weight = _quantised(index, node, slot)
    if weight is not None:
        if weight.transposes and integers.is_shared(index, weight):
            return Reason.WOULD_COST_MORE  # a copy of all of them
        new = integers.rescaled(weight, change, index.opset)
        return new if isinstance(new, Reason) else None
    current = _current(index, node, slot)
    elem_type = _elem_type(index, node, current)
    role = role_of(step.becomes or node.op_type, slot)
    if elem_type in FLOATS and in_range(current, change, elem_type, role):
        return None
    return Reason.NUMBER_RANGE


def transposes(index: GraphIndex, plan: Plan) -> list[Node]:
    """The nodes that stand between quantised weights and what reads them."""
    weights = [_quantised(index, s.node, slot) for s in plan.steps for slot in s.changes]
    return [node for w in weights if w is not None for node in w.transposes]


def copies(index: GraphIndex, plan: Plan) -> int:
    """Nodes to add because a quantised weight has other readers."""
    weights = [_quantised(index, s.node, slot) for s in plan.steps for slot in s.changes]
    return sum(w is not None and integers.is_shared(index, w) for w in weights)


def _quantised(index: GraphIndex, node: Node, slot: int) -> Quantised | None:
    name = node.inputs[slot] if slot < len(node.inputs) else ""
    return None if index.is_constant(name) else quantised(index, name)


def _current(index: GraphIndex, node: Node, slot: int) -> Constant | None:
    return index.constant(node.inputs[slot]) if slot < len(node.inputs) else None


def _elem_type(index: GraphIndex, node: Node, current: Constant | None) -> int:
    """The type of a constant: what stands there now, else that of the node's result."""
    if current is not None:
        return current.elem_type
    known = index.type_of(node.outputs[0]).elem_type
    others = [c.elem_type for c in map(index.constant, node.inputs) if c is not None]
    return known or next((t for t in others if t in FLOATS), 0)


def absorb(index: GraphIndex, plan: Plan, ledger: Ledger) -> None:
    """Change the constants and attributes of a plan's nodes, and add its biases.

    What every constant must come to is entered in the ledger while its source is still as it was.
    """
    for step in plan.steps:
        for slot, change in step.changes.items():
            if _quantised(index, step.node, slot) is not None:
                integers.rescale(index, step.node, slot, change, ledger)
                continue
            current = _current(index, step.node, slot)
            elem_type = _elem_type(index, step.node, current)
            constant = changed(current, change, elem_type)
            old = step.node.inputs[slot] if slot < len(step.node.inputs) else ""
            name = _named(index, step.node, old, slot, constant)
            ledger[name] = expected(current, change)
            index.set_input(step.node, slot, name)
        index.change(step.node, step.becomes or step.node.op_type, step.attributes)
        if step.rim is not None:
            _put_rim(index, step.node, step.rim, ledger)
        if step.bias is not None:
            name = _add_bias(index, step, step.bias)
            ledger[name] = expected(None, Put(step.bias))


def _named(index: GraphIndex, node: Node, old: str, slot: int, constant: Constant) -> str:
    """A fresh name for a changed constant; one that the fold made for this node alone is kept."""
    if old in index.made and len(index.readers[old]) == 1:
        index.remake_constant(old, constant)
        return old
    if old in index.made:
        return index.make_constant(old, constant, index.made_from[old])
    base = f"{old}_folded" if old else f"{_stem(node, slot)}_folded_bias"
    return index.make_constant(base, constant, old)


def _stem(node: Node, slot: int) -> str:
    return node.inputs[1] if len(node.inputs) > 1 and node.inputs[1] else node.outputs[0]


def _add_bias(index: GraphIndex, step: Step, bias: Array) -> str:
    """X W + b: a Gemm where the product is one of matrices, else an Add behind it."""
    node = step.node
    constant = _bias_constant(index, node, bias)
    name = index.make_constant(f"{_stem(node, 2)}_folded_bias", constant, "")
    if step.makes_gemm:
        index.change(node, "Gemm", {})
        index.set_input(node, 2, name)
        return name
    output = node.outputs[0]
    product = index.fresh(f"{output}_product")
    index.split_output(node, 0, product)
    index.insert_behind(node, "Add", [product, name], output)
    return name


def _put_rim(index: GraphIndex, node: Node, rim: Rim, ledger: Ledger) -> None:
    """A Pad in front of a node; before opset 11 its amounts and its number are attributes."""
    before = node.inputs[0]
    producer = index.producer_of(before)
    assert producer is not None, "the map came from there"
    output = index.fresh(f"{before}_padded")
    pad = index.insert_behind(producer, "Pad", [before], output)
    index.types[output] = TensorType(index.type_of(before).elem_type)
    index.set_input(node, 0, output)
    if index.opset < 11:
        index.change(pad, "Pad", {"pads": list(rim.pads), "value": rim.value})
        return
    amounts = np.asarray(rim.pads, np.int64)
    value = np.asarray(rim.value)
    kinds = (TensorProto.INT64, amounts), (_elem_type(index, node, None), value)
    for slot, (elem_type, array) in enumerate(kinds, 1):
        constant = Constant(elem_type, array.shape, lambda array=array: array)  # type: ignore[misc]
        name = index.make_constant(f"{output}_{('pads', 'value')[slot - 1]}", constant, "")
        index.set_input(pad, slot, name)
    ledger[pad.inputs[2]] = expected(None, Put(value))


def _bias_constant(index: GraphIndex, node: Node, bias: Array) -> Constant:
    value = np.ascontiguousarray(trimmed(bias, 1))
    return Constant(_elem_type(index, node, None), value.shape, lambda: value)


def lift_out(index: GraphIndex, spot: Node, slot: int) -> None:
    """Take a spot out after its map was pulled: its output's name goes to what stood before it."""
    before, behind = spot.inputs[slot], spot.outputs[0]
    index.remove(spot)
    index.rename(before, behind)


def bypass(index: GraphIndex, spot: Node, slot: int) -> None:
    """Take a spot out: its readers read its input, which keeps its values."""
    before, behind = spot.inputs[slot], spot.outputs[0]
    index.remove(spot)
    index.redirect(behind, before)


def rename_moved(index: GraphIndex, names: list[str]) -> None:
    """Fresh names for tensors whose values became others."""
    for name in names:
        index.rename(name, index.fresh(f"{name}_folded"))
