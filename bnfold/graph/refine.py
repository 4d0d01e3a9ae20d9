"""Shapes that weights tell where inference is mute: behind and before foreign operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx

from bnfold.graph.shapes import Dim, TensorType


def refine(
    nodes: Sequence[onnx.NodeProto],
    initializers: Mapping[str, onnx.TensorProto],
    types: dict[str, TensorType],
) -> None:
    """Enter what the BatchNorms and Convs among `nodes`, in order, say of their neighbours."""

    def shape_of(name: str) -> tuple[Dim, ...] | None:
        return types.get(name, TensorType()).shape

    def know(name: str, shape: tuple[Dim, ...] | None) -> None:
        if shape is not None and shape_of(name) is None and name not in initializers:
            types[name] = TensorType(types.get(name, TensorType()).elem_type, shape)

    def know_channels(name: str, length: int) -> None:
        known = types.get(name, TensorType())
        if known.shape is not None and len(known.shape) > 1 and known.shape[1] is None:
            types[name] = TensorType(known.elem_type, (known.shape[0], length, *known.shape[2:]))

    known = (n for n in nodes if n.domain in ("", "ai.onnx") or n.op_type == "FusedConv")
    with_weights = [n for n in known if len(n.input) > 1]
    for node in (*reversed(with_weights), *with_weights):
        if node.input[1] not in initializers:
            continue
        before, behind = node.input[0], node.output[0]
        weight = tuple(initializers[node.input[1]].dims)
        if node.op_type == "BatchNormalization" and len(weight) == 1:
            know(before, shape_of(behind))
            know(behind, shape_of(before))
            know_channels(before, weight[0])
            know_channels(behind, weight[0])
        elif node.op_type in ("Conv", "FusedConv") and len(weight) > 2:
            free: tuple[Dim, ...] = (None,) * (len(weight) - 2)
            know(behind, (None, weight[0], *free))
            know(before, (None, None, *free))
