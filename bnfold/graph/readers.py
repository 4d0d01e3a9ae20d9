"""Who reads a tensor, and what of it: from inside a nested graph, or its shape alone."""

from __future__ import annotations

from collections.abc import Iterator

import onnx

_GRAPH, _GRAPHS = onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS


def subgraphs(node: onnx.NodeProto) -> Iterator[tuple[str, onnx.GraphProto]]:
    """The bodies of a node (If, Loop, Scan), with the attribute that holds each."""
    for attribute in node.attribute:
        if attribute.type == _GRAPH:
            yield attribute.name, attribute.g
        elif attribute.type == _GRAPHS:
            yield from ((f"{attribute.name}[{i}]", g) for i, g in enumerate(attribute.graphs))


def has_body(node: onnx.NodeProto) -> bool:
    """Whether a graph stands in it."""
    return any(a.type in (_GRAPH, _GRAPHS) for a in node.attribute)


def every_node(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """The nodes of the graph, of all bodies within it, and of the local functions."""
    stack: list[onnx.GraphProto | onnx.FunctionProto] = [model.graph, *model.functions]
    while stack:
        for node in stack.pop().node:
            yield node
            stack += [body for _, body in subgraphs(node)]


def captured_names(node: onnx.NodeProto) -> set[str]:
    """Names that a node's bodies read, or give out, but do not define themselves."""
    names: set[str] = set()
    for _, graph in subgraphs(node):
        names |= free_names(graph)
    return names


def free_names(graph: onnx.GraphProto) -> set[str]:
    """Names that a graph reads or gives out, but does not define."""
    read = {o.name for o in graph.output}
    defined = {i.name for i in graph.input} | {i.name for i in graph.initializer}
    for node in graph.node:
        read.update(name for name in node.input if name)
        read |= captured_names(node)
        defined.update(node.output)
    return read - defined


def nested_names(node: onnx.NodeProto) -> set[str]:
    """Every name that a node's bodies define: a new name outside must not be shadowed by one."""
    names: set[str] = set()
    for _, graph in subgraphs(node):
        names.update(v.name for v in (*graph.input, *graph.initializer))
        for inner in graph.node:
            names.update(inner.output)
            names |= nested_names(inner)
    return names


def reads_shape_alone(op_type: str, domain: str, slot: int) -> bool:
    """Shape, Size and the type operand of CastLike do not read a tensor's values."""
    if domain not in ("", "ai.onnx"):
        return False
    return op_type in ("Shape", "Size") or (op_type == "CastLike" and slot == 1)
