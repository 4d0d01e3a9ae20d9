"""Names, scopes and order: each value made once, before it is read, in no circle."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import onnx

from bnfold.errors import ModelError
from bnfold.onnxfile.tensors import MOST_DIMS
from bnfold.show import show

Body = onnx.GraphProto | onnx.FunctionProto
Scopes = tuple[set[str], ...]
_KINDS = frozenset(onnx.TensorProto.DataType.values())
_HOLDERS = {
    "sequence_type": "elem_type",
    "optional_type": "elem_type",
    "map_type": "value_type",
}
_TensorType = onnx.TypeProto.Tensor | onnx.TypeProto.SparseTensor


def check_and_sort(model: onnx.ModelProto) -> None:
    """Check every scope of `model`, and bring its nodes into an order the checker takes.

    Raises:
        ModelError: a name is made twice or never, or values depend on each other in a circle.
    """
    _graph(model.graph, ())
    for function in model.functions:
        names = _text(list(function.input), "input of a function")
        _unique(names, "input of a function")
        _body(function, set(names), list(function.output), ())


def _graph(graph: onnx.GraphProto, outer: Scopes) -> set[str]:
    """Check one graph; answers the names that it reads from the scopes around it."""
    inputs = [value.name for value in graph.input]
    constants = [tensor.name for tensor in graph.initializer]
    for sparse in graph.sparse_initializer:
        constants.append(sparse.values.name)
        if len(sparse.dims) > MOST_DIMS:
            raise ModelError(f"'{show(sparse.values.name)}' has {len(sparse.dims)} dimensions")
    outputs = [value.name for value in graph.output]
    _unique([node.name for node in graph.node if node.name], "node name")
    _unique(_text(inputs, "graph input"), "graph input")
    _unique(_text(constants, "initializer"), "initializer")
    _unique(_text(outputs, "graph output"), "graph output")
    for values in (graph.input, graph.output, graph.value_info):
        for value in values:
            _check_type(value)
    return _body(graph, {*inputs, *constants}, outputs, outer)


def _body(body: Body, given: set[str], outputs: Sequence[str], outer: Scopes) -> set[str]:
    maker: dict[str, int] = {}
    for index, node in enumerate(body.node):
        for name in _text(node.output, "output of a node"):
            if name and (name in maker or name in given):
                raise ModelError(f"the value '{show(name)}' is made twice")
            if name:
                maker[name] = index
    known = given | maker.keys()
    captured: set[str] = set()
    needs = [_reads(node, (*outer, known)) for node in body.node]
    for index, names in enumerate(needs):
        for name in names - known:
            if not any(name in scope for scope in outer):
                raise ModelError(f"{_label(body.node[index])} reads '{show(name)}', never made")
            captured.add(name)
    for name in outputs:
        if name not in known:
            if not any(name in scope for scope in outer):
                raise ModelError(f"the output '{show(name)}' is never made")
            captured.add(name)
    _sort(body, [{maker[name] for name in names if name in maker} for names in needs])
    return captured


def _reads(node: onnx.NodeProto, scopes: Scopes) -> set[str]:
    """What a node reads, the captures of its subgraphs included."""
    names = {name for name in _text(node.input, "input of a node") if name}
    _unique(_text([one.name for one in node.attribute], "attribute"), "attribute")
    for attribute in node.attribute:
        if attribute.HasField("g"):
            names |= _graph(attribute.g, scopes)
        for graph in attribute.graphs:
            names |= _graph(graph, scopes)
    return names


def _sort(body: Body, needs: list[set[int]]) -> None:
    """Stable topological order, in place; a sorted body is left alone."""
    if all(max(before, default=-1) < index for index, before in enumerate(needs)):
        return
    readers: list[list[int]] = [[] for _ in needs]
    for index, before in enumerate(needs):
        for other in before:
            readers[other].append(index)
    open_needs = [len(before) for before in needs]
    ready = [index for index, count in enumerate(open_needs) if not count]
    order: list[int] = []
    while ready:
        order.append(heapq.heappop(ready))
        for reader in readers[order[-1]]:
            open_needs[reader] -= 1
            if not open_needs[reader]:
                heapq.heappush(ready, reader)
    if len(order) < len(needs):
        stuck = min(set(range(len(needs))) - set(order))
        raise ModelError(f"{_label(body.node[stuck])} depends on itself: the graph has a cycle")
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in body.node]
    del body.node[:]
    body.node.extend(nodes[index] for index in order)


def _check_type(value: onnx.ValueInfoProto) -> None:
    _text([value.name], "value")
    for kind in _tensor_types(value.type):
        rank = len(kind.shape.dim)
        if rank > MOST_DIMS:
            raise ModelError(f"'{show(value.name)}' has {rank} dimensions; {MOST_DIMS} is the most")
        if kind.elem_type not in _KINDS:
            raise ModelError(f"'{show(value.name)}' has the unknown number type {kind.elem_type}")


def _tensor_types(kind: onnx.TypeProto) -> Iterator[_TensorType]:
    """The tensors in a type: itself, or what a sequence, an optional or a map holds."""
    while (which := kind.WhichOneof("value")) in _HOLDERS:
        kind = getattr(getattr(kind, which), _HOLDERS[which])
    if which in ("tensor_type", "sparse_tensor_type"):
        yield getattr(kind, which)


def _text(names: Iterable[str], what: str) -> list[str]:
    """The names; a name that is not UTF-8 comes out of protobuf as bytes and is refused."""
    kept = list(names)
    for name in kept:
        if not isinstance(name, str):
            raise ModelError(f"the name of an {what} is not UTF-8 text: {show(name)}")
    return kept


def _unique(names: list[str], what: str) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise ModelError(f"the {what} '{show(name)}' is there {count} times")


def _label(node: onnx.NodeProto) -> str:
    named = f" '{show(node.name)}'" if node.name else ""
    return f"the {show(node.op_type)} node{named}"
