"""Rectifiers are positively homogeneous, f(sx) = s f(x) for s >= 0, but not additive.

A dead channel (s = 0) is constant and crosses as one. Clip moves its bounds along.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from onnx import TensorProto

from bnfold.folding.affine import Affine, Array
from bnfold.folding.answers import (
    Absorbed,
    Answers,
    Blocked,
    Change,
    Facts,
    Passes,
    Put,
    trimmed,
)
from bnfold.folding.reasons import Reason
from bnfold.folding.rules.broadcast import fits
from bnfold.graph.numbers import FLOATS

Activation = Callable[[Array], Array]
_BOUNDS = ((1, "min"), (2, "max"))  # of Clip: inputs from opset 11 on, attributes before


def _relu(x: Array) -> Array:
    return np.maximum(x, 0.0)


def _homogeneous(m: Affine) -> Blocked | None:
    """Why a map cannot cross a positively homogeneous function, or None where it can."""
    if not m.is_scale_only:
        return Blocked(Reason.NONLINEAR_NEIGHBOURS)
    return None if m.nonnegative else Blocked(Reason.NEGATIVE_SCALE)


def pull_relu(node: Facts, m: Affine) -> Answers:
    """S relu(x) = relu(sx); where s = 0 the constant t >= 0 is its own rectified value."""
    live = (m.scale != 0) & (m.shift != 0)
    dead_below = (m.scale == 0) & (m.shift < 0)
    if live.any() or dead_below.any():
        return Blocked(Reason.NONLINEAR_NEIGHBOURS)
    return Passes({0: m}) if m.nonnegative else Blocked(Reason.NEGATIVE_SCALE)


def push_relu(node: Facts, m: Affine, k: int) -> Answers:
    """relu(sx) = s relu(x); where s = 0 the result is the constant relu(t)."""
    return _push_rectifier(m, _relu)


def _push_rectifier(m: Affine, f: Activation) -> Answers:
    if ((m.scale != 0) & (m.shift != 0)).any():
        return Blocked(Reason.NONLINEAR_NEIGHBOURS)
    if not m.nonnegative:
        return Blocked(Reason.NEGATIVE_SCALE)
    return Passes({0: Affine.of(m.scale, f(m.shift))})


def pull_leaky(node: Facts, m: Affine) -> Answers:
    """S f_a(x) = f_a(sx) for s >= 0, and f_{1/a}(s a x) where all s < 0 and a > 0."""
    slope = float(node.attributes.get("alpha", 0.01))
    if not m.is_scale_only:
        return Blocked(Reason.NONLINEAR_NEIGHBOURS)
    if m.nonnegative:
        return Passes({0: m})
    if not ((m.scale < 0).all() and slope > 0):
        return Blocked(Reason.NEGATIVE_SCALE)
    turned = Affine.of(m.scale * slope, m.shift)
    return Passes({0: turned}, {}, {"alpha": 1.0 / slope})


def push_leaky(node: Facts, m: Affine, k: int) -> Answers:
    """f_a(sx) = s f_a(x) for s >= 0, and s a f_{1/a}(x) where all s < 0 and a > 0."""
    slope = float(node.attributes.get("alpha", 0.01))
    if m.is_scale_only and (m.scale < 0).all() and slope > 0:
        return Passes({0: Affine.of(m.scale * slope, m.shift)}, {}, {"alpha": 1.0 / slope})
    return _push_rectifier(m, lambda t: np.where(t < 0, slope * t, t))


def pull_prelu(node: Facts, m: Affine) -> Answers:
    """As LeakyRelu, but each channel may turn by itself."""
    return _prelu(node, m)


def push_prelu(node: Facts, m: Affine, k: int) -> Answers:
    """As LeakyRelu, but each channel may turn by itself."""
    return _prelu(node, m) if k == 0 else Blocked(Reason.NONLINEAR_NEIGHBOURS)


def _prelu(node: Facts, m: Affine) -> Answers:
    """f_a(sx) = s' f_a'(x), (s', a') = (s, a) for s >= 0, (s a, 1/a) for s < 0: both ways alike."""
    if not m.is_scale_only:
        return Blocked(Reason.NONLINEAR_NEIGHBOURS)
    if m.nonnegative:
        return Passes({0: m})
    slope = node.value(1)
    turned = m.scale < 0
    if slope is None or not (np.where(turned, slope, 1.0) > 0).all():
        return Blocked(Reason.NEGATIVE_SCALE)
    new_slope = trimmed(np.where(turned, 1.0 / np.where(turned, slope, 1.0), slope), slope.ndim)
    if not fits(new_slope, node.input(0)):
        return Blocked(Reason.SHAPE_UNKNOWN)
    scale = np.where(turned, m.scale * slope, m.scale)
    if scale.ndim > m.rank:
        return Blocked(Reason.AXIS_MISMATCH)
    return Passes({0: Affine.of(scale, np.zeros((1,) * m.rank))}, {1: Put(new_slope)})


def pull_abs(node: Facts, m: Affine) -> Answers:
    """s|x| = |sx| for s >= 0."""
    return _homogeneous(m) or Passes({0: m})


def push_abs(node: Facts, m: Affine, k: int) -> Answers:
    """|sx| = |s||x|."""
    if not m.is_scale_only:
        return Blocked(Reason.NONLINEAR_NEIGHBOURS)
    return Passes({0: Affine.of(np.abs(m.scale), m.shift)})


def pull_clip(node: Facts, m: Affine) -> Answers:
    """S clip(x, lo, hi) + t = clip(sx + t, s lo + t, s hi + t); the bounds are scalars."""
    return _clip(node, m, lambda bound: float((m.scale * bound + m.shift).reshape(())))


def push_clip(node: Facts, m: Affine, k: int) -> Answers:
    """clip(sx + t, lo, hi) = s clip(x, (lo - t)/s, (hi - t)/s) + t."""
    if k != 0:
        return Blocked(Reason.NONLINEAR_NEIGHBOURS)
    return _clip(node, m, lambda bound: float(((bound - m.shift) / m.scale).reshape(())))


def _clip(node: Facts, m: Affine, moved: Callable[[Array], float]) -> Answers:
    """The bounds move along; under a negative scale the lower becomes the upper."""
    if not m.is_uniform:
        return Blocked(Reason.NONLINEAR_NEIGHBOURS)
    if not m.invertible:
        return Blocked(Reason.NEGATIVE_SCALE)
    low, high = (_bound(node, slot, name) for slot, name in _BOUNDS)
    if isinstance(low, Blocked) or isinstance(high, Blocked):
        return Blocked(Reason.NONLINEAR_NEIGHBOURS)
    if low is not None and high is not None:
        low = np.minimum(low, high)  # where they cross, all is the upper: exchanged, it would not
    new = [None if bound is None else moved(bound) for bound in (low, high)]
    if not m.nonnegative:
        new.reverse()
    changes: dict[int, Change] = {}
    attributes: dict[str, float] = {}
    for (slot, name), value, outermost in zip(_BOUNDS, new, (-1.0, 1.0), strict=True):
        if name in node.attributes or (node.version < 11 and value is not None):
            attributes[name] = outermost * _largest(node) if value is None else value
        elif value is not None or not node.input(slot).absent:
            changes[slot] = Put(np.asarray(outermost * _largest(node) if value is None else value))
    return Passes({0: m}, changes, attributes)


def _bound(node: Facts, slot: int, attribute: str) -> Array | Blocked | None:
    """A bound's value, None where there is none."""
    if attribute in node.attributes:
        return np.asarray(node.attributes[attribute], np.float64)
    if node.input(slot).absent:
        return None
    bound = node.value(slot)
    if bound is None or bound.size != 1:
        return Blocked(Reason.NONLINEAR_NEIGHBOURS)
    return bound.reshape(())


def _largest(node: Facts) -> float:
    """The largest number of the type: what an absent bound stands for."""
    stated = [o.constant.elem_type for o in node.inputs[1:] if o.constant is not None]
    return FLOATS[stated[0] if stated else TensorProto.FLOAT].largest


def push_hard_sigmoid(node: Facts, m: Affine, k: int) -> Answers:
    """Clip(alpha x + beta, 0, 1) takes one map for the whole tensor: alpha s, beta + alpha t."""
    if not m.is_uniform:
        return Blocked(Reason.NONLINEAR_NEIGHBOURS)
    if not (m.scale > 0).all():
        return Blocked(Reason.NEGATIVE_SCALE)
    alpha, beta = (float(node.attributes.get(n, d)) for n, d in (("alpha", 0.2), ("beta", 0.5)))
    scale, shift = float(m.scale.reshape(())), float(m.shift.reshape(()))
    return Absorbed({}, {"alpha": alpha * scale, "beta": beta + alpha * shift})
