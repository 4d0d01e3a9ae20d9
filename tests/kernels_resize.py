"""Resize and Upsample as one weight matrix an axis: float64 throughout, every version."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from onnx.reference.op_run import OpRun

Array = NDArray[np.float64]


def _positions(n: int, m: int, scale: float, mode: str, box: tuple[float, float]) -> Array:
    """Where each of m output samples lies among n input samples."""
    i = np.arange(m, dtype=np.float64)
    if mode == "align_corners":
        return i * (n - 1) / (m - 1) if m > 1 else np.zeros(1)
    if mode == "asymmetric":
        return i / scale
    if mode == "pytorch_half_pixel":
        return (i + 0.5) / scale - 0.5 if m > 1 else np.zeros(1)
    if mode == "half_pixel_symmetric":
        return n / 2 * (1 - m / (scale * n)) + (i + 0.5) / scale - 0.5
    if mode == "tf_crop_and_resize":
        begin, end = box
        if m == 1:
            return np.array([0.5 * (begin + end) * (n - 1)])
        return begin * (n - 1) + i * (end - begin) * (n - 1) / (m - 1)
    return (i + 0.5) / scale - 0.5


def _nearest(at: Array, how: str) -> Array:
    if how == "floor":
        return np.floor(at)
    if how == "ceil":
        return np.ceil(at)
    return np.floor(at + 0.5) if how == "round_prefer_ceil" else np.ceil(at - 0.5)


def _matrix(at: Array, n: int, mode: str, how: str, cubic: float, exclude: int) -> Array:
    """(m, n) weights, each row summing to 1."""
    weights = np.zeros((len(at), n))
    rows = np.arange(len(at))
    if mode == "nearest":
        weights[rows, np.clip(_nearest(at, how), 0, n - 1).astype(int)] = 1
        return weights
    low = np.floor(at)
    for step in (0, 1) if mode == "linear" else (-1, 0, 1, 2):
        d = np.abs(at - (low + step))
        if mode == "linear":
            w = 1 - d
        else:
            near = ((cubic + 2) * d - (cubic + 3)) * d * d + 1
            far = ((cubic * d - 5 * cubic) * d + 8 * cubic) * d - 4 * cubic
            w = np.where(d <= 1, near, far)
        where = (low + step).astype(int)
        if exclude:
            w = np.where((where < 0) | (where >= n), 0.0, w)
        np.add.at(weights, (rows, np.clip(where, 0, n - 1)), w)
    return weights / weights.sum(1, keepdims=True)


def _apply(x: Array, axis: int, matrix: Array) -> Array:
    return np.moveaxis(np.tensordot(matrix, x, (1, axis)), 0, axis)


class Resize(OpRun):
    """All versions, without antialias."""

    op_domain = ""

    def _run(
        self, x, *inputs, antialias=0, axes=None, coordinate_transformation_mode="half_pixel",
        cubic_coeff_a=-0.75, exclude_outside=0, extrapolation_value=0.0,
        keep_aspect_ratio_policy="stretch", mode="nearest", nearest_mode="round_prefer_floor",
    ):  # fmt: skip
        assert not antialias, "not written"
        roi, scales, sizes = [*inputs, None, None, None][:3]
        if self.run_params["opsets"][""] == 10:
            roi, scales, sizes = None, inputs[0], None
            coordinate_transformation_mode, nearest_mode = "asymmetric", "floor"
        axes = [a % x.ndim for a in (range(x.ndim) if axes is None else axes)]
        shape, one = x.shape, min if keep_aspect_ratio_policy == "not_larger" else max
        crop = coordinate_transformation_mode == "tf_crop_and_resize"
        outside = np.zeros(x.shape[:0], dtype=bool)
        for i, axis in enumerate(axes):
            n = x.shape[axis]
            if sizes is not None and len(sizes):
                m = int(sizes[i])
                scale = m / n
                if keep_aspect_ratio_policy != "stretch":
                    scale = one(float(size) / shape[a] for a, size in zip(axes, sizes, strict=True))
                    m = int(np.floor(n * scale + 0.5))
            else:
                scale = float(scales[i])
                m = int(np.floor(n * scale))
            if m == n and scale == 1 and not crop:
                continue
            box = (float(roi[i]), float(roi[i + len(axes)])) if crop else (0.0, 1.0)
            at = _positions(n, m, scale, coordinate_transformation_mode, box)
            weights = _matrix(at, n, mode, nearest_mode, cubic_coeff_a, exclude_outside)
            x = _apply(x, axis, weights)
            gone = (crop & ((at < 0) | (at > n - 1))).reshape(
                [-1 if a == axis else 1 for a in range(x.ndim)]
            )
            outside = outside | gone
        return (np.where(outside, extrapolation_value, x),)


class Upsample(OpRun):
    """Versions 7 and 9: asymmetric, rounded down."""

    op_domain = ""

    def _run(self, x, scale=None, scales=None, mode="nearest"):
        for axis, s in enumerate(scales if scale is None else scale):
            n = x.shape[axis]
            if s != 1:
                at = np.arange(int(np.floor(n * float(s)))) / float(s)
                x = _apply(x, axis, _matrix(at, n, mode, "floor", -0.75, 0))
        return (x,)
