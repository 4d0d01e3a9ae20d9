"""QuantizeLinear and DequantizeLinear: per tensor, per axis, in blocks; and the dynamic form."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bnfold.ops64.call import FLOATS, UNDEFINED, Array, Call, Kernel, Result, numpy_type, round_to

_INT_ENDS: Mapping[int, tuple[int, int]] = {
    2: (0, 255),
    3: (-128, 127),
    4: (0, 65535),
    5: (-32768, 32767),
    21: (0, 15),
    22: (-8, 7),
    25: (0, 3),
    26: (-2, 1),
}


def _aligned(values: Array, like: Array, call: Call) -> Array:
    """A scale or zero point laid out to broadcast against `like`."""
    if values.size == 1 and values.ndim <= 1:
        return values.reshape(())
    axis = int(call.attr("axis", 1))
    axis = axis + like.ndim if axis < 0 else axis
    block = int(call.attr("block_size", 0))
    if values.ndim == 1 and not block:
        return values.reshape(-1, *[1] * (like.ndim - axis - 1))
    repeats = block or -(-like.shape[axis] // values.shape[axis])
    grown = np.repeat(values, repeats, axis=axis)
    return np.take(grown, range(like.shape[axis]), axis=axis)


def _dequantize(call: Call) -> Result:
    """(x - zero) * scale."""
    x, scale, zero = call.need(0), call.need(1), call.get(2)
    wide = x.astype(np.float64)
    if zero is not None:
        wide = wide - _aligned(zero.astype(np.float64), x, call)
    return np.asarray(wide * _aligned(scale, x, call))


def _quantize(call: Call) -> Result:
    """Round half to even, add the zero point, saturate to the zero point's type."""
    x, scale, zero = call.need(0), call.need(1), call.get(2)
    target = call.type_of(2) or int(call.attr("output_dtype", UNDEFINED))
    if target == UNDEFINED:
        target = 2 if zero is None else _type_by_dtype(zero)
    scaled = x / _aligned(scale, x, call)
    if target in FLOATS:
        return round_to(scaled, target, call.attr("saturate", 1))
    whole = np.rint(scaled)
    if zero is not None:
        whole = whole + _aligned(zero.astype(np.float64), x, call)
    low, high = _INT_ENDS[target]
    dtype = np.dtype(np.uint8 if low == 0 else np.int8) if high < 255 else numpy_type(target)
    return np.clip(whole, low, high).astype(dtype)


def _type_by_dtype(zero: Array) -> int:
    kinds = {"uint8": 2, "int8": 3, "uint16": 4, "int16": 5}
    return kinds[zero.dtype.name]


def _dynamic_quantize(call: Call) -> Result:
    """uint8 over the range of x, zero always in it; y, scale and zero point."""
    x = call.need(0)
    low, high = min(0.0, float(x.min())), max(0.0, float(x.max()))
    scale = (high - low) / 255.0 or 1.0
    zero = np.clip(np.rint(-low / scale), 0, 255)
    y = np.clip(np.rint(x / scale) + zero, 0, 255).astype(np.uint8)
    return y, np.array(scale), np.array(zero, dtype=np.uint8)


KERNELS: Mapping[str, Kernel] = {
    "DequantizeLinear": _dequantize,
    "DynamicQuantizeLinear": _dynamic_quantize,
    "QuantizeLinear": _quantize,
}
