"""The exporter's graph made clean: computed constants evaluated, readable names, nothing private.

torch's exporter computes at run time what is constant: a Conv without bias gets zeros from
Expand(CastLike(0, x), Shape(weight)), a BatchNorm without affine parameters gets ones the same way.
ONNX Runtime fuses nothing into such a node. Here each of them becomes an initializer, and a zero
bias is left out. The evaluation of single nodes is what `bnfold.graph.constants` does for any
model; this first cut needs only what the exporter writes.
"""

from __future__ import annotations

import ast
import logging
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, inliner, numpy_helper
from onnx.reference import ReferenceEvaluator

logger = logging.getLogger(__name__)

Values = dict[str, NDArray[Any]]
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
NORM_PARAMETERS = ("weight", "bias", "running_mean", "running_var")
SCOPES = "pkg.torch.onnx.name_scopes"


def tidied(model: onnx.ModelProto) -> onnx.ModelProto:
    """A model that computes the same, with every constant an initializer; the argument stays."""
    model = inliner.inline_local_functions(model) if model.functions else _copied(model)
    graph = model.graph
    values = _evaluated(model)
    kept = [node for node in graph.node if not all(name in values for name in node.output)]
    del graph.node[:]
    graph.node.extend(kept)  # copies: from here on only graph.node is real
    _name_nodes(graph.node)
    _drop_zero_biases(graph.node, values)
    _materialise(graph, values)
    _rename_values(graph)
    _strip(model)
    return model


def _copied(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def _evaluated(model: onnx.ModelProto) -> Values:
    """The value of every node output that is constant and not an output of the graph."""
    graph = model.graph
    known: Values = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    types = {v.name: v.type.tensor_type.elem_type for v in (*graph.input, *graph.value_info)}
    types |= {t.name: t.data_type for t in graph.initializer}
    outputs = {v.name for v in graph.output}
    computed: Values = {}
    for node in graph.node:
        if node.op_type not in EVALUATED or node.domain or outputs & set(node.output):
            continue
        value = _value(node, known, types, model.opset_import)
        if value is not None and value.nbytes <= LARGEST:
            known[node.output[0]] = computed[node.output[0]] = value
            types[node.output[0]] = helper.np_dtype_to_tensor_dtype(value.dtype)
    return computed


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


def _drop_zero_biases(nodes: Iterable[onnx.NodeProto], values: Values) -> None:
    """A convolution's bias of zeros is absent instead."""
    for node in nodes:
        convolves = node.op_type in ("Conv", "ConvTranspose") and len(node.input) == 3
        if convolves and node.input[2] in values and not values[node.input[2]].any():
            del node.input[2]


def _materialise(graph: onnx.GraphProto, values: Values) -> None:
    """Computed constants that are still read become initializers; unread ones go."""
    taken = {t.name for t in graph.initializer} | {v.name for v in graph.input}
    for node in graph.node:
        for slot, name in enumerate(node.input):
            if name not in values:
                continue
            wanted = _parameter_name(node, slot) or name
            if wanted not in taken:
                taken.add(wanted)
                array = np.ascontiguousarray(values[name]).reshape(values[name].shape)
                graph.initializer.append(numpy_helper.from_array(array, wanted))
            node.input[slot] = wanted
    read = {name for node in graph.node for name in node.input} | {v.name for v in graph.output}
    read |= _captured(graph)
    kept = [t for t in graph.initializer if t.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _captured(graph: onnx.GraphProto) -> set[str]:
    """Every name that a nested subgraph reads."""
    names: set[str] = set()
    for node in graph.node:
        for attribute in node.attribute:
            for body in (attribute.g, *attribute.graphs):
                names |= {name for inner in body.node for name in inner.input} | _captured(body)
                names |= {v.name for v in body.output}
    return names


def _parameter_name(node: onnx.NodeProto, slot: int) -> str | None:
    """`norm.weight` for a BatchNorm's scale, from the module that the node's name begins with."""
    module = node.name.rpartition("/")[0]
    if node.op_type == "BatchNormalization" and module:
        return f"{module}.{NORM_PARAMETERS[slot - 1]}"
    return None


def _name_nodes(nodes: Iterable[onnx.NodeProto]) -> None:
    """`layer1.0.conv1/Conv`: the module that made the node, and the operator; unique."""
    taken: dict[str, int] = {}
    for node in nodes:
        module = _module(node)
        base = f"{module}/{node.op_type}" if module else node.op_type
        count = taken[base] = taken.get(base, 0) + 1
        node.name = base if count == 1 else f"{base}_{count}"


def _module(node: onnx.NodeProto) -> str:
    """The path of the innermost module, from the exporter's notes; empty at the root."""
    for prop in node.metadata_props:
        if prop.key == SCOPES:
            try:
                scopes = ast.literal_eval(prop.value)
                return str(scopes[-2])
            except (ValueError, SyntaxError, IndexError):
                return ""
    return ""


def _rename_values(graph: onnx.GraphProto) -> None:
    """A node's output is called as the node; names at the model's border stay."""
    fixed = {v.name for v in (*graph.input, *graph.output)} | {t.name for t in graph.initializer}
    fixed |= _captured(graph)
    names: dict[str, str] = {}
    for node in graph.node:
        for slot, name in enumerate(node.output):
            if name and name not in fixed and node.name not in fixed:
                names[name] = f"{node.name}:{slot}" if slot else node.name
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    kept = [v for v in graph.value_info if v.name in names]
    for value in kept:
        value.name = names[value.name]
    del graph.value_info[:]
    graph.value_info.extend(kept)


def _strip(model: onnx.ModelProto) -> None:
    """No stack traces, source paths or notes of the tracer: they name the machine."""
    graph = model.graph
    model.ClearField("doc_string")
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info):
        part.ClearField("metadata_props")
    for holder in (graph, *graph.node, *graph.initializer):
        holder.ClearField("doc_string")
    for tensor in graph.initializer:
        tensor.ClearField("metadata_props")
