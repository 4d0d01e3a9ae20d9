"""Kernels in which onnx.reference errs, or is slow, written anew for the oracle (float64)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from onnx.reference.op_run import OpRun

from tests.kernels_resize import Resize, Upsample
from tests.kernels_windows import (
    AveragePool,
    Conv,
    ConvTranspose,
    GlobalAveragePool,
    GlobalMaxPool,
    MaxPool,
)

Array = NDArray[np.float64]


def _column(vector: Array, rank: int) -> Array:
    """A per-channel vector, or (spatial=0) a whole per-activation array, shaped to axis 1."""
    if vector.ndim > 1:
        return vector
    return vector.reshape(-1, *[1] * (rank - 2))


class BatchNormalization(OpRun):
    """All versions: the reference blends statistics in 9-13 and cannot run 7-8."""

    op_domain = ""

    def _run(
        self, x, scale, bias, mean, var, epsilon=1e-5, momentum=0.9, spatial=1, training_mode=0, **_
    ):
        outputs = len(self.onnx_node.output)
        opset = self.run_params["opsets"][""]
        training = training_mode if opset >= 14 else outputs > 1
        axes = tuple(a for a in range(x.ndim) if a != 1)
        if not spatial:
            axes = (0,)
        used_mean, used_var = (x.mean(axes), x.var(axes)) if training else (mean, var)
        inverse = 1.0 / np.sqrt(np.asarray(used_var, x.dtype) + float(epsilon))
        y = (x - _column(used_mean, x.ndim)) * _column(scale * inverse, x.ndim)
        y = (y + _column(bias, x.ndim)).astype(x.dtype)
        if not training:
            return (y,)
        running = [mean * momentum + used_mean * (1 - momentum)]
        running.append(var * momentum + used_var * (1 - momentum))
        return (y, *running, used_mean, used_var)[: max(outputs, 1)]


class Pad(OpRun):
    """All versions, negative pads too."""

    op_domain = ""

    def _run(self, data, *inputs, mode="constant", pads=None, paddings=None, value=0.0):
        inputs = [*inputs, None, None, None][:3]
        amounts = inputs[0] if pads is None and paddings is None else (pads or paddings)
        amounts = np.asarray(amounts, dtype=np.int64)
        fill = value if inputs[1] is None else inputs[1]
        axes = range(data.ndim) if inputs[2] is None else [int(a) % data.ndim for a in inputs[2]]
        width = [[0, 0] for _ in range(data.ndim)]
        for i, axis in enumerate(axes):
            width[axis] = [int(amounts[i]), int(amounts[i + len(amounts) // 2])]
        cut = tuple(
            slice(max(-b, 0), n - max(-e, 0)) for (b, e), n in zip(width, data.shape, strict=True)
        )
        grow = [(max(b, 0), max(e, 0)) for b, e in width]
        if mode in (None, "", "constant"):
            return (np.pad(data[cut], grow, constant_values=np.asarray(fill).reshape(())),)
        return (np.pad(data[cut], grow, mode=mode),)


class DequantizeLinear(OpRun):
    """All versions: per tensor, per axis, blocked."""

    op_domain = ""

    def _run(self, x, scale, zero=None, axis=1, block_size=0, output_dtype=None):
        def spread(v: Array) -> Array:
            v = np.asarray(v, dtype=np.float64)
            if block_size:
                return np.repeat(v, block_size, axis)[tuple(slice(n) for n in x.shape)]
            if v.size == 1 or v.ndim != 1:
                return v.reshape(()) if v.size == 1 else v
            return v.reshape([-1 if a == axis % x.ndim else 1 for a in range(x.ndim)])

        shifted = x.astype(np.float64) - (0.0 if zero is None else spread(zero))
        return (shifted * spread(scale),)


class Softmax(OpRun):
    """Before opset 13 everything from `axis` on is one axis."""

    op_domain = ""

    def _run(self, x, axis=None):
        old = self.run_params["opsets"][""] < 13
        axis = (1 if old else -1) if axis is None else axis
        axis %= x.ndim
        axes = tuple(range(axis, x.ndim)) if old else (axis,)
        e = np.exp(x - x.max(axes, keepdims=True))
        return (e / e.sum(axes, keepdims=True),)


class Double(OpRun):
    """A foreign operator that is linear: 2x."""

    op_domain = "test.custom"

    def _run(self, x):
        return (2 * x,)


class Square(OpRun):
    """A foreign operator that is not linear: x * x."""

    op_domain = "test.custom"

    def _run(self, x):
        return (x * x,)


def _squared(self: OpRun, x: Array, *_: Array, **__: object) -> tuple[Array]:
    return (x * x,)


# The name BatchNormalization in a foreign domain is another operator.
FOREIGN_NORM = type("BatchNormalization", (OpRun,), {"op_domain": "test.custom", "_run": _squared})


class GlobalLpPool(OpRun):
    """The reference has none."""

    op_domain = ""

    def _run(self, x, p=2):
        axes = tuple(range(2, x.ndim))
        return ((np.abs(x) ** p).sum(axes, keepdims=True) ** (1 / p),)


class MeanVarianceNormalization(OpRun):
    """The reference expands it in float32."""

    op_domain = ""

    def _run(self, x, axes=(0, 2, 3)):
        centred = x - x.mean(tuple(axes), keepdims=True)
        return (centred / (np.sqrt((centred**2).mean(tuple(axes), keepdims=True)) + 1e-9),)


NEW_OPS = [GlobalMaxPool, GlobalLpPool, MeanVarianceNormalization, GlobalAveragePool,
    BatchNormalization, Conv, ConvTranspose, MaxPool, AveragePool, Pad, DequantizeLinear, Softmax,
    Resize, Upsample, Double, Square, FOREIGN_NORM,
]  # fmt: skip
