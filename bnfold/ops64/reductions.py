"""Reductions: axes by attribute or by input, noop_with_empty_axes, keepdims."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bnfold.ops64.call import Array, Call, Kernel, Result, axes_of


def _reduction(function: Callable[..., Any]) -> Kernel:
    def kernel(call: Call) -> Result:
        x = call.need(0)
        axes = call.ints_at(1, "axes")
        if not axes and call.attr("noop_with_empty_axes", 0):
            # the elementwise part of the reduction stays: each value is a group of its own
            return _alone(function, x)
        axis = axes_of(axes, x.ndim) if axes else tuple(range(x.ndim))
        out = function(x, axis=axis, keepdims=bool(call.attr("keepdims", 1)))
        return np.asarray(out, dtype=x.dtype)

    return kernel


def _alone(function: Callable[..., Any], x: Array) -> Array:
    return np.asarray(function(x[..., None], axis=-1, keepdims=False), dtype=x.dtype)


def _l1(x: Array, **how: Any) -> Any:
    return np.sum(np.abs(x), **how)


def _l2(x: Array, **how: Any) -> Any:
    return np.sqrt(np.sum(np.square(x), **how))


def _log_sum(x: Array, **how: Any) -> Any:
    return np.log(np.sum(x, **how))


def _sum_square(x: Array, **how: Any) -> Any:
    return np.sum(np.square(x), **how)


def _log_sum_exp(x: Array, *, axis: Any, keepdims: bool) -> Any:
    top = np.max(x, axis=axis, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0.0)
    total = np.log(np.sum(np.exp(x - top), axis=axis, keepdims=True)) + top
    return total if keepdims else np.squeeze(total, axis)


def _extreme(function: Callable[..., Any], which: str) -> Callable[..., Any]:
    """The neutral value of an empty group is the type's end."""

    def reduce(x: Array, **how: Any) -> Any:
        if x.dtype.kind == "f":
            empty: Any = -np.inf if which == "max" else np.inf
        elif x.dtype.kind == "b":
            return (np.any if which == "max" else np.all)(x, **how)
        else:
            info = np.iinfo(x.dtype)
            empty = info.min if which == "max" else info.max
        return function(x, initial=empty, **how)

    return reduce


KERNELS: Mapping[str, Kernel] = {
    "ReduceL1": _reduction(_l1),
    "ReduceL2": _reduction(_l2),
    "ReduceLogSum": _reduction(_log_sum),
    "ReduceLogSumExp": _reduction(_log_sum_exp),
    "ReduceMax": _reduction(_extreme(np.max, "max")),
    "ReduceMean": _reduction(np.mean),
    "ReduceMin": _reduction(_extreme(np.min, "min")),
    "ReduceProd": _reduction(np.prod),
    "ReduceSum": _reduction(np.sum),
    "ReduceSumSquare": _reduction(_sum_square),
}
