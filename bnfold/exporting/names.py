"""Names that a reader of the file knows: those of the modules."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable

import onnx

SCOPES = "pkg.torch.onnx.name_scopes"
PARAMETERS = {
    "BatchNormalization": ("", "weight", "bias", "running_mean", "running_var"),
    "Conv": ("", "weight", "bias"),
    "ConvTranspose": ("", "weight", "bias"),
    "Gemm": ("", "weight", "bias"),
}


def name_nodes(nodes: Iterable[onnx.NodeProto]) -> None:
    """`layer1.0.conv1/Conv`: the module that made the node, and the operator; unique."""
    taken: dict[str, int] = {}
    for node in nodes:
        module = _module(node)
        base = f"{module}/{node.op_type}" if module else node.op_type
        count = taken[base] = taken.get(base, 0) + 1
        node.name = base if count == 1 else f"{base}_{count}"


def constant_name(node: onnx.NodeProto, slot: int, opset: int) -> str:
    """`norm.weight` for a parameter of a named module, else `pool/ReduceMean.axes`."""
    module = node.name.rpartition("/")[0]
    roles = PARAMETERS.get(node.op_type, ())
    if module and slot < len(roles):
        return f"{module}.{roles[slot]}"
    return f"{node.name}.{_formal(node, slot, opset)}"


def rename_values(graph: onnx.GraphProto, fixed: Collection[str]) -> None:
    """A node's output is called as the node; the names in `fixed` stay."""
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


def _module(node: onnx.NodeProto) -> str:
    """The path of the innermost module, from the exporter's notes; empty at the root."""
    for prop in node.metadata_props:
        if prop.key == SCOPES:
            try:
                path = str(ast.literal_eval(prop.value)[-2])
            except (ValueError, SyntaxError, IndexError, TypeError):
                return ""
            return "" if path.startswith("_empty_nn_module_stack") else path
    return ""


def _formal(node: onnx.NodeProto, slot: int, opset: int) -> str:
    """What the operator's page calls an input."""
    try:
        inputs = onnx.defs.get_schema(node.op_type, opset, node.domain).inputs
    except onnx.defs.SchemaError:
        return str(slot)
    return inputs[slot].name if slot < len(inputs) else f"{inputs[-1].name}{slot}"
