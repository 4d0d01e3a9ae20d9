"""Models for a device: large enough that a BatchNorm more or less could be seen."""

from __future__ import annotations

import numpy as np
import onnx

from tests.build import batchnorm, make_model, node, randn, tensor, value


def relu_norm_conv(depth: int = 6, channels: int = 64) -> onnx.ModelProto:
    """Conv, Relu, BatchNorm, and again; the BatchNorm goes into the Conv behind it."""
    rng = np.random.default_rng(0)
    nodes, constants, x = [], [], "x"
    for i in range(depth):
        weight = randn(rng, channels, channels, 1, 1) / channels**0.5
        made, parts = batchnorm(f"r{i}", f"n{i}", channels, rng, positive=True)
        constants += [tensor(f"w{i}", weight), *parts]
        nodes += [node("Conv", [x, f"w{i}"], f"c{i}"), node("Relu", [f"c{i}"], f"r{i}"), made]
        x = f"n{i}"
    constants.append(tensor("w", randn(rng, channels, channels, 1, 1) / channels**0.5))
    nodes.append(node("Conv", [x, "w"], "y"))
    return make_model(nodes, [value("x", ["N", channels, 56, 56])], ["y"], constants)
