"""Resize and Upsample: one interpolation matrix an axis, in every mode (separable)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bnfold.ops64.call import Array, Call, Kernel, Result, axes_of


@dataclass(frozen=True, slots=True)
class _Axis:
    """One axis: sizes, the scale, and the part of the region of interest."""

    size: int
    out: int
    scale: float
    start: float
    end: float


def _half_pixel(x: Array, axis: _Axis) -> Array:
    return (x + 0.5) / axis.scale - 0.5


def _symmetric(x: Array, axis: _Axis) -> Array:
    adjustment = axis.out / (axis.scale * axis.size)
    return axis.size / 2 * (1 - adjustment) + (x + 0.5) / axis.scale - 0.5


def _pytorch(x: Array, axis: _Axis) -> Array:
    return _half_pixel(x, axis) if axis.out > 1 else np.zeros_like(x)


def _corners(x: Array, axis: _Axis) -> Array:
    return x * (axis.size - 1) / (axis.out - 1) if axis.out > 1 else np.zeros_like(x)


def _asymmetric(x: Array, axis: _Axis) -> Array:
    return x / axis.scale


def _tf_nearest(x: Array, axis: _Axis) -> Array:
    return (x + 0.5) / axis.scale


def _tf_crop(x: Array, axis: _Axis) -> Array:
    last = axis.size - 1
    if axis.out > 1:
        return axis.start * last + x * (axis.end - axis.start) * last / (axis.out - 1)
    return np.full_like(x, 0.5 * (axis.start + axis.end) * last)


_COORDINATES: Mapping[str, Callable[[Array, _Axis], Array]] = {
    "align_corners": _corners,
    "asymmetric": _asymmetric,
    "half_pixel": _half_pixel,
    "half_pixel_symmetric": _symmetric,
    "pytorch_half_pixel": _pytorch,
    "tf_crop_and_resize": _tf_crop,
    "tf_half_pixel_for_nn": _tf_nearest,
}


def _prefer_floor(x: Array) -> Any:
    return np.ceil(x - 0.5)


def _prefer_ceil(x: Array) -> Any:
    return np.floor(x + 0.5)


_NEAREST: Mapping[str, Callable[[Array], Any]] = {
    "ceil": np.ceil,
    "floor": np.floor,
    "round_prefer_ceil": _prefer_ceil,
    "round_prefer_floor": _prefer_floor,
}


def _triangle(distance: Array, _: float) -> Array:
    return np.clip(1.0 - np.abs(distance), 0.0, 1.0)


def _keys(distance: Array, a: float) -> Array:
    """Keys' cubic convolution with its free coefficient `a`."""
    d = np.abs(distance)
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = a * (((d - 5) * d + 8) * d - 4)
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))


def _matrix(call: Call, mode: str, x: Array, axis: _Axis) -> Array:
    """(out, size): the weights of the input's values in each output."""
    weigh, reach = (_triangle, 1) if mode == "linear" else (_keys, 2)
    shrink = min(axis.scale, 1.0) if call.attr("antialias", 0) else 1.0
    reach = int(np.ceil(reach / shrink))
    first = np.floor(x).astype(np.int64)
    spots = first[:, None] + np.arange(-reach, reach + 2)
    weights = weigh((spots - x[:, None]) * shrink, float(call.attr("cubic_coeff_a", -0.75)))
    if call.attr("exclude_outside", 0):
        weights = np.where((spots >= 0) & (spots < axis.size), weights, 0.0)
    weights = weights / weights.sum(axis=1, keepdims=True)
    matrix = np.zeros((axis.out, axis.size))
    rows = np.broadcast_to(np.arange(axis.out)[:, None], spots.shape)
    np.add.at(matrix, (rows, np.clip(spots, 0, axis.size - 1)), weights)
    return matrix


def _nearest(call: Call, x: Array, axis: _Axis) -> Array:
    if call.op_type == "Upsample" or call.version < 11:
        picks = np.floor(x) if axis.scale >= 1 else np.ceil(x)
    else:
        picks = _NEAREST[call.text("nearest_mode", "round_prefer_floor")](x)
    return np.clip(picks, 0, axis.size - 1).astype(np.int64)


def _along(call: Call, data: Array, position: int, axis: _Axis) -> Array:
    mode = call.text("mode", "nearest")
    if call.op_type == "Upsample" or call.version < 11:
        how = "asymmetric"
    else:
        how = call.text("coordinate_transformation_mode", "half_pixel")
    x = _COORDINATES[how](np.arange(axis.out, dtype=np.float64), axis)
    if mode == "nearest":
        data = np.take(data, _nearest(call, x, axis), axis=position)
    elif axis.size != axis.out or not np.array_equal(x, np.arange(axis.out)):
        matrix = _matrix(call, mode.replace("bi", ""), x, axis)
        data = np.moveaxis(np.tensordot(matrix, data, axes=(1, position)), 0, position)
    if how == "tf_crop_and_resize":
        outside = (x < 0) | (x > axis.size - 1)
        shape = [1] * data.ndim
        shape[position] = -1
        fill = float(call.attr("extrapolation_value", 0.0))
        data = np.where(outside.reshape(shape), fill, data)
    return data


def _sizes(call: Call, shape: tuple[int, ...], axes: tuple[int, ...]) -> dict[int, _Axis]:
    """Sizes win over scales; keep_aspect_ratio_policy scales all axes alike."""
    roi = call.get(1) if call.op_type == "Resize" and call.version >= 11 else None
    given = call.get(1 if call.op_type == "Upsample" or call.version < 11 else 2)
    scales = [float(s) for s in (call.attr("scales", []) if given is None else given)]
    sizes = call.get(3)
    n = len(axes)
    if sizes is not None and sizes.size:
        out = [int(size) for size in sizes]
        scales = [size / shape[axis] for size, axis in zip(out, axes, strict=True)]
        policy = call.text("keep_aspect_ratio_policy", "stretch")
        if policy != "stretch":
            scales = [(min if policy == "not_larger" else max)(scales)] * n
            out = [int(np.floor(shape[a] * s + 0.5)) for a, s in zip(axes, scales, strict=True)]
    else:
        out = [int(np.floor(shape[a] * s)) for a, s in zip(axes, scales, strict=True)]
    ends = roi if roi is not None and roi.size == 2 * n else np.array([0.0] * n + [1.0] * n)
    return {
        axis: _Axis(shape[axis], out[k], scales[k], float(ends[k]), float(ends[k + n]))
        for k, axis in enumerate(axes)
    }


def _resize(call: Call) -> Result:
    x = call.need(0)
    axes = axes_of(call.ints("axes") or range(x.ndim), x.ndim)
    data = x
    for position, axis in _sizes(call, x.shape, axes).items():
        data = _along(call, data, position, axis)
    return np.asarray(data, dtype=x.dtype)


KERNELS: Mapping[str, Kernel] = {
    "Resize": _resize,
    "Upsample": _resize,
}
