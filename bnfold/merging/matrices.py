"""MatMul and Gemm by a constant as linear operators of what they read."""

from __future__ import annotations

from math import prod

import numpy as np

from bnfold.graph.index import GraphIndex, Node
from bnfold.graph.numbers import FLOATS
from bnfold.merging.geometry import Geometry, Layout
from bnfold.merging.linear import Linear, Read


def matmul(index: GraphIndex, node: Node, layout: Layout) -> Read | None:
    """X W with a constant W (K, N): its weight is W transposed."""
    weight = index.constant(node.inputs[1])
    known = index.type_of(node.inputs[0]).shape
    if layout is not Layout.LAST or weight is None or weight.elem_type not in FLOATS:
        return None
    if len(weight.shape) != 2 or known is None or len(known) < 2:
        return None
    inputs, outputs = weight.shape
    geometry = Geometry(inputs, outputs, 1, (), Layout.LAST)
    return node.inputs[0], Linear(geometry, lambda: weight.value().T)


def gemm(index: GraphIndex, node: Node, layout: Layout) -> Read | None:
    """X W alpha + c beta, for an x that is not transposed and a c along the columns."""
    weight = index.constant(node.inputs[1])
    added = node.inputs[2] if len(node.inputs) > 2 else ""
    bias = index.constant(added) if added else None
    if layout is not Layout.LAST or weight is None or weight.elem_type not in FLOATS:
        return None
    if node.attributes.get("transA", 0) or (bias is None and added):
        return None
    alpha, beta = (float(np.float32(node.attributes.get(k, 1.0))) for k in ("alpha", "beta"))
    turned = bool(node.attributes.get("transB", 0))
    outputs, inputs = weight.shape if turned else weight.shape[::-1]
    if bias is not None and prod(bias.shape) not in (1, outputs):
        return None
    if bias is not None and bias.shape[:-1] not in ((), (1,)):
        return None
    geometry = Geometry(inputs, outputs, 1, (), Layout.LAST)
    return node.inputs[0], Linear(
        geometry,
        lambda: alpha * (weight.value() if turned else weight.value().T),
        None
        if bias is None or beta == 0
        else lambda: np.broadcast_to(beta * bias.value().reshape(-1), (outputs,)),
    )
