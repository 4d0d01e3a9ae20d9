"""The model that the tests of this room read, write and break."""

from __future__ import annotations

import numpy as np
import onnx

from tests.build import batchnorm, make_model, node, randn, value


def conv_norm(channels: int = 4) -> onnx.ModelProto:
    """Conv -> BatchNormalization -> Relu on (N, 3, 8, 8)."""
    rng = np.random.default_rng(0)
    weight = onnx.numpy_helper.from_array(randn(rng, channels, 3, 3, 3), "weight")
    norm, parameters = batchnorm("conv", "norm", channels, rng)
    nodes = [node("Conv", ["x", "weight"], "conv"), norm, node("Relu", ["norm"], "y")]
    outputs = [value("y", ["N", channels, 6, 6])]
    return make_model(nodes, [value("x", ["N", 3, 8, 8])], outputs, [weight, *parameters])
