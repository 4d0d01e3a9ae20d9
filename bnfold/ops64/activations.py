"""Nonlinear functions of one tensor, and the softmax family."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bnfold.ops64.call import Array, Call, Kernel, Result
from bnfold.ops64.elementwise import unary

# W. J. Cody, "Rational Chebyshev approximations for the error function" (1969); |error| < 1e-15
_ERF_SMALL = (
    (1.85777706184603153e-1, 3.16112374387056560e0, 1.13864154151050156e2,
     3.77485237685302021e2, 3.20937758913846947e3),
    (1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3,
     2.84423683343917062e3),
)  # fmt: skip
_ERFC_MIDDLE = (
    (2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594e0,
     6.61191906371416295e1, 2.98635138197400131e2, 8.81952221241769090e2,
     1.71204761263407058e3, 2.05107837782607147e3, 1.23033935479799725e3),
    (1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2,
     1.62138957456669019e3, 3.29079923573345963e3, 4.36261909014324716e3,
     3.43936767414372164e3, 1.23033935480374942e3),
)  # fmt: skip
_ERFC_LARGE = (
    (1.63153871373020978e-2, 3.05326634961232344e-1, 3.60344899949804439e-1,
     1.25781726111229246e-1, 1.60837851487422766e-2, 6.58749161529837803e-4),
    (1.0, 2.56852019228982242e0, 1.87295284992346725e0, 5.27905102951428412e-1,
     6.05183413124413191e-2, 2.33520497626869185e-3),
)  # fmt: skip


def _ratio(pair: tuple[tuple[float, ...], tuple[float, ...]], x: Array) -> Array:
    return np.asarray(np.polyval(pair[0], x) / np.polyval(pair[1], x))


def erf(x: Array) -> Array:
    """The error function in float64."""
    size = np.abs(x)
    small = np.minimum(size, 0.46875)
    middle = np.clip(size, 0.46875, 4.0)
    large = np.clip(size, 4.0, 27.0)
    near = small * _ratio(_ERF_SMALL, small**2)
    between = 1.0 - np.exp(-(middle**2)) * _ratio(_ERFC_MIDDLE, middle)
    inverse = 1.0 / large**2
    tail = (1.0 / np.sqrt(np.pi) - inverse * _ratio(_ERFC_LARGE, inverse)) / large
    far = 1.0 - np.exp(-(large**2)) * tail
    out = np.where(size <= 0.46875, near, np.where(size <= 4.0, between, far))
    return np.asarray(np.copysign(np.where(np.isnan(x), x, out), x))


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)) without overflow."""
    e = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, 1.0, e) / (1.0 + e))


def softplus(x: Array) -> Array:
    """log(1 + exp(x)) without overflow."""
    return np.asarray(np.logaddexp(x, 0.0))


def _gelu(call: Call) -> Result:
    x = call.need(0)
    if call.text("approximate", "none") == "tanh":
        inner = np.sqrt(2.0 / np.pi) * (x + 0.044715 * x**3)
        return np.asarray(0.5 * x * (1.0 + np.tanh(inner)))
    return np.asarray(0.5 * x * (1.0 + erf(x / np.sqrt(2.0))))


def parametric(function: Callable[..., Any], **defaults: float) -> Kernel:
    """A kernel of one input whose attributes are passed on by keyword."""

    def kernel(call: Call) -> Result:
        values = {name: float(call.attr(name, default)) for name, default in defaults.items()}
        return np.asarray(function(call.need(0), **values))

    return kernel


def _relu(x: Array) -> Any:
    return np.maximum(x, 0)


def _leaky(x: Array, *, alpha: float) -> Any:
    return np.where(x < 0, alpha * x, x)


def _elu(x: Array, *, alpha: float) -> Any:
    return np.where(x < 0, alpha * np.expm1(x), x)


def _celu(x: Array, *, alpha: float) -> Any:
    return np.maximum(x, 0.0) + np.minimum(0.0, alpha * np.expm1(x / alpha))


def _selu(x: Array, *, alpha: float, gamma: float) -> Any:
    return gamma * np.where(x <= 0, alpha * np.expm1(x), x)


def _threshold(x: Array, *, alpha: float) -> Any:
    return np.where(x > alpha, x, 0.0)


def _shrink(x: Array, *, lambd: float, bias: float) -> Any:
    return np.where(x < -lambd, x + bias, np.where(x > lambd, x - bias, 0)).astype(x.dtype)


def _hard_sigmoid(x: Array, *, alpha: float, beta: float) -> Any:
    return np.clip(alpha * x + beta, 0.0, 1.0)


def _hard_swish(x: Array) -> Any:
    return x * np.clip(x / 6.0 + 0.5, 0.0, 1.0)


def _mish(x: Array) -> Any:
    return x * np.tanh(softplus(x))


def _softsign(x: Array) -> Any:
    return x / (1.0 + np.abs(x))


def _swish(x: Array, *, alpha: float) -> Any:
    return x * sigmoid(alpha * x)


def _prelu(call: Call) -> Result:
    """Below opset 7 a slope of one value a channel lies along axis 1."""
    x, slope = call.need(0), call.need(1)
    if call.version < 7 and slope.ndim == 1 and slope.size > 1:
        slope = slope.reshape(-1, *[1] * (x.ndim - 2))
    return np.asarray(np.where(x < 0, slope * x, x))


def softmax(x: Array, axis: int | tuple[int, ...]) -> Array:
    """exp(x) / sum(exp(x)) along `axis`."""
    e = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return np.asarray(e / np.sum(e, axis=axis, keepdims=True))


def log_softmax(x: Array, axis: int | tuple[int, ...]) -> Array:
    """X - log(sum(exp(x))) along `axis`."""
    x = x - np.max(x, axis=axis, keepdims=True)
    return np.asarray(x - np.log(np.sum(np.exp(x), axis=axis, keepdims=True)))


def hardmax(x: Array, axis: int | tuple[int, ...]) -> Array:
    """One at the first maximum along `axis`, zero elsewhere."""
    axes = (axis,) if isinstance(axis, int) else axis
    last = np.moveaxis(x, axes, range(-len(axes), 0))
    flat = last.reshape(*last.shape[: x.ndim - len(axes)], -1)
    out = (flat.argmax(-1)[..., None] == np.arange(flat.shape[-1])).astype(x.dtype)
    return np.moveaxis(out.reshape(last.shape), range(-len(axes), 0), axes)


def _along_axes(function: Callable[[Array, int | tuple[int, ...]], Array]) -> Kernel:
    """One axis from opset 13 on; before, everything from `axis` on taken together."""

    def kernel(call: Call) -> Result:
        x = call.need(0)
        axis = int(call.attr("axis", -1 if call.version >= 13 else 1))
        axis = axis + x.ndim if axis < 0 else axis
        return function(x, axis if call.version >= 13 else tuple(range(axis, x.ndim)))

    return kernel


KERNELS: Mapping[str, Kernel] = {
    "Celu": parametric(_celu, alpha=1.0),
    "Elu": parametric(_elu, alpha=1.0),
    "Erf": unary(erf),
    "Gelu": _gelu,
    "HardSigmoid": parametric(_hard_sigmoid, alpha=0.2, beta=0.5),
    "HardSwish": unary(_hard_swish),
    "Hardmax": _along_axes(hardmax),
    "LeakyRelu": parametric(_leaky, alpha=0.01),
    "LogSoftmax": _along_axes(log_softmax),
    "Mish": unary(_mish),
    "PRelu": _prelu,
    "Relu": unary(_relu),
    "Selu": parametric(_selu, alpha=1.67326319217681884765625, gamma=1.05070102214813232421875),
    "Shrink": parametric(_shrink, lambd=0.5, bias=0.0),
    "Sigmoid": unary(sigmoid),
    "Softmax": _along_axes(softmax),
    "Softplus": unary(softplus),
    "Softsign": unary(_softsign),
    "Swish": parametric(_swish, alpha=1.0),
    "ThresholdedRelu": parametric(_threshold, alpha=1.0),
}
