"""What is known of every tensor before run time: element type, rank, sizes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from types import MappingProxyType
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from bnfold import child

Dim = int | str | None
Shape = tuple[Dim, ...] | None

# A payload of up to this many elements may steer a shape (axes, pads, sizes, scales);
# a larger one is a weight, of which inference needs only the type and the dims.
STEERING_ELEMENTS = 256

# onnx infers nothing behind these, which keep the type and shape of their first input
_KEEPING = frozenset(("GroupNormalization",))


@dataclass(frozen=True, slots=True)
class TensorType:
    """An element type (TensorProto.DataType, 0 where unknown) and a shape."""

    elem_type: int = 0
    shape: Shape = None


def infer(
    model: onnx.ModelProto,
    nodes: Iterable[onnx.NodeProto],
    settled: Mapping[str, NDArray[Any]] = MappingProxyType({}),
) -> dict[str, TensorType]:
    """Types and shapes of the main graph's tensors; `nodes` are its nodes in a valid order.

    `settled` are tensors of it that are known to be these constants.
    """
    light = _without_weights(model, nodes)
    for node in light.graph.node:
        if len(node.output) == 1 and node.output[0] in settled:
            value = numpy_helper.from_array(settled[node.output[0]])
            node.CopyFrom(helper.make_node("Constant", [], node.output, value=value))
        elif node.op_type in _KEEPING and node.domain in ("", "ai.onnx"):
            node.CopyFrom(helper.make_node("Identity", node.input[:1], node.output))
    try:
        with child.native_call(), child.little_memory():
            graph = onnx.shape_inference.infer_shapes(light, data_prop=True).graph
    except Exception:  # inference is help, not a gate: a graph it refuses is read as it stands
        graph = light.graph
    types = {i.name: TensorType(i.data_type, tuple(i.dims)) for i in graph.initializer}
    for info in (*graph.input, *graph.value_info, *graph.output):
        if info.type.HasField("tensor_type") and info.name not in types:
            types[info.name] = _tensor_type(info.type.tensor_type)
    return types


def _tensor_type(proto: onnx.TypeProto.Tensor) -> TensorType:
    if not proto.HasField("shape"):
        return TensorType(proto.elem_type)
    return TensorType(proto.elem_type, tuple(_dim(d) for d in proto.shape.dim))


def _dim(proto: onnx.TensorShapeProto.Dimension) -> Dim:
    kind = proto.WhichOneof("value")
    if kind == "dim_value" and proto.dim_value >= 0:
        return int(proto.dim_value)
    return str(proto.dim_param) if kind == "dim_param" and proto.dim_param else None


def _without_weights(model: onnx.ModelProto, nodes: Iterable[onnx.NodeProto]) -> onnx.ModelProto:
    """The model with types and dims, but no payload, of its large constants."""
    light = onnx.ModelProto(ir_version=model.ir_version)
    light.opset_import.extend(model.opset_import)
    light.functions.extend(model.functions)
    source, graph = model.graph, light.graph
    graph.name = source.name or "main"
    for node in nodes:
        if node.op_type == "Constant" and _is_weight(node):
            copy = graph.node.add(op_type="Constant", output=node.output)
            _copy_header(node.attribute[0].t, copy.attribute.add(name="value", type=4).t)
        else:
            graph.node.append(node)
    for tensor in source.initializer:
        if prod(tensor.dims) > STEERING_ELEMENTS:
            _copy_header(tensor, graph.initializer.add())
        else:
            graph.initializer.append(tensor)
    graph.input.extend(source.input)
    graph.output.extend(source.output)
    graph.value_info.extend(source.value_info)
    _name_unknown_inputs(graph)
    return light


def _is_weight(node: onnx.NodeProto) -> bool:
    return (
        len(node.attribute) == 1
        and node.attribute[0].name == "value"
        and prod(node.attribute[0].t.dims) > STEERING_ELEMENTS
    )


def _copy_header(tensor: TensorProto, light: TensorProto) -> None:
    light.name = tensor.name
    light.data_type = tensor.data_type
    light.dims.extend(tensor.dims)


def _name_unknown_inputs(graph: onnx.GraphProto) -> None:
    """Give unnamed sizes of inputs a symbol, so that inference can tell equal ones from others."""
    for i, info in enumerate(graph.input):
        if info.type.HasField("tensor_type") and info.type.tensor_type.HasField("shape"):
            for j, dim in enumerate(info.type.tensor_type.shape.dim):
                if _dim(dim) is None:
                    dim.dim_param = f"bnfold_unknown_{i}_{j}"
