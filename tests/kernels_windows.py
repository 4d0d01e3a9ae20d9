"""Window kernels of the oracle: Conv, ConvTranspose and pools, of every rank and version."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from onnx.reference.op_run import OpRun

Array = NDArray[np.float64]


def _geometry(
    size: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    pads: Sequence[int],
    auto_pad: str,
    ceil_mode: int = 0,
) -> tuple[list[int], list[int], list[int]]:
    """Output size, begin pads and end pads of a window operator, per spatial axis."""
    out, begin, end = [], [], []
    for i, n in enumerate(size):
        reach = (kernel[i] - 1) * dilations[i] + 1
        if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
            o = -(-n // strides[i])
            total = max((o - 1) * strides[i] + reach - n, 0)
            less = total // 2
            b = less if auto_pad == "SAME_UPPER" else total - less
            e = total - b
        else:
            b, e = (0, 0) if auto_pad == "VALID" else (pads[i], pads[i + len(size)])
            room = n + b + e - reach
            o = (-(-room // strides[i]) if ceil_mode else room // strides[i]) + 1
            if ceil_mode and (o - 1) * strides[i] >= n + b:
                o -= 1  # a window that would start in the right padding is dropped
        out.append(o)
        begin.append(b)
        end.append(e)
    return out, begin, end


def _windows(
    x: Array,
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    out: Sequence[int],
    begin: Sequence[int],
    fill: float,
) -> Array:
    """(N, C, *out, *kernel) view of x behind its padding."""
    spatial = x.shape[2:]
    need = [
        max((o - 1) * s + (k - 1) * d + 1, b + n)
        for o, s, k, d, b, n in zip(out, strides, kernel, dilations, begin, spatial, strict=True)
    ]
    padded = np.full((*x.shape[:2], *need), fill, dtype=x.dtype)
    place = tuple(slice(b, b + n) for b, n in zip(begin, spatial, strict=True))
    padded[(slice(None), slice(None), *place)] = x
    step = padded.strides
    strided = [st * s for st, s in zip(step[2:], strides, strict=True)]
    dilated = [st * d for st, d in zip(step[2:], dilations, strict=True)]
    shape = (*x.shape[:2], *out, *kernel)
    return np.lib.stride_tricks.as_strided(padded, shape, (*step[:2], *strided, *dilated))


def _defaults(rank: int, strides: object, dilations: object, pads: object) -> tuple[list[int], ...]:
    return (
        list(strides or [1] * rank),  # type: ignore[call-overload]
        list(dilations or [1] * rank),  # type: ignore[call-overload]
        list(pads or [0] * 2 * rank),  # type: ignore[call-overload]
    )


class Conv(OpRun):
    """All versions, all ranks, all groups."""

    op_domain = ""

    def _run(
        self, x, w, b=None, auto_pad="NOTSET", dilations=None, group=1, kernel_shape=None,
        pads=None, strides=None,
    ):  # fmt: skip
        rank = x.ndim - 2
        strides, dilations, pads = _defaults(rank, strides, dilations, pads)
        kernel = w.shape[2:]
        out, begin, _ = _geometry(x.shape[2:], kernel, strides, dilations, pads, auto_pad or "")
        view = _windows(x, kernel, strides, dilations, out, begin, 0.0)
        parts = []
        for g, rows in enumerate(np.split(w, group)):
            taken = view[:, g * w.shape[1] : (g + 1) * w.shape[1]]
            axes = [1, *range(2 + rank, 2 + 2 * rank)]
            y = np.tensordot(taken, rows, (axes, [1, *range(2, 2 + rank)]))
            parts.append(np.moveaxis(y, -1, 1))
        y = np.concatenate(parts, 1)
        return ((y if b is None else y + b.reshape(-1, *[1] * rank)).astype(x.dtype),)


class ConvTranspose(OpRun):
    """All versions: the reference is wrong for more than one group."""

    op_domain = ""

    def _run(
        self, x, w, b=None, auto_pad="NOTSET", dilations=None, group=1, kernel_shape=None,
        output_padding=None, output_shape=None, pads=None, strides=None,
    ):  # fmt: skip
        rank, (batch, cin), per = x.ndim - 2, x.shape[:2], w.shape[1]
        strides, dilations, pads = _defaults(rank, strides, dilations, pads)
        extra = list(output_padding or [0] * rank)
        reach = [(k - 1) * d + 1 for k, d in zip(w.shape[2:], dilations, strict=True)]
        full = [(n - 1) * s + r for n, s, r in zip(x.shape[2:], strides, reach, strict=True)]
        begin = pads[:rank]
        out = [
            f + e - pads[i] - pads[i + rank]
            for i, (f, e) in enumerate(zip(full, extra, strict=True))
        ]
        if output_shape or (auto_pad or "").startswith("SAME"):
            out = list(output_shape or [n * s for n, s in zip(x.shape[2:], strides, strict=True)])
            total = [f + e - o for f, e, o in zip(full, extra, out, strict=True)]
            upper = auto_pad == "SAME_UPPER"
            begin = [t // 2 if upper else t - t // 2 for t in total]
        size = [max(f, o + p) for f, o, p in zip(full, out, begin, strict=True)]
        y = np.zeros((batch, per * group, *size), dtype=x.dtype)
        share = cin // group
        for tap in np.ndindex(*w.shape[2:]):
            where = tuple(
                slice(t * d, t * d + (n - 1) * s + 1, s)
                for t, d, n, s in zip(tap, dilations, x.shape[2:], strides, strict=True)
            )
            for g in range(group):
                rows = w[(slice(g * share, (g + 1) * share), slice(None), *tap)]
                put = np.tensordot(x[:, g * share : (g + 1) * share], rows, ([1], [0]))
                y[(slice(None), slice(g * per, (g + 1) * per), *where)] += np.moveaxis(put, -1, 1)
        y = y[(..., *(slice(p, p + o) for p, o in zip(begin, out, strict=True)))]
        return (y if b is None else y + b.reshape(-1, *[1] * rank),)


class MaxPool(OpRun):
    """All versions, with Indices (storage_order=0)."""

    op_domain = ""

    def _run(
        self, x, auto_pad="NOTSET", ceil_mode=0, dilations=None, kernel_shape=None, pads=None,
        storage_order=0, strides=None,
    ):  # fmt: skip
        rank = x.ndim - 2
        strides, dilations, pads = _defaults(rank, strides, dilations, pads)
        out, begin, _ = _geometry(
            x.shape[2:], kernel_shape, strides, dilations, pads, auto_pad or "", ceil_mode or 0
        )
        args = (kernel_shape, strides, dilations, out, begin)
        flat = _windows(x, *args, -np.inf).reshape(*x.shape[:2], *out, -1)
        best = flat.argmax(-1)
        y = np.take_along_axis(flat, best[..., None], -1)[..., 0]
        if len(self.onnx_node.output) < 2:
            return (y,)
        number = np.arange(x.size, dtype=np.float64).reshape(x.shape)
        where = _windows(number, *args, -1.0).reshape(flat.shape)
        return y, np.take_along_axis(where, best[..., None], -1)[..., 0].astype(np.int64)


class AveragePool(OpRun):
    """All versions; what ceil_mode adds at the end is never counted."""

    op_domain = ""

    def _run(
        self, x, auto_pad="NOTSET", ceil_mode=0, count_include_pad=0, dilations=None,
        kernel_shape=None, pads=None, strides=None,
    ):  # fmt: skip
        rank = x.ndim - 2
        strides, dilations, pads = _defaults(rank, strides, dilations, pads)
        out, begin, end = _geometry(
            x.shape[2:], kernel_shape, strides, dilations, pads, auto_pad or "", ceil_mode or 0
        )
        args = (kernel_shape, strides, dilations, out)
        axes = tuple(range(2 + rank, 2 + 2 * rank))
        total = _windows(x, *args, begin, 0.0).sum(axes)
        counted = np.ones((1, 1, *x.shape[2:]))
        if count_include_pad:
            both = [b + e + n for b, e, n in zip(begin, end, x.shape[2:], strict=True)]
            counted, begin = np.ones((1, 1, *both)), [0] * rank
        return ((total / _windows(counted, *args, begin, 0.0).sum(axes)).astype(x.dtype),)


class GlobalMaxPool(OpRun):
    """Any rank."""

    op_domain = ""

    def _run(self, x):
        return (x.max(tuple(range(2, x.ndim)), keepdims=True),)


class GlobalAveragePool(OpRun):
    """Any rank."""

    op_domain = ""

    def _run(self, x):
        return (x.mean(tuple(range(2, x.ndim)), keepdims=True),)
