"""The exporter's graph made clean: constants evaluated, readable names, nothing private in it.

ONNX Runtime fuses nothing into a node whose parameters are computed (`evaluate`), so each constant
becomes an initializer, and a zero bias is left out. A Reshape whose target is computed from the
batch size gets the constant that means the same.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx
from onnx import inliner, numpy_helper

from bnfold.exporting.evaluate import Sizes, Values, constants, sizes
from bnfold.exporting.names import constant_name, name_nodes, rename_values


def tidied(model: onnx.ModelProto) -> onnx.ModelProto:
    """A model that computes the same, with every constant an initializer; the argument stays."""
    model = inliner.inline_local_functions(model) if model.functions else _copied(model)
    graph = model.graph
    fixed = {v.name for v in (*graph.input, *graph.output)} | _captured(graph)
    values = constants(model)
    _bypass_identities(graph, fixed)
    _drop_zero_biases(graph, values)
    _freeze_reshapes(graph, values)
    _drop_unread(graph, values)
    name_nodes(graph.node)
    _materialise(graph, values, _opset(model))
    rename_values(graph, fixed | {t.name for t in graph.initializer})
    _strip(model)
    return model


def _copied(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def _opset(model: onnx.ModelProto) -> int:
    versions = {o.domain: o.version for o in model.opset_import}
    return int(versions.get("", 0) or versions["ai.onnx"])


def _captured(graph: onnx.GraphProto) -> set[str]:
    """Every name that a nested subgraph reads."""
    names: set[str] = set()
    for node in graph.node:
        for attribute in node.attribute:
            for body in (attribute.g, *attribute.graphs):
                names |= {name for inner in body.node for name in inner.input} | _captured(body)
                names |= {v.name for v in body.output}
    return names


def _bypass_identities(graph: onnx.GraphProto, fixed: Collection[str]) -> None:
    """Readers of an Identity (a dropout in eval mode) read what it reads."""
    source: dict[str, str] = {}
    for node in graph.node:
        node.input[:] = [source.get(name, name) for name in node.input]
        if node.op_type == "Identity" and not node.domain and node.output[0] not in fixed:
            source[node.output[0]] = node.input[0]


def _drop_zero_biases(graph: onnx.GraphProto, values: Values) -> None:
    """A convolution's computed bias of zeros is absent instead."""
    for node in graph.node:
        convolves = node.op_type in ("Conv", "ConvTranspose") and len(node.input) == 3
        if convolves and node.input[2] in values and not values[node.input[2]].any():
            del node.input[2]


def _freeze_reshapes(graph: onnx.GraphProto, values: Values) -> None:
    """Reshape(x, Concat(batch, 64)) as Reshape(x, [0, 64]): the target where one size is open."""
    known = sizes(graph)
    fixed = {t.name for t in graph.initializer} | values.keys()
    for node in graph.node:
        if node.op_type != "Reshape" or node.domain or node.input[1] in fixed:
            continue
        target = _target(known.get(node.input[0]), known.get(node.output[0]))
        if target is not None:  # it holds no size of zero, so allowzero is not needed
            kept = [a for a in node.attribute if a.name != "allowzero"]
            del node.attribute[:]
            node.attribute.extend(kept)
            node.input[1] = f"{node.output[0]}.target"
            values[node.input[1]] = np.asarray(target, np.int64)


def _target(before: Sizes | None, after: Sizes | None) -> list[int] | None:
    """0 copies the first size, also of an empty batch; -1 is whatever remains."""
    if not before or not after or 0 in after:
        return None
    open_sizes = [i for i, size in enumerate(after) if not isinstance(size, int)]
    if len(open_sizes) != 1:
        return None
    place = open_sizes[0]
    copies = place == 0 and isinstance(after[0], str) and before[0] == after[0]
    return [size if isinstance(size, int) else 0 if copies else -1 for size in after]


def _drop_unread(graph: onnx.GraphProto, values: Values) -> None:
    """Nodes whose values are constant or that nobody reads go."""
    read = {v.name for v in graph.output} | _captured(graph)
    kept: list[onnx.NodeProto] = []
    for node in reversed(graph.node):
        if all(name in values for name in node.output) or not read & set(node.output):
            continue
        read |= set(node.input)
        kept.append(node)
    kept.reverse()
    del graph.node[:]
    graph.node.extend(kept)


def _materialise(graph: onnx.GraphProto, values: Values, opset: int) -> None:
    """Computed constants that are still read become initializers; unread ones go."""
    taken = {t.name for t in graph.initializer} | {v.name for v in (*graph.input, *graph.output)}
    captured = _captured(graph)
    made: dict[str, str] = {}

    def make(name: str, wanted: str) -> None:
        made[name] = wanted
        taken.add(wanted)
        graph.initializer.append(numpy_helper.from_array(np.asarray(values[name]), wanted))

    for name in sorted(captured & values.keys()):
        make(name, name)
    for node in graph.node:
        for slot, name in enumerate(node.input):
            if name not in values:
                continue
            wanted = constant_name(node, slot, opset)
            own = node.op_type == "BatchNormalization"  # which never share a parameter
            if name not in made or own:
                make(name, wanted if wanted not in taken else name)
            node.input[slot] = made[name]
    _drop_unread_initializers(graph, captured)


def _drop_unread_initializers(graph: onnx.GraphProto, captured: Collection[str]) -> None:
    read = {name for node in graph.node for name in node.input}
    read |= {v.name for v in graph.output} | set(captured)
    kept = [t for t in graph.initializer if t.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)


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
