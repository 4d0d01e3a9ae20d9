"""IR version and opset brought down to what a target takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import onnx
from onnx import TensorProto

from bnfold.deployment.targets import Target
from bnfold.errors import CheckFailed
from bnfold.graph.readers import every_node
from bnfold.onnxfile.outline import dense_tensors
from bnfold.show import show

_STANDARD = ("", "ai.onnx")
_STEERING_BYTES = 1024  # a smaller constant may be read by a converter (axes, pads, sizes)

# element types that came with a later IR version than 9 (onnx/onnx.proto, the notes to Version)
_IR_OF_TYPE: Mapping[int, int] = {
    TensorProto.UINT4: 10,
    TensorProto.INT4: 10,
    TensorProto.FLOAT4E2M1: 11,
    TensorProto.FLOAT8E8M0: 12,
}


class Newer(NamedTuple):
    """A node whose definition is newer than the target."""

    op_type: str
    name: str
    since: int


class Lowered(NamedTuple):
    """The model, and what was done: `converted` where nodes were rewritten, not only stamped."""

    model: onnx.ModelProto
    converted: tuple[Newer, ...] = ()


def lowered(model: onnx.ModelProto, to: Target) -> Lowered:
    """`model` within the target's limits; itself, changed, or a converted copy.

    Where no node's definition is younger than the target's opset, the number alone changes: all
    definitions in use are the same in both. Else onnx.version_converter rewrites the nodes; the
    caller verifies what it made.

    Raises:
        CheckFailed: a node or a type that the target does not know.
    """
    opset = opset_of(model)
    newer: tuple[Newer, ...] = ()
    if opset > to.limits.opset:
        newer = tuple(_newer(model, opset, to.limits.opset))
        if newer:
            try:
                model = _converted(model, to.limits.opset)
            except Exception as cause:  # the converter's C++ raises RuntimeError and its own kinds
                why = f"onnx.version_converter has no way ({_line(cause)})"
                raise refusal(to, newer, why) from cause
        _stamp(model, to.limits.opset)
    if model.ir_version > to.limits.ir:
        _check_types(model, to)
        model.ir_version = to.limits.ir
    return Lowered(model, newer)


def opset_of(model: onnx.ModelProto) -> int:
    """The version of the standard operators."""
    versions = [entry.version for entry in model.opset_import if entry.domain in _STANDARD]
    return int(versions[0]) if versions else 1


def told(newer: tuple[Newer, ...]) -> str:
    """`Gelu (opset 20), Reshape (opset 21)`."""
    kinds = dict.fromkeys(f"{show(node.op_type)} (opset {node.since})" for node in newer)
    return ", ".join(list(kinds)[:5])


def refusal(to: Target, newer: tuple[Newer, ...], why: str) -> CheckFailed:
    """The target is too old for these nodes."""
    first = newer[0]
    where = f"node {show(first.name)}" if first.name else None
    return CheckFailed(
        f"{to} takes opset {to.limits.opset} and this model needs {told(newer)}: {show(why, 200)}",
        where=where,
        hint="choose a newer target, or export with a lower opset",
    )


def _newer(model: onnx.ModelProto, opset: int, limit: int) -> Iterator[Newer]:
    for node in every_node(model):
        if node.domain not in _STANDARD:
            continue
        try:
            since = onnx.defs.get_schema(node.op_type, opset, "").since_version
        except onnx.defs.SchemaError:
            continue
        if since > limit:
            yield Newer(node.op_type, node.name or (node.output[0] if node.output else ""), since)


def _stamp(model: onnx.ModelProto, opset: int) -> None:
    for owner in (model, *model.functions):
        for entry in owner.opset_import:
            if entry.domain in _STANDARD:
                entry.version = min(entry.version, opset)


def raised(model: onnx.ModelProto, opset: int, to: Target, what: str) -> Lowered:
    """`model` with at least this opset, which `what` needs.

    Raises:
        CheckFailed: the target takes no such opset, or there is no way there.
    """
    if opset_of(model) >= opset:
        return Lowered(model)
    if to.limits.opset < opset:
        raise CheckFailed(
            f"{what} needs opset {opset}, {to} takes {to.limits.opset}",
            hint="choose a newer target",
        )
    try:
        return Lowered(_converted(model, opset), (Newer(what, "", opset),))
    except Exception as cause:
        raise CheckFailed(
            f"{what} needs opset {opset}: onnx.version_converter has no way ({_line(cause)})",
            hint="export with a newer opset",
        ) from cause


def _converted(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """The graph through onnx.version_converter; weights wait outside, so that size is no limit."""
    from onnx import inliner, version_converter

    light, weights = _without_weights(model)
    light = inliner.inline_local_functions(light) if light.functions else light
    made = version_converter.convert_version(light, opset)
    kept = [value for value in made.graph.input if value.name not in weights]
    del made.graph.input[:]
    made.graph.input.extend(kept)
    made.graph.initializer.extend(weights.values())
    for field in ("metadata_props", "opset_import"):
        _restore(model, made, field)
    made.producer_name, made.producer_version = model.producer_name, model.producer_version
    made.doc_string, made.ir_version = model.doc_string, model.ir_version
    return made


def _without_weights(
    model: onnx.ModelProto,
) -> tuple[onnx.ModelProto, dict[str, onnx.TensorProto]]:
    """A copy in which each large weight is a graph input, and the weights by name."""
    weights = {t.name: t for t in model.graph.initializer if _is_weight(t)}
    light = onnx.ModelProto(ir_version=max(model.ir_version, 4))
    light.opset_import.extend(model.opset_import)
    light.functions.extend(model.functions)
    graph = model.graph
    light.graph.name = graph.name or "main"
    light.graph.node.extend(graph.node)
    listed = {value.name for value in graph.input}
    light.graph.input.extend(graph.input)
    for name, tensor in weights.items():
        if name not in listed:
            value = onnx.helper.make_tensor_value_info(name, tensor.data_type, list(tensor.dims))
            light.graph.input.append(value)
    light.graph.initializer.extend(t for t in graph.initializer if t.name not in weights)
    light.graph.output.extend(graph.output)
    light.graph.value_info.extend(graph.value_info)
    return light, weights


def _is_weight(tensor: onnx.TensorProto) -> bool:
    """One that steers nothing, wherever its data lie."""
    external = tensor.data_location == TensorProto.EXTERNAL  # only large ones are left there
    return external or tensor.ByteSize() > _STEERING_BYTES


def _restore(model: onnx.ModelProto, made: onnx.ModelProto, field: str) -> None:
    """What the converter leaves behind: properties, and domains that it does not know."""
    if field == "metadata_props":
        made.metadata_props.extend(model.metadata_props)
        return
    present = {entry.domain for entry in made.opset_import}
    made.opset_import.extend(
        entry
        for entry in model.opset_import
        if entry.domain not in present and entry.domain not in _STANDARD
    )


def _check_types(model: onnx.ModelProto, to: Target) -> None:
    for tensor in dense_tensors(model):
        if _IR_OF_TYPE.get(tensor.data_type, 0) > to.limits.ir:
            kind = TensorProto.DataType.Name(tensor.data_type)
            raise CheckFailed(
                f"{to} takes IR {to.limits.ir}, and {kind} came later",
                where=f"tensor {show(tensor.name)}",
                hint="choose a newer target",
            )


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
