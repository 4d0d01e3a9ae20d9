"""Branches inside bodies of If and Loop and in local functions: as in a graph of their own."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import pytest
from onnx import helper

import bnfold
from tests.build import BOOL, INT64, make_model, node, tensor, value
from tests.merging.fuzz import REPARAM, judge
from tests.merging.parts import Parts, conv, norm, op
from tests.raising import graphs

SHAPE = (2, 4, 8, 8)
SAME = {"pads": [1, 1, 1, 1]}


def branches(x: str, tag: str) -> Parts:
    """3x3, BatchNorm alone and the tensor itself, added up: `TAGy`."""
    parts = [
        conv(x, f"{tag}a", **SAME),
        norm(x, f"{tag}b"),
        op("Sum", [f"{tag}a", f"{tag}b", x], f"{tag}y"),
    ]
    return [n for made, _ in parts for n in made], [c for _, made in parts for c in made]


def in_if() -> onnx.ModelProto:
    """Both branches read x from around them, and call their tensors alike."""
    bodies = {}
    for name in ("then_branch", "else_branch"):
        nodes, constants = branches("x", "t")
        bodies[name] = helper.make_graph(nodes, name, [], [value("ty", SHAPE)], constants)
    inputs = [value("in", SHAPE), value("cond", (), BOOL)]
    return make_model(
        [node("Relu", ["in"], "x"), node("If", ["cond"], "y", **bodies)], inputs, ["y"]
    )


def in_loop() -> onnx.ModelProto:
    """The body's state goes through the branches; their weights are captured."""
    nodes, constants = branches("state", "t")
    nodes.append(node("Identity", ["going"], "on"))
    inputs = [value("i", (), INT64), value("going", (), BOOL), value("state", SHAPE)]
    body = helper.make_graph(nodes, "body", inputs, [value("on", (), BOOL), value("ty", SHAPE)])
    made = [node("Loop", ["count", "true", "x"], "y", body=body)]
    constants += [tensor("count", np.array(2)), tensor("true", np.array(True))]
    return make_model(made, [value("x", SHAPE)], [value("y", SHAPE)], constants)


def in_function(*, normed: bool) -> onnx.ModelProto:
    """One function, called twice."""
    nodes, constants = branches("x", "t")
    if not normed:
        nodes = [nodes[0], node("Add", ["ta", "x"], "ty")]
    held = [node("Constant", [], c.name, value=c) for c in constants]
    default = helper.make_opsetid("", 17)
    block = helper.make_function("local", "Block", ["x"], ["ty"], [*held, *nodes], [default])
    calls = [
        node("Block", ["x"], "a", domain="local"),
        node("Relu", ["a"], "b"),
        node("Block", ["b"], "y", domain="local"),
    ]
    return make_model(
        calls,
        [value("x", SHAPE)],
        [value("y", SHAPE)],
        functions=[block],
        extra_opsets=[("local", 1)],
    )


def products(model: onnx.ModelProto) -> dict[str, int]:
    """Operators of all scopes that branches are made of."""
    ops = Counter(n.op_type for graph in graphs(model) for n in graph.node)
    return {k: v for k, v in ops.items() if k in ("Conv", "Sum", "Add", "BatchNormalization")}


@pytest.mark.parametrize(
    ("model", "left"),
    [(in_if(), 2), (in_loop(), 1), (in_function(normed=True), 2)],
    ids=["If", "Loop", "function with a BatchNorm"],
)
def test_branches_in_a_scope_become_one(model: onnx.ModelProto, left: int) -> None:
    result = judge(model)
    assert products(result.model) == {"Conv": left}
    assert len(result.report.merged) == left
    scope = "local::Block:" if model.functions else "main:"
    assert all(part.startswith(scope) for merge in result.report.merged for part in merge.parts)


def test_functions_without_a_batch_norm_stay() -> None:
    model = in_function(normed=False)
    result = bnfold.fold(model, REPARAM)
    assert not result.report.changed
    assert result.model.functions == model.functions
