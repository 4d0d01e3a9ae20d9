"""Fold a scale into quantised weights: s (q - z) d = (q' - z') d' with d' = |s| d > 0.

Where s < 0, the integers change sign about their zero point, q' = 2z - q. Where one has no room
for that (int8's -128 about 0), all of the channel are complemented, q' = ~q and z' = ~z, which
always has room. Where s = 0, q' = z.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from onnx import TensorProto

from bnfold.folding.affine import Array, collapsed
from bnfold.folding.answers import Change, Put
from bnfold.folding.certificate import Ledger, expected
from bnfold.folding.masters import Role, in_range
from bnfold.folding.reasons import Reason
from bnfold.graph.constants import Constant
from bnfold.graph.index import GraphIndex, Node
from bnfold.graph.numbers import Value
from bnfold.graph.quantised import Quantised, quantised

_ENDS: Mapping[int, tuple[int, int]] = {
    TensorProto.UINT8: (0, 255),
    TensorProto.INT8: (-128, 127),
    TensorProto.UINT16: (0, 65535),
    TensorProto.INT16: (-32768, 32767),
    TensorProto.INT32: (-(2**31), 2**31 - 1),
    TensorProto.UINT4: (0, 15),
    TensorProto.INT4: (-8, 7),
    TensorProto.UINT2: (0, 3),
    TensorProto.INT2: (-2, 1),
}
_PER_AXIS = 13  # the opset that brought `axis`


@dataclass(frozen=True, slots=True)
class Rescaled:
    """The new constants of a DequantizeLinear; None for what stays as it is."""

    scale: Array
    integers: Value | None
    zero: Value | None
    axis: int | None


def rescaled(weight: Quantised, change: Change, opset: int) -> Rescaled | Reason:
    """What a change of the weight makes of its integers, scale and zero point."""
    if isinstance(change, Put):
        return Reason.WOULD_COST_MORE  # other values, not multiples: as floats four times the size
    by = collapsed(change.by.reshape((1,) * (weight.rank - change.by.ndim) + change.by.shape))
    if weight.perm:
        by = by.transpose(np.argsort(weight.perm))
    axes = [axis for axis, n in enumerate(by.shape) if n > 1]
    if weight.block:
        fits = weight.axis not in axes
    else:
        fits = not axes or (axes == [weight.axis] if weight.axis is not None else len(axes) == 1)
    if not fits or (axes and weight.axis is None and opset < _PER_AXIS):
        return Reason.AXIS_MISMATCH
    if weight.axis is None and axes:
        weight = _per_axis(weight, axes[0])
    grown = weight.scale.value() * (by if weight.block else by.reshape(-1)[: by.size or 1])
    scale = np.where(grown == 0, weight.scale.value(), np.abs(grown))
    if weight.axis is None:
        scale = scale.reshape(weight.scale.shape)
    if not in_range(None, Put(scale), weight.scale.elem_type, Role.FACTOR):
        return Reason.NUMBER_RANGE
    turned = _turned(weight, by)
    if isinstance(turned, Reason):
        return turned
    return Rescaled(scale, *turned, weight.axis)


def _per_axis(weight: Quantised, axis: int) -> Quantised:
    """The same weight with one scale and zero point a channel."""
    length = weight.integers.shape[axis]

    def spread(constant: Constant) -> Constant:
        value = np.repeat(constant.value().reshape(-1), length)
        return Constant(constant.elem_type, value.shape, lambda: value)

    zero = None if weight.zero is None else spread(weight.zero)
    return replace(weight, scale=spread(weight.scale), zero=zero, axis=axis)


def _turned(weight: Quantised, by: Array) -> tuple[Value | None, Value | None] | Reason:
    """Integers and zero points under the signs of `by`; those of a tensor unchanged are None."""
    zero = None if weight.zero is None else weight.zero.value()
    if (by > 0).all():
        return None, zero
    integers = weight.integers.value()
    ends = _ENDS.get(weight.integers.elem_type)
    if ends is None:  # a small float has a sign of its own
        if zero is not None and np.asarray(zero, np.float64).any():
            return Reason.NUMBER_RANGE
        signed = integers.astype(np.float64) * np.sign(by)
        return signed.astype(integers.dtype), zero
    q = integers.astype(np.int64)
    z = np.zeros((1,) * weight.rank, np.int64)
    if zero is not None:
        z = weight.laid(zero.astype(np.int64))
    turned = np.where(by < 0, 2 * z - q, np.where(by == 0, z, q))
    full = (turned < ends[0]) | (turned > ends[1])
    if not full.any():
        return turned.astype(integers.dtype), zero
    if weight.block or weight.integers.elem_type == TensorProto.INT32:
        return Reason.NUMBER_RANGE
    around = tuple(axis for axis in range(weight.rank) if axis != weight.axis)
    channels = full.any(axis=around, keepdims=True)
    complement = ends[0] + ends[1]
    turned = np.where(channels, complement - q, turned)
    moved = np.where(channels, complement - z, z)
    flat = np.broadcast_to(moved, channels.shape).reshape(weight.scale.shape)
    return turned.astype(integers.dtype), flat.astype(integers.dtype)


def is_shared(index: GraphIndex, weight: Quantised) -> bool:
    """Others read the weight too: the fold works on a copy of the DequantizeLinear."""
    return any(index.has_several_readers(name) or index.is_exposed(name) for name in weight.names)


def rescale(index: GraphIndex, node: Node, slot: int, change: Change, ledger: Ledger) -> None:
    """Carry a change of a node's quantised weight out."""
    weight = quantised(index, node.inputs[slot])
    assert weight is not None
    new = rescaled(weight, change, index.opset)
    assert isinstance(new, Rescaled), "asked before the plan was taken"
    dequantize = weight.node
    for link in weight.transposes:
        index.rename(link.outputs[0], index.fresh(f"{link.outputs[0]}_folded"))
    output = index.fresh(f"{dequantize.outputs[0]}_folded")
    if is_shared(index, weight):
        dequantize = index.insert_behind(
            dequantize, "DequantizeLinear", list(dequantize.inputs), output
        )
        dequantize.edited.update(weight.node.attributes)
        if weight.node.behind is not None:  # a copy of a copy stands behind the first
            dequantize.behind = weight.node.behind
        index.set_input(node, slot, output)
    else:
        index.rename(dequantize.outputs[0], output)
    index.types[output] = index.type_of(weight.node.outputs[0])
    kinds = (weight.integers.elem_type, weight.scale.elem_type, weight.integers.elem_type)
    for place, value in enumerate((new.integers, new.scale, new.zero)):
        if value is not None:
            name = _put(index, dequantize, place, value, kinds[place])
            ledger[name] = expected(None, Put(np.asarray(value, np.float64)))
    if new.axis is not None and weight.axis is None:
        index.change(dequantize, dequantize.op_type, {"axis": new.axis})


def _put(index: GraphIndex, node: Node, slot: int, value: Value, elem_type: int) -> str:
    constant = Constant(elem_type, value.shape, lambda: value)
    old = node.inputs[slot] if slot < len(node.inputs) else ""
    if old in index.made and len(index.readers[old]) == 1:
        index.remake_constant(old, constant)
        return old
    base = f"{old}_folded" if old else f"{node.inputs[0]}_zero_folded"
    name = index.make_constant(base, constant, index.made_from.get(old, old))
    index.set_input(node, slot, name)
    return name
