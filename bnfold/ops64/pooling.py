"""Pools: maximum, average, Lp, over windows and over all positions; Pad in all its modes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bnfold.ops64.call import Array, Call, Kernel, Result, axes_of
from bnfold.ops64.windows import Window, pad_signed, window


def _geometry(call: Call) -> tuple[Array, Window]:
    x = call.need(0)
    return x, window(call, x.shape[2:], tuple(call.ints("kernel_shape") or ()))


def _max_pool(call: Call) -> Result:
    """The maximum; padding never wins.  Indices count along the whole input."""
    x, geometry = _geometry(call)
    lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    best: Array | None = None
    where: Array | None = None
    spots = _positions(call, x, geometry) if call.outputs > 1 else None
    for tap, view in geometry.taps(geometry.pad(x, lowest)):
        if best is None or (where is None) != (spots is None):
            best = view.copy()
            where = None if spots is None else spots[tap].copy()
            continue
        if spots is not None and where is not None:
            where = np.where(view > best, spots[tap], where)
        np.maximum(best, view, out=best)
    assert best is not None
    return (best,) if where is None else (best, where)


def _positions(call: Call, x: Array, geometry: Window) -> dict[tuple[int, ...], Array]:
    lead = int(np.prod(x.shape[:2]))
    size = int(np.prod(x.shape[2:]))
    spatial = np.arange(size, dtype=np.int64).reshape(x.shape[2:])
    if call.attr("storage_order", 0):  # count down the columns
        spatial = np.arange(size, dtype=np.int64).reshape(x.shape[:1:-1]).T
    first = (np.arange(lead, dtype=np.int64) * size).reshape(*x.shape[:2], *[1] * spatial.ndim)
    padded = geometry.pad(first + spatial, 0)
    return dict(geometry.taps(padded))


def _average_pool(call: Call) -> Result:
    """The mean of the window's real values, or of pads too under count_include_pad."""
    x, geometry = _geometry(call)
    ones = np.ones((1, 1, *x.shape[2:]))
    if call.attr("count_include_pad", 0):
        widths = [(0, 0), (0, 0), *zip(geometry.begin, geometry.end, strict=True)]
        ones = pad_signed(ones, widths, 1.0)
        extra = [(0, 0), (0, 0), *[(0, more) for more in geometry.extra]]
        counted = pad_signed(ones, extra, 0.0)
    else:
        counted = geometry.pad(ones, 0.0)
    return _total(geometry, geometry.pad(x, 0.0)) / _total(geometry, counted)


def _total(geometry: Window, padded: Array) -> Array:
    total = np.zeros((*padded.shape[:2], *geometry.out))
    for _, view in geometry.taps(padded):
        total += view
    return total


def _lp_pool(call: Call) -> Result:
    x, geometry = _geometry(call)
    p = call.attr("p", 2)
    return np.asarray(_total(geometry, geometry.pad(np.abs(x) ** p, 0.0)) ** (1.0 / p))


def _everywhere(function: Callable[..., Any]) -> Kernel:
    def kernel(call: Call) -> Result:
        x = call.need(0)
        return np.asarray(function(x, axis=tuple(range(2, x.ndim)), keepdims=True))

    return kernel


def _global_lp_pool(call: Call) -> Result:
    x, p = call.need(0), call.attr("p", 2)
    axes = tuple(range(2, x.ndim))
    return np.asarray(np.sum(np.abs(x) ** p, axis=axes, keepdims=True) ** (1.0 / p))


def _pad(call: Call) -> Result:
    """constant, reflect, edge, wrap; negative widths crop; `axes` from opset 18 on."""
    x = call.need(0)
    pads = call.ints_at(1, "pads") or call.ints("paddings") or []
    axes = axes_of(call.ints_at(3, "axes") or range(x.ndim), x.ndim)
    widths = [(0, 0)] * x.ndim
    for k, axis in enumerate(axes):
        widths[axis] = (pads[k], pads[k + len(axes)])
    mode = call.text("mode", "constant")
    if mode == "constant":
        fill = call.get(2)
        value = call.attr("value", 0.0) if fill is None or not fill.size else fill.reshape(-1)[0]
        return pad_signed(x, widths, value)
    cropped = pad_signed(x, [(min(b, 0), min(e, 0)) for b, e in widths], 0)
    grown = [(max(b, 0), max(e, 0)) for b, e in widths]
    how: Any = {"reflect": "reflect", "edge": "edge", "wrap": "wrap"}[mode]
    return np.pad(cropped, grown, mode=how)


KERNELS: Mapping[str, Kernel] = {
    "AveragePool": _average_pool,
    "GlobalAveragePool": _everywhere(np.mean),
    "GlobalLpPool": _global_lp_pool,
    "GlobalMaxPool": _everywhere(np.max),
    "LpPool": _lp_pool,
    "MaxPool": _max_pool,
    "Pad": _pad,
}
