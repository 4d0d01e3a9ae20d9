"""The float types that a changed constant is written in: their limits, and one rounding to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

Value = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Float:
    """One float type: the largest and the smallest normal number, the step at 1 and at 0."""

    dtype: np.dtype[Any]
    largest: float
    smallest: float
    epsilon: float
    step: float


def _float(dtype: Any) -> Float:
    info: Any = ml_dtypes.finfo(dtype)  # type: ignore[no-untyped-call]
    limits = (info.max, info.tiny, info.eps, info.smallest_subnormal)
    return Float(np.dtype(dtype), *map(float, limits))


FLOATS: Mapping[int, Float] = {
    TensorProto.FLOAT: _float(np.float32),
    TensorProto.DOUBLE: _float(np.float64),
    TensorProto.FLOAT16: _float(np.float16),
    TensorProto.BFLOAT16: _float(ml_dtypes.bfloat16),
}


def written(value: NDArray[np.float64], elem_type: int) -> Value:
    """Float64 rounded once, to nearest, ties to even."""
    dtype = FLOATS[elem_type].dtype
    if elem_type == TensorProto.BFLOAT16:
        value = _to_odd(value)  # else numpy would round twice, to float32 first
    return value.astype(dtype)


def _to_odd(value: NDArray[np.float64]) -> NDArray[Any]:
    """Float32 toward zero, the last bit set where something was lost: a second rounding sees it."""
    near = np.array(value, np.float32)
    lost = (near != value) & np.isfinite(near)
    bits = near.view(np.uint32)
    bits -= lost & (np.abs(near) > np.abs(value))
    bits |= lost
    return near


def exactly_one(scale: NDArray[np.float64], elem_type: int) -> NDArray[np.float64]:
    """Values that the type cannot tell from 1 are 1: gamma = sqrt(var + eps), or k times 1/k."""
    return np.where(np.abs(scale - 1) <= FLOATS[elem_type].epsilon / 4, 1.0, scale)


def alike_when_written(values: NDArray[np.float64], elem_type: int) -> NDArray[np.float64]:
    """Length 1 along axes where the type cannot tell the values apart: as a second fold sees it."""
    near = written(values, elem_type)
    for axis, length in enumerate(values.shape):
        first = (slice(None),) * axis + (slice(0, 1),)
        if length > 1 and (near == near[first]).all():
            near, values = near[first], values[first]
    return values
