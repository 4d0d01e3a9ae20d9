"""Small networks that deploy in a second."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx

from tests.build import batchnorm, make_model, node, randn, tensor, value


def net(
    path: Path, *, opset: int = 17, ir: int = 8, weight: float = 1.0, bias: float = 0.0
) -> Path:
    """Conv -> BatchNormalization -> Relu -> GlobalAveragePool -> Flatten -> Gemm in `path`."""
    rng = np.random.default_rng(0)
    norm, parameters = batchnorm("c", "n", 8, rng, positive=True)
    nodes = [
        node("Conv", ["x", "w"], "c", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        norm,
        node("Relu", ["n"], "r"),
        node("GlobalAveragePool", ["r"], "p"),
        node("Flatten", ["p"], "f"),
        node("Gemm", ["f", "v", "b"], "y"),
    ]
    weights = [
        tensor("w", weight * randn(rng, 8, 3, 3, 3, scale=0.2)),
        tensor("v", randn(rng, 8, 5)),
        tensor("b", np.full(5, bias, np.float32)),
        *parameters,
    ]
    return saved(nodes, weights, path, opset=opset, ir=ir)


def saved(
    nodes: Sequence[onnx.NodeProto],
    weights: Sequence[onnx.TensorProto],
    path: Path,
    *,
    opset: int = 17,
    ir: int = 8,
) -> Path:
    """A model of x (n, 3, 8, 8) and y."""
    x, y = value("x", ["n", 3, 8, 8]), "y"
    onnx.save(make_model(nodes, [x], [y], weights, opset=opset, ir=ir), path)
    return path
