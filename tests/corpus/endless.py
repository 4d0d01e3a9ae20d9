"""A model that never comes to an end: a Loop without a limit, whose condition stays true."""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper

from tests.build import make_model, node, tensor, value

SHAPE = ["n", 3, 8, 8]


def endless() -> onnx.ModelProto:
    """y = x, after for ever; it takes what the networks of the deployment's tests take."""
    body = helper.make_graph(
        [node("Identity", ["go"], "on"), node("Identity", ["state"], "next")],
        "body",
        [
            value("turn", [], TensorProto.INT64),
            value("go", [], TensorProto.BOOL),
            value("state", SHAPE),
        ],
        [value("on", [], TensorProto.BOOL), value("next", SHAPE)],
    )
    true = tensor("true", True, bool)
    nodes = [helper.make_node("Loop", ["", "true", "x"], ["y"], body=body)]
    return make_model(nodes, [value("x", SHAPE)], [value("y", SHAPE)], [true])
