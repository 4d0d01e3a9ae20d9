"""Normalisation layers with constant parameters take a following map whole."""

from __future__ import annotations

import numpy as np

from bnfold.folding.affine import Affine
from bnfold.folding.answers import Absorbed, Answers, Blocked, Change, Facts, Put
from bnfold.folding.reasons import Reason


def is_inference(node: Facts) -> bool:
    """A BatchNormalization that uses its population statistics, per channel."""
    if node.version >= 14:
        return not node.attributes.get("training_mode", 0)
    return bool(node.attributes.get("spatial", 1)) and all(not o.name for o in node.outputs[1:])


def _parameters(node: Facts, count: int) -> bool:
    return all(node.input(slot).constant is not None for slot in range(1, count + 1))


def pull_batch(node: Facts, m: Affine) -> Answers:
    """s(gamma x^ + beta) + t: gamma' = s gamma, beta' = s beta + t; any statistics will do."""
    if not _parameters(node, 2):
        return Blocked(Reason.PARAMETER_NOT_CONSTANT)
    return _into_scale_and_bias(node, m)


def pull_instance(node: Facts, m: Affine) -> Answers:
    """As for BatchNormalization."""
    return pull_batch(node, m)


def _into_scale_and_bias(node: Facts, m: Affine) -> Answers:
    if any(axis != 1 for axis in m.axes):
        return Blocked(Reason.AXIS_MISMATCH)
    gamma, beta = node.value(1), node.value(2)
    if gamma is None or beta is None or m.extent(1) not in (1, gamma.size):
        return Blocked(Reason.AXIS_MISMATCH)
    scale, shift = m.scale.reshape(-1), m.shift.reshape(-1)
    changes: dict[int, Change] = {2: Put(scale * beta + shift)}
    if not m.is_shift_only:
        changes[1] = Put(scale * gamma)
    return Absorbed(changes)


def push_batch(node: Facts, m: Affine, k: int) -> Answers:
    """(ax + c - mean) = a(x - (mean - c)/a): gamma' = gamma a, mean' = (mean - c)/a."""
    if k != 0 or not is_inference(node) or not _parameters(node, 4):
        return Blocked(Reason.NONLINEAR_NEIGHBOURS)
    gamma, mean = node.value(1), node.value(3)
    if any(axis != 1 for axis in m.axes) or gamma is None or mean is None:
        return Blocked(Reason.AXIS_MISMATCH)
    if m.extent(1) not in (1, gamma.size) or not m.invertible:
        return Blocked(Reason.AXIS_MISMATCH)
    scale, shift = m.scale.reshape(-1), m.shift.reshape(-1)
    changes: dict[int, Change] = {3: Put((mean - shift) / scale)}
    if not m.is_shift_only:
        changes[1] = Put(gamma * scale)
    return Absorbed(changes)


def push_instance(node: Facts, m: Affine, k: int) -> Answers:
    """The mean over space takes any shift away; a scale would move against epsilon."""
    if k != 0 or any(axis != 1 for axis in m.axes):
        return Blocked(Reason.NONLINEAR_NEIGHBOURS)
    return Absorbed() if m.is_shift_only else Blocked(Reason.NONLINEAR_NEIGHBOURS)


def folded_parameters(
    gamma: np.ndarray, beta: np.ndarray, mean: np.ndarray, var: np.ndarray, epsilon: float
) -> tuple[np.ndarray, np.ndarray]:
    """S = gamma / sqrt(var + eps), t = beta - mean s.  Paper, Algorithm 2."""
    scale = gamma / np.sqrt(var + epsilon)
    return scale, beta - mean * scale
