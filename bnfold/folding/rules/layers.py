"""Layer, group and RMS normalisation: scale and bias behind them take a map, a shift before drops.

A scale in front would move against epsilon, so it stays.
"""

from __future__ import annotations

import numpy as np

from bnfold.folding.affine import Affine, Array
from bnfold.folding.answers import Absorbed, Answers, Blocked, Change, Facts, Put, trimmed
from bnfold.folding.reasons import Reason
from bnfold.folding.rules.norms import pull_batch as into_scale_and_bias


def pull_layer(node: Facts, m: Affine) -> Answers:
    """s(gamma x^ + beta) + t: gamma' = s gamma, beta' = s beta + t, where gamma has the axis."""
    gamma, beta = node.input(1).constant, node.input(2)
    if gamma is None or (not beta.absent and beta.constant is None):
        return Blocked(Reason.PARAMETER_NOT_CONSTANT)
    own = node.value(2)
    changes: dict[int, Change] = {}
    if not m.is_shift_only:
        changes[1] = Put(trimmed(m.scale * gamma.value(), len(gamma.shape)))
    if own is not None or not m.is_scale_only:
        shift = m.shift if own is None else m.scale * own + m.shift
        changes[2] = Put(_as_wide(trimmed(shift, len(gamma.shape)), gamma.shape))
    shapes = [np.shape(c.value) for c in changes.values() if isinstance(c, Put)]
    if any(shape != gamma.shape for shape in shapes):
        return Blocked(Reason.AXIS_MISMATCH)
    return Absorbed(changes)


def _as_wide(values: Array, shape: tuple[int, ...]) -> Array:
    """Stretched to a shape where it broadcasts to it, else as it is."""
    fits = np.broadcast_shapes(values.shape, shape) == shape if values.ndim <= len(shape) else False
    return np.broadcast_to(values, shape) if fits else values


def push_layer(node: Facts, m: Affine, k: int) -> Answers:
    """A shift that is one number over all that is normalised together goes with the mean."""
    first = int(node.attributes.get("axis", -1)) % m.rank
    read = any(o.name for o in node.outputs[1:])  # the mean itself is an output
    if k != 0 or read or not m.is_shift_only or any(axis >= first for axis in m.axes):
        return Blocked(Reason.NONLINEAR_NEIGHBOURS)
    return Absorbed()


def push_mean_variance(node: Facts, m: Affine, k: int) -> Answers:
    """MeanVarianceNormalization: a shift that is one number over its axes goes with the mean."""
    axes = {axis % m.rank for axis in node.attributes.get("axes", (0, 2, 3))}
    if not m.is_shift_only or axes & set(m.axes):
        return Blocked(Reason.NONLINEAR_NEIGHBOURS)
    return Absorbed()


def pull_rms(node: Facts, m: Affine) -> Answers:
    """As LayerNormalization, without a bias: a pure scale."""
    if not m.is_scale_only:
        return Blocked(Reason.NONLINEAR_NEIGHBOURS)
    return pull_layer(node, m)


def pull_group(node: Facts, m: Affine) -> Answers:
    """As InstanceNormalization: scale and bias are per channel (from opset 21 on)."""
    return into_scale_and_bias(node, m)


def push_group(node: Facts, m: Affine, k: int) -> Answers:
    """A shift that is one number in every group goes with the group's mean."""
    groups = int(node.attributes["num_groups"])
    if k != 0 or not m.is_shift_only or any(axis != 1 for axis in m.axes):
        return Blocked(Reason.NONLINEAR_NEIGHBOURS)
    shift = m.shift.reshape(-1)
    runs = shift.reshape(groups, -1) if shift.size > 1 else shift.reshape(1, 1)
    agree = bool((runs == runs[:, :1]).all())
    return Absorbed() if agree else Blocked(Reason.NONLINEAR_NEIGHBOURS)
