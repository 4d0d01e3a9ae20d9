"""The same function in float64: a model with every float that it spells out made a double."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, numpy_helper
from onnx.inliner import inline_local_functions

# Unit roundoff: what one rounding to nearest may move a value by, relatively.
ROUNDOFF = {
    TensorProto.DOUBLE: 2.0**-53,
    TensorProto.FLOAT: 2.0**-24,
    TensorProto.FLOAT16: 2.0**-11,
    TensorProto.BFLOAT16: 2.0**-8,
}


def graphs(model: ModelProto) -> Iterator[GraphProto | onnx.FunctionProto]:
    """The graph, every nested body and every local function (with its bodies)."""
    pending: list[GraphProto | onnx.FunctionProto] = [model.graph, *model.functions]
    while pending:
        graph = pending.pop()
        yield graph
        pending += [a.g for n in graph.node for a in n.attribute if a.type == AttributeProto.GRAPH]


def array_of(t: TensorProto) -> NDArray:
    """A tensor's values."""
    return numpy_helper.to_array(t)


def _doubled(t: TensorProto) -> TensorProto:
    if t.data_type not in ROUNDOFF:
        return t
    return numpy_helper.from_array(array_of(t).astype(np.float64), t.name)


def _dense(sparse: onnx.SparseTensorProto) -> NDArray:
    dense = np.zeros(int(np.prod(sparse.dims)), dtype=np.float64)
    where = array_of(sparse.indices)
    if where.ndim == 2:
        where = np.ravel_multi_index(tuple(where.T), tuple(sparse.dims))
    dense[where] = array_of(sparse.values)
    return dense.reshape(tuple(sparse.dims))


def _raise_node(node: NodeProto) -> None:
    """Every float that the node spells out becomes a double."""
    if node.op_type == "ConstantOfShape" and not node.attribute:
        zero = numpy_helper.from_array(np.zeros(1))
        node.attribute.append(onnx.helper.make_attribute("value", zero))
    for a in node.attribute:
        if a.type == AttributeProto.TENSOR:
            a.t.CopyFrom(_doubled(a.t))
        elif node.op_type == "Constant" and a.name in ("value_float", "value_floats"):
            data = np.float64(a.f) if a.name == "value_float" else np.array(a.floats, np.float64)
            a.CopyFrom(onnx.helper.make_attribute("value", numpy_helper.from_array(data)))
        elif node.op_type == "Constant" and a.name == "sparse_value":
            data = numpy_helper.from_array(_dense(a.sparse_tensor))
            a.CopyFrom(onnx.helper.make_attribute("value", data))
        elif (node.op_type, a.name) in (("Cast", "to"), ("EyeLike", "dtype")):
            a.i = TensorProto.DOUBLE if a.i in ROUNDOFF else a.i


def _captures(node: NodeProto) -> set[str]:
    """Names a node reads, by itself or anywhere inside its bodies."""
    names = set(node.input)
    for a in node.attribute:
        if a.type == AttributeProto.GRAPH:
            names |= {o.name for o in a.g.output}
            names.update(*map(_captures, a.g.node))
    return names


def _sort(graph: GraphProto) -> None:
    """Into topological order, stable; the checker wants it, real files do not keep to it."""
    made = {o for n in graph.node for o in n.output if o}
    waiting = [(n, _captures(n) & made) for n in graph.node]
    order, done = [], set()
    while waiting:
        ready = next((k for k, (_, reads) in enumerate(waiting) if reads <= done), None)
        assert ready is not None, "the graph has a cycle"
        first, _ = waiting.pop(ready)
        order.append(first)
        done.update(first.output)
    copies = [NodeProto.FromString(n.SerializeToString()) for n in order]
    del graph.node[:]
    graph.node.extend(copies)


def raised(model: ModelProto) -> ModelProto:
    """The same function in float64: initializers, Constants, Cast targets, types; inlined."""
    high = ModelProto()
    high.CopyFrom(model)
    if high.functions:
        high = inline_local_functions(high)
    for graph in graphs(high):
        assert isinstance(graph, GraphProto)
        for t in graph.initializer:
            t.CopyFrom(_doubled(t))
        for info in (*graph.input, *graph.output, *graph.value_info):
            tensor = info.type.tensor_type
            tensor.elem_type = (
                TensorProto.DOUBLE if tensor.elem_type in ROUNDOFF else tensor.elem_type
            )
        for node in graph.node:
            _raise_node(node)
        _sort(graph)
    return high
