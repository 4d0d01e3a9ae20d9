"""Bodies of If, Loop and Scan: each is folded as a graph of its own, the innermost first.

What a body captures from around it is an input there: its value is never changed. Constants among
the captured can be read, and a body that changes one gets a constant of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import onnx

from bnfold.folding.branches import into_branches, norm_labels
from bnfold.folding.engine import Allowed, fold_graph
from bnfold.folding.place import Place, nothing_between
from bnfold.folding.report import Found
from bnfold.folding.spot import holds_batch_norm
from bnfold.graph.constants import rounded
from bnfold.graph.index import GraphIndex
from bnfold.graph.readers import captured_names, free_names, subgraphs
from bnfold.graph.shapes import TensorType

INITIALIZERS_ALONE = 4  # the IR version from which an initializer need not be an input


@dataclass(slots=True)
class _Outside:
    """The graph around bodies, indexed once the first of them needs it."""

    model: onnx.ModelProto
    place: Place
    found: GraphIndex | None = None

    @property
    def index(self) -> GraphIndex:
        if self.found is None:
            self.found = GraphIndex(self.model, self.place.variable, data=self.place.data)
        return self.found


def fold_scopes(model: onnx.ModelProto, place: Place, allowed: Allowed) -> Found:
    """Fold the bodies in a model's graph, then the graph itself."""
    labels = norm_labels(model.graph, place.scope)
    outside = _Outside(model, place)
    found = Found()
    released: set[str] = set()
    for position, node in enumerate(model.graph.node):
        bodies = [(name, body) for name, body in subgraphs(node) if _may_change(body, place)]
        if not bodies:
            continue
        before = captured_names(node)
        for name, body in bodies:
            scope = f"{place.scope}:{position}.{name}"
            found = found.with_all_of(_fold_body(outside, body, scope, allowed))
        released |= before - captured_names(node)
    here = replace(place, released=frozenset(released))
    found = fold_graph(model, here, allowed).with_all_of(found)

    def fold(body: onnx.GraphProto, scope: str, chosen: Allowed) -> Found:
        alone = replace(place, between=nothing_between)
        return _fold_body(_Outside(model, alone), body, scope, chosen)

    if model.ir_version < INITIALIZERS_ALONE:  # what a trial hoists could not be taken back
        return found
    return into_branches(model, place, labels, found, fold)


def _may_change(body: onnx.GraphProto, place: Place) -> bool:
    return place.between is not nothing_between or holds_batch_norm(body)


def _fold_body(outside: _Outside, body: onnx.GraphProto, scope: str, allowed: Allowed) -> Found:
    borrowed = sorted(free_names(body))
    alone = _alone(outside, body, borrowed)
    fed = {i.name for i in alone.graph.input}
    place = replace(
        outside.place,
        scope=scope,
        variable=frozenset(i.name for i in alone.graph.initializer if i.name in fed),
        borrowed=frozenset(borrowed),
    )
    found = fold_scopes(alone, place, allowed)
    if found.changed:
        _carry_back(alone.graph, body, place.borrowed)
        if outside.model.ir_version < INITIALIZERS_ALONE:
            _hoist(body, outside.model.graph)
    return found


def _alone(outside: _Outside, body: onnx.GraphProto, borrowed: list[str]) -> onnx.ModelProto:
    """The body as a model: what it captures becomes initializers and inputs."""
    source = outside.model
    alone = onnx.ModelProto(ir_version=source.ir_version)
    alone.opset_import.extend(source.opset_import)
    alone.functions.extend(source.functions)
    alone.graph.CopyFrom(body)
    index = outside.index
    for name in borrowed:
        constant = index.constant(name)
        if constant is None or not constant.elem_type:
            alone.graph.input.append(_typed(name, index.type_of(name)))
        elif name in index.initializers:
            alone.graph.initializer.append(index.initializers[name])
        else:
            alone.graph.initializer.append(rounded(constant, name))
    for name in borrowed:
        if index.is_overridable(name):
            alone.graph.initializer.append(index.initializers[name])
    return alone


def _typed(name: str, known: TensorType) -> onnx.ValueInfoProto:
    info = onnx.ValueInfoProto(name=name)
    if known.elem_type:
        info.type.tensor_type.elem_type = known.elem_type
        if known.shape is not None:
            info.type.tensor_type.shape.SetInParent()
            for size in known.shape:
                dim = info.type.tensor_type.shape.dim.add()
                if isinstance(size, int):
                    dim.dim_value = size
                elif size:
                    dim.dim_param = size
    return info


def _carry_back(source: onnx.GraphProto, body: onnx.GraphProto, borrowed: frozenset[str]) -> None:
    """Nodes, constants and types of the folded graph; inputs and outputs stay the body's."""
    nodes = list(source.node)
    del body.node[:], body.initializer[:], body.value_info[:]
    body.node.extend(nodes)
    body.initializer.extend(i for i in source.initializer if i.name not in borrowed)
    body.value_info.extend(source.value_info)


def _hoist(body: onnx.GraphProto, graph: onnx.GraphProto) -> None:
    """Let a body capture its constants: before IR 4 each would have to be an input as well."""
    for tensor in body.initializer:
        graph.initializer.append(tensor)
        graph.input.append(_typed(tensor.name, TensorType(tensor.data_type, tuple(tensor.dims))))
    del body.initializer[:]


def all_names(graph: onnx.GraphProto) -> Iterator[str]:
    """Every name that a graph and its bodies define or read."""
    for info in (*graph.input, *graph.initializer):
        yield info.name
    for node in graph.node:
        yield from node.input
        yield from node.output
        for _, body in subgraphs(node):
            yield from all_names(body)
