"""What is constant in the exporter's graph, and its value.

PyTorch's exporter computes at run time what is constant: a Conv without bias gets zeros from
Expand(CastLike(0, x), Shape(weight)), a BatchNorm without affine parameters ones and zeros from the
shape of its input. The evaluation of single nodes is what `bnfold.graph.constants` does for any
model; this first cut needs only what the exporter writes, and could stand on it later.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

logger = logging.getLogger(__name__)

Values = dict[str, NDArray[Any]]
Sizes = Sequence[int | str | None]
LARGEST = 64 * 2**20  # bytes that evaluating may make of a constant
# pure operators: data movement and arithmetic. Never BatchNormalization, never the quantizers.
EVALUATED = frozenset(
    (
        "Abs", "Add", "Cast", "CastLike", "Concat", "Constant", "ConstantOfShape", "Div", "Exp",
        "Expand", "Flatten", "Gather", "Identity", "Mul", "Neg", "Pow", "Range", "Reciprocal",
        "ReduceL2", "ReduceMax", "ReduceMean", "ReduceProd", "ReduceSum", "Reshape", "Shape",
        "Size", "Slice", "Sqrt", "Squeeze", "Sub", "Tile", "Transpose", "Unsqueeze", "Where",
    )
)  # fmt: skip


def constants(model: onnx.ModelProto) -> Values:
    """The value of every node output that is constant and not an output of the graph."""
    graph = model.graph
    known: Values = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    types = {v.name: v.type.tensor_type.elem_type for v in (*graph.input, *graph.value_info)}
    types |= {t.name: t.data_type for t in graph.initializer}
    shapes = sizes(graph)
    outputs = {v.name for v in graph.output}
    computed: Values = {}
    for node in graph.node:
        if node.op_type not in EVALUATED or node.domain or outputs & set(node.output):
            continue
        value = _static_shape(node, shapes)
        if value is None:
            value = _value(node, known, types, model.opset_import)
        if value is not None and value.nbytes <= LARGEST:
            known[node.output[0]] = computed[node.output[0]] = value
            types[node.output[0]] = helper.np_dtype_to_tensor_dtype(value.dtype)
    return computed


def sizes(graph: onnx.GraphProto) -> dict[str, Sizes]:
    """The sizes of every typed tensor: a number, a name such as "batch", or None."""
    return {
        value.name: [
            d.dim_value if d.HasField("dim_value") else d.dim_param or None
            for d in value.type.tensor_type.shape.dim
        ]
        for value in (*graph.input, *graph.output, *graph.value_info)
        if value.type.tensor_type.HasField("shape")
    }


def _static_shape(node: onnx.NodeProto, shapes: Mapping[str, Sizes]) -> NDArray[Any] | None:
    """The part of an activation's shape that a Shape asks for, where the batch is not in it."""
    if node.op_type != "Shape" or node.input[0] not in shapes:
        return None
    bounds = {a.name: a.i for a in node.attribute}
    part = list(shapes[node.input[0]])[bounds.get("start", 0) : bounds.get("end")]
    known = [n for n in part if isinstance(n, int)]
    return np.asarray(known, np.int64) if len(known) == len(part) else None


def _value(
    node: onnx.NodeProto, known: Values, types: Mapping[str, int], opsets: Any
) -> NDArray[Any] | None:
    """What a node gives, if its inputs are constant; of CastLike's second input only the type."""
    if node.op_type == "CastLike":
        target = types.get(node.input[1], 0)
        if node.input[0] not in known or not target:
            return None
        node = helper.make_node("Cast", [node.input[0]], list(node.output), to=target)
    names = [name for name in node.input if name]
    if not all(name in known for name in names):
        return None
    try:
        return _run(node, {name: known[name] for name in names}, opsets)
    except Exception:  # onnx.reference raises whatever its kernels raise; the node then stays
        logger.debug("kept %s %s: it could not be evaluated", node.op_type, node.name)
        return None


def _run(node: onnx.NodeProto, feeds: Values, opsets: Any) -> NDArray[Any]:
    """The node alone in onnx.reference."""
    untyped = onnx.TypeProto()
    inputs = [helper.make_value_info(name, untyped) for name in feeds]
    outputs = [helper.make_value_info(node.output[0], untyped)]
    graph = helper.make_graph([node], "constant", inputs, outputs)
    single = helper.make_model(graph, opset_imports=list(opsets), ir_version=10)
    result = ReferenceEvaluator(single).run(None, feeds)
    return np.asarray(result[0])  # type: ignore[index]
