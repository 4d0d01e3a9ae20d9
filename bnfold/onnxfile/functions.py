"""Local functions: none calls itself, and written out the model stays of a size one can hold."""

from __future__ import annotations

from collections.abc import Iterator

import onnx

from bnfold.errors import ModelError
from bnfold.show import show

MOST_NODES = 500_000  # with every call written out; checkers and runtimes walk each of them
MOST_NESTED = 100  # functions within functions, and bodies within bodies

Key = tuple[str, str, str]
Body = onnx.GraphProto | onnx.FunctionProto


def check_functions(model: onnx.ModelProto) -> None:
    """Refuse recursion, calls that multiply, and references to attributes out of place.

    A function named as an operator of onnx is refused as well: which of the two runs is up to
    each runtime, says onnx.proto.

    Raises:
        ModelError: a function calls itself, is there twice, hides an operator, or the model bursts.
    """
    functions: dict[Key, onnx.FunctionProto] = {}
    for function in model.functions:
        key = (_domain(function.domain), function.name, getattr(function, "overload", ""))
        if key in functions:
            raise ModelError(f"the function '{show(function.name)}' is there twice")
        if onnx.defs.has(function.name, key[0]):
            raise ModelError(
                f"the function '{show(function.name)}' has the name of an operator of onnx",
                hint="rename it: runtimes differ in which of the two they run",
            )
        functions[key] = function
    whole = _written_out(model.graph, functions)
    _check_references(model.graph)
    for body in (model.graph, *model.functions):
        _check_given(body, functions)
    if whole > MOST_NODES:
        raise ModelError(
            f"its functions, called within each other, make {whole} nodes; {MOST_NODES} is the most"
        )


def written_out(model: onnx.ModelProto) -> int:
    """The nodes of a model that `check_functions` lets through, with every call written out."""
    functions = {
        (_domain(f.domain), f.name, getattr(f, "overload", "")): f for f in model.functions
    }
    return _written_out(model.graph, functions)


def _written_out(graph: onnx.GraphProto, functions: dict[Key, onnx.FunctionProto]) -> int:
    sizes: dict[Key, int] = {}
    for key in functions:
        _measure(key, functions, sizes)
    return sum(sizes.get(call, 1) for call in _calls(graph))


def _check_given(body: Body, functions: dict[Key, onnx.FunctionProto]) -> None:
    """What a call gives as an attribute is of the type that the function's nodes want."""
    wanted: dict[Key, dict[str, int]] = {}
    for node in _nodes(body):
        key = _key(node)
        if key in functions and node.attribute:
            if key not in wanted:
                wanted[key] = _wanted(functions[key])
            for attribute in node.attribute:
                _check_kind(attribute, wanted[key])
    if isinstance(body, onnx.FunctionProto):
        own = _wanted(body)
        for attribute in body.attribute_proto:
            _check_kind(attribute, own)


def _wanted(function: onnx.FunctionProto) -> dict[str, int]:
    """The types in which a function's nodes read its attributes."""
    return {
        a.ref_attr_name: a.type for n in _nodes(function) for a in n.attribute if a.ref_attr_name
    }


def _check_kind(attribute: onnx.AttributeProto, wanted: dict[str, int]) -> None:
    if wanted.get(attribute.name, attribute.type) != attribute.type:
        raise ModelError(
            f"a function is given attribute '{show(attribute.name)}' of another type than it reads"
        )


def _check_references(graph: onnx.GraphProto) -> None:
    for node in _nodes(graph):
        for attribute in node.attribute:
            if attribute.ref_attr_name:
                raise ModelError(
                    f"attribute '{show(attribute.name)}' of a {show(node.op_type)} node refers to"
                    " one of a function, and stands in none"
                )


def _measure(start: Key, functions: dict[Key, onnx.FunctionProto], sizes: dict[Key, int]) -> None:
    """The nodes of a function with its calls written out, callees first."""
    path: list[tuple[Key, list[Key]]] = []
    if start not in sizes:
        path.append((start, list(_calls(functions[start]))))
    while path:
        if len(path) > MOST_NESTED:
            raise ModelError(f"functions are nested more than {MOST_NESTED} deep")
        key, calls = path[-1]
        open_calls = [call for call in calls if call in functions and call not in sizes]
        if not open_calls:
            sizes[key] = 1 + sum(sizes.get(call, 1) for call in calls)
            path.pop()
            continue
        callee = open_calls[0]
        if any(callee == above for above, _ in path):
            raise ModelError(f"the function '{show(callee[1])}' calls itself")
        path.append((callee, list(_calls(functions[callee]))))


def _calls(body: Body) -> Iterator[Key]:
    """What each node asks for."""
    return map(_key, _nodes(body))


def _key(node: onnx.NodeProto) -> Key:
    return _domain(node.domain), node.op_type, getattr(node, "overload", "")


def _nodes(body: Body) -> Iterator[onnx.NodeProto]:
    """Every node, those of bodies within it included."""
    stack: list[Body] = [body]
    while stack:
        for node in stack.pop().node:
            yield node
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    stack.append(attribute.g)
                stack.extend(attribute.graphs)


def _domain(name: str) -> str:
    return "" if name == "ai.onnx" else name
