"""Integer inputs that index a table of the model's: how many rows it has."""

from __future__ import annotations

from collections.abc import Mapping

import onnx

_MOVING = frozenset(("Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"))


def rows(graph: onnx.GraphProto) -> Mapping[str, int]:
    """Input -> rows of the smallest table that a Gather reads by it."""
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    found: dict[str, int] = {}
    for node in graph.node:
        shape = shapes.get(node.input[0]) if node.op_type == "Gather" else None
        if shape:
            source = _source(node.input[1], makers)
            axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
            size = shape[axis] if -len(shape) <= axis < len(shape) else 1
            found[source] = min(size, found.get(source, size))
    return found


def _source(name: str, makers: Mapping[str, onnx.NodeProto]) -> str:
    while name in makers and makers[name].op_type in _MOVING:
        name = makers[name].input[0]
    return name
