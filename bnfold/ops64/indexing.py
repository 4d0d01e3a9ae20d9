"""Operators that pick and place values: Slice, Gather, Scatter, Where, Compress, NonZero, TopK."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bnfold.ops64.call import Array, Call, Kernel, Result, axis_of


def _slice(call: Call) -> Result:
    """Attributes below opset 10, inputs from it on; numpy clamps as ONNX does."""
    x = call.need(0)
    starts, ends = call.ints_at(1, "starts") or [], call.ints_at(2, "ends") or []
    axes = call.ints_at(3, "axes") or list(range(len(starts)))
    steps = call.ints_at(4, "steps") or [1] * len(starts)
    where = [slice(None)] * x.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        where[axis_of(axis, x.ndim)] = _span(start, end, step, x.shape[axis])
    return x[tuple(where)]


def _span(start: int, end: int, step: int, size: int) -> slice:
    # a negative end means "from the back" once; below -size it is "before the first value"
    start = start + size if start < 0 else start
    end = end + size if end < 0 else end
    if step > 0:
        return slice(min(max(start, 0), size), min(max(end, 0), size), step)
    start, end = min(max(start, 0), size - 1), min(max(end, -1), size - 1)
    return slice(start, None if end < 0 else end, step)


def _gather(call: Call) -> Result:
    x, indices = call.need(0), call.need(1)
    return np.take(x, indices, axis=call.attr("axis", 0), mode="wrap" if x.size else "raise")


def _gather_elements(call: Call) -> Result:
    x, indices = call.need(0), call.need(1)
    axis = axis_of(call.attr("axis", 0), x.ndim)
    return x[_along(indices, axis, x.shape[axis])]


def _along(indices: Array, axis: int, size: int) -> tuple[Array, ...]:
    grid: list[Array] = list(np.indices(indices.shape, sparse=True))
    grid[axis] = np.where(indices < 0, indices + size, indices)
    return tuple(grid)


def _gather_nd(call: Call) -> Result:
    x, indices = call.need(0), call.need(1)
    batch = call.attr("batch_dims", 0)
    lead = x.shape[:batch]
    rows = x.reshape(-1, *x.shape[batch:])
    picks = indices.reshape(-1, *indices.shape[batch:])
    parts = [row[tuple(np.moveaxis(pick, -1, 0))] for row, pick in zip(rows, picks, strict=True)]
    out = np.stack(parts) if parts else rows
    return out.reshape(*lead, *out.shape[1:]) if batch else out[0]


_COMBINE: Mapping[str, Callable[..., Any]] = {
    "add": np.add.at,
    "mul": np.multiply.at,
    "max": np.maximum.at,
    "min": np.minimum.at,
}


def _place(out: Array, where: tuple[Array, ...], updates: Array, how: str) -> Array:
    if how == "none":
        out[where] = updates
    else:
        _COMBINE[how](out, where, updates)
    return out


def _scatter_elements(call: Call) -> Result:
    x, indices, updates = call.need(0), call.need(1), call.need(2)
    axis = axis_of(call.attr("axis", 0), x.ndim)
    where = _along(indices, axis, x.shape[axis])
    return _place(x.copy(), where, updates, call.text("reduction", "none"))


def _scatter_nd(call: Call) -> Result:
    x, indices, updates = call.need(0), call.need(1), call.need(2)
    where = tuple(np.moveaxis(indices, -1, 0))
    return _place(x.copy(), where, updates, call.text("reduction", "none"))


def _where(call: Call) -> Result:
    return np.where(call.need(0), call.need(1), call.need(2))


def _compress(call: Call) -> Result:
    x, keep = call.need(0), call.need(1).astype(bool)
    axis = call.attr("axis")
    if axis is None:
        return np.compress(keep, x.reshape(-1))
    return np.compress(keep, x, axis=axis)


def _non_zero(call: Call) -> Result:
    x = np.atleast_1d(call.need(0))
    return np.array(np.nonzero(x), dtype=np.int64)


def _top_k(call: Call) -> Result:
    """Ties keep the lower index; `sorted` or not, the answer is sorted."""
    x = call.need(0)
    given = call.get(1)
    k = int(call.attr("k") if given is None else given.reshape(-1)[0])
    axis = axis_of(call.attr("axis", -1), x.ndim)
    largest = call.attr("largest", 1)
    flipped = np.flip(x, axis) if largest else x
    order = np.argsort(flipped, axis=axis, kind="stable")
    if largest:
        order = np.flip(x.shape[axis] - 1 - order, axis)
    picks = np.take(order, range(k), axis=axis)
    return np.take_along_axis(x, picks, axis=axis), picks.astype(np.int64)


def _arg(find: Callable[..., Any]) -> Kernel:
    def kernel(call: Call) -> Result:
        x = call.need(0)
        axis = axis_of(call.attr("axis", 0), x.ndim)
        if call.attr("select_last_index", 0):
            index = x.shape[axis] - 1 - find(np.flip(x, axis), axis=axis)
        else:
            index = find(x, axis=axis)
        index = np.asarray(index, dtype=np.int64)
        return np.expand_dims(index, axis) if call.attr("keepdims", 1) else index

    return kernel


KERNELS: Mapping[str, Kernel] = {
    "ArgMax": _arg(np.argmax),
    "ArgMin": _arg(np.argmin),
    "Compress": _compress,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "NonZero": _non_zero,
    "Scatter": _scatter_elements,
    "ScatterElements": _scatter_elements,
    "ScatterND": _scatter_nd,
    "Slice": _slice,
    "TopK": _top_k,
    "Where": _where,
}
