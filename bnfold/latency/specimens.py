"""Models for the self-test: rows of equal blocks, so that one block more is a tenth more work."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

BLOCKS = 10
SHAPE = {"convs": (1, 16, 32, 32), "passes": (1, 64, 64, 64)}


def convs(blocks: int) -> onnx.ModelProto:
    """3x3 Convs of 16 channels on 32x32, with Relu: arithmetic, a fraction of a millisecond."""
    rng = np.random.default_rng(0)
    weight = (rng.standard_normal((16, 16, 3, 3)) / 12).astype(np.float32)
    nodes = []
    for i in range(blocks):
        nodes.append(helper.make_node("Conv", [f"x{i}", "w"], [f"c{i}"], pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [f"c{i}"], [f"x{i + 1}"]))
    return _model("convs", nodes, blocks, weight)


def passes(blocks: int) -> onnx.ModelProto:
    """Adds over a tensor of 1 MB: each block is one more pass through memory."""
    nodes = [helper.make_node("Add", [f"x{i}", "w"], [f"x{i + 1}"]) for i in range(blocks)]
    return _model("passes", nodes, blocks, np.full((1, 64, 1, 1), 0.5, np.float32))


SPECIMENS: dict[str, Callable[[int], onnx.ModelProto]] = {"convs": convs, "passes": passes}


def _model(
    name: str, nodes: list[onnx.NodeProto], blocks: int, weight: np.ndarray
) -> onnx.ModelProto:
    ends = [
        helper.make_tensor_value_info(end, TensorProto.FLOAT, SHAPE[name])
        for end in ("x0", f"x{blocks}")
    ]
    constant = numpy_helper.from_array(weight, "w")
    graph = helper.make_graph(nodes, name, ends[:1], ends[1:], [constant])
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
