"""Writes a ResNet-50 with its 53 BatchNorms as ONNX (no torch): `python resnet50.py OUT`."""

from __future__ import annotations

import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

BLOCKS = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))


class Writer:
    """Collects nodes and initializers; every method answers the name of its output."""

    def __init__(self, seed: int = 0) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.rng = np.random.default_rng(seed)

    def constant(self, name: str, array: np.ndarray) -> str:
        """An initializer."""
        self.constants.append(numpy_helper.from_array(array.astype(np.float32), name))
        return name

    def node(self, op: str, inputs: list[str], **attributes: object) -> str:
        """A node with one output, which carries the node's name."""
        name = f"{op.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name, **attributes))
        return name

    def conv_norm(self, x: str, c_in: int, c_out: int, kernel: int, stride: int = 1) -> str:
        """Conv without bias, then BatchNormalization."""
        key = f"layer{len(self.nodes)}"
        fan_in = c_in * kernel**2
        weight = self.rng.standard_normal((c_out, c_in, kernel, kernel)) * (2 / fan_in) ** 0.5
        pad = [kernel // 2] * 4
        y = self.node(
            "Conv", [x, self.constant(f"{key}.weight", weight)], strides=[stride] * 2, pads=pad
        )
        gamma, var = self.rng.uniform(0.5, 1.5, c_out), self.rng.uniform(0.5, 2, c_out)
        beta, mean = self.rng.normal(0, 0.1, c_out), self.rng.normal(0, 0.1, c_out)
        named = {"gamma": gamma, "beta": beta, "mean": mean, "var": var}
        parts = [self.constant(f"{key}.{part}", array) for part, array in named.items()]
        return self.node("BatchNormalization", [y, *parts])

    def bottleneck(self, x: str, c_in: int, width: int, stride: int) -> str:
        """1x1, 3x3, 1x1, and the shortcut, projected where the shape changes."""
        y = self.node("Relu", [self.conv_norm(x, c_in, width, 1)])
        y = self.node("Relu", [self.conv_norm(y, width, width, 3, stride)])
        y = self.conv_norm(y, width, 4 * width, 1)
        changes = stride != 1 or c_in != 4 * width
        short = self.conv_norm(x, c_in, 4 * width, 1, stride) if changes else x
        return self.node("Relu", [self.node("Add", [y, short])])


def resnet50() -> onnx.ModelProto:
    """Seeded weights; input x[N, 3, 224, 224], output [N, 1000]."""
    net = Writer()
    y = net.node("Relu", [net.conv_norm("x", 3, 64, 7, 2)])
    y = net.node("MaxPool", [y], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    channels = 64
    for width, depth, stride in BLOCKS:
        for index in range(depth):
            y = net.bottleneck(y, channels, width, stride if index == 0 else 1)
            channels = 4 * width
    y = net.node("Flatten", [net.node("GlobalAveragePool", [y])])
    head = net.constant("fc.weight", net.rng.standard_normal((1000, channels)) * 0.02)
    y = net.node("Gemm", [y, head, net.constant("fc.bias", np.zeros(1000))], transB=1)
    ends = [("x", ["N", 3, 224, 224]), (y, ["N", 1000])]
    x_info, y_info = (helper.make_tensor_value_info(n, TensorProto.FLOAT, d) for n, d in ends)
    graph = helper.make_graph(net.nodes, "resnet50", [x_info], [y_info], net.constants)
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])


if __name__ == "__main__":
    onnx.save(resnet50(), sys.argv[1])
