"""Arithmetic, comparison and logic, value by value, with numpy's broadcasting."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import numpy as np

from bnfold.ops64.call import Array, Call, Kernel, Result


def unary(function: Callable[[Array], Any]) -> Kernel:
    """A kernel of one input."""

    def kernel(call: Call) -> Result:
        return np.asarray(function(call.need(0)))

    return kernel


def _legacy(call: Call) -> Array:
    """Input 1 aligned as `axis` of opsets below 7 asks; numpy's rule otherwise."""
    a, b = call.need(0), call.need(1)
    axis = call.attr("axis")
    if call.version >= 7 or axis is None or not call.attr("broadcast", 0):
        return b
    axis = axis + a.ndim if axis < 0 else axis
    return b.reshape(*b.shape, *[1] * (a.ndim - axis - b.ndim))


def binary(function: Callable[[Array, Array], Any]) -> Kernel:
    """A kernel of two broadcast inputs."""

    def kernel(call: Call) -> Result:
        return np.asarray(function(call.need(0), _legacy(call)))

    return kernel


def _variadic(function: Callable[[Array, Array], Any]) -> Kernel:
    def kernel(call: Call) -> Result:
        parts = [part for part in call.inputs if part is not None]
        return np.asarray(reduce(function, parts))

    return kernel


def _mean(call: Call) -> Result:
    parts = [part for part in call.inputs if part is not None]
    return np.asarray(reduce(np.add, parts) / len(parts))


def _divide(a: Array, b: Array) -> Any:
    """Integers truncate toward zero."""
    if a.dtype.kind not in "iu":
        return a / b
    quotient = np.floor_divide(a, b)
    if a.dtype.kind == "u":
        return quotient
    return quotient + ((quotient < 0) & (quotient * b != a)).astype(a.dtype)


def _mod(call: Call) -> Result:
    a, b = call.need(0), call.need(1)
    return np.asarray(np.fmod(a, b) if call.attr("fmod", 0) else np.mod(a, b))


def _power(a: Array, b: Array) -> Any:
    return np.power(a.astype(np.float64), b).astype(a.dtype) if a.dtype.kind in "iu" else a**b


def _clip(call: Call) -> Result:
    """Bounds by input from opset 11 on, by attribute before; max wins where min > max."""
    x = call.need(0)
    low, high = call.get(1), call.get(2)
    low = np.asarray(call.attr("min")) if low is None and "min" in call.attributes else low
    high = np.asarray(call.attr("max")) if high is None and "max" in call.attributes else high
    x = x if low is None else np.maximum(x, low)
    return np.asarray(x if high is None else np.minimum(x, high)).astype(call.need(0).dtype)


def _bit_shift(call: Call) -> Result:
    shift = np.left_shift if call.text("direction", "LEFT") == "LEFT" else np.right_shift
    return np.asarray(shift(call.need(0), call.need(1)))


def _is_inf(call: Call) -> Result:
    x = call.need(0)
    up = np.isposinf(x) if call.attr("detect_positive", 1) else np.zeros(x.shape, bool)
    down = np.isneginf(x) if call.attr("detect_negative", 1) else np.zeros(x.shape, bool)
    return np.asarray(up | down)


def _running(function: Callable[..., Any], neutral: float) -> Kernel:
    def kernel(call: Call) -> Result:
        x, axis = call.need(0), int(call.need(1).reshape(-1)[0])
        x = np.flip(x, axis) if call.attr("reverse", 0) else x
        out = function(x, axis=axis, dtype=x.dtype)
        if call.attr("exclusive", 0):
            out = np.roll(out, 1, axis)
            first: list[slice | int] = [slice(None)] * x.ndim
            first[axis] = 0
            out[tuple(first)] = neutral
        return np.asarray(np.flip(out, axis) if call.attr("reverse", 0) else out)

    return kernel


def _reciprocal(x: Array) -> Array:
    return np.asarray(1.0 / x)


KERNELS: Mapping[str, Kernel] = {
    "Abs": unary(np.abs),
    "Acos": unary(np.arccos),
    "Acosh": unary(np.arccosh),
    "Add": binary(np.add),
    "And": binary(np.logical_and),
    "Asin": unary(np.arcsin),
    "Asinh": unary(np.arcsinh),
    "Atan": unary(np.arctan),
    "Atanh": unary(np.arctanh),
    "BitShift": _bit_shift,
    "BitwiseAnd": binary(np.bitwise_and),
    "BitwiseNot": unary(np.bitwise_not),
    "BitwiseOr": binary(np.bitwise_or),
    "BitwiseXor": binary(np.bitwise_xor),
    "Ceil": unary(np.ceil),
    "Clip": _clip,
    "Cos": unary(np.cos),
    "Cosh": unary(np.cosh),
    "CumProd": _running(np.cumprod, 1.0),
    "CumSum": _running(np.cumsum, 0.0),
    "Div": binary(_divide),
    "Equal": binary(np.equal),
    "Exp": unary(np.exp),
    "Floor": unary(np.floor),
    "Greater": binary(np.greater),
    "GreaterOrEqual": binary(np.greater_equal),
    "IsInf": _is_inf,
    "IsNaN": unary(np.isnan),
    "Less": binary(np.less),
    "LessOrEqual": binary(np.less_equal),
    "Log": unary(np.log),
    "Max": _variadic(np.maximum),
    "Mean": _mean,
    "Min": _variadic(np.minimum),
    "Mod": _mod,
    "Mul": binary(np.multiply),
    "Neg": unary(np.negative),
    "Not": unary(np.logical_not),
    "Or": binary(np.logical_or),
    "Pow": binary(_power),
    "Reciprocal": unary(_reciprocal),
    "Round": unary(np.rint),
    "Sign": unary(np.sign),
    "Sin": unary(np.sin),
    "Sinh": unary(np.sinh),
    "Sqrt": unary(np.sqrt),
    "Sub": binary(np.subtract),
    "Sum": _variadic(np.add),
    "Tan": unary(np.tan),
    "Tanh": unary(np.tanh),
    "Xor": binary(np.logical_xor),
}
