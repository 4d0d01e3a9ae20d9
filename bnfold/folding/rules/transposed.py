"""ConvTranspose: W is (Cin, Cout/group, *kernel); output channel m = group*(Cout/group) + j."""

from __future__ import annotations

from itertools import product

import numpy as np

from bnfold.folding.affine import Affine, Array
from bnfold.folding.answers import Absorbed, Answers, Blocked, Change, Facts, Put, Scale
from bnfold.folding.reasons import Reason
from bnfold.folding.rules.convolution import bias_after


def pull(node: Facts, m: Affine) -> Answers:
    """W'[c, j] = s_m W[c, j] where c lies in m's group, b' = s b + t."""
    weight, bias = node.input(1), node.input(2)
    if weight.constant is None or (not bias.absent and bias.constant is None):
        return Blocked(Reason.NONLINEAR_NEIGHBOURS)
    shape, group = weight.constant.shape, int(node.attributes.get("group", 1))
    outputs = shape[1] * group
    if any(axis != 1 for axis in m.axes) or m.extent(1) not in (1, outputs):
        return Blocked(Reason.AXIS_MISMATCH)
    by = _by_output_channel(m.scale, shape, group)
    return Absorbed({1: Scale(by), **bias_after(node.value(2), m, outputs, slot=2)})


def _by_output_channel(values: Array, shape: tuple[int, ...], group: int) -> Array:
    flat = values.reshape(-1)
    if flat.size == 1:
        return flat.reshape((1,) * len(shape))
    rows = np.repeat(flat.reshape(group, shape[1]), shape[0] // group, axis=0)
    return rows.reshape(*rows.shape, *[1] * (len(shape) - 2))


def push(node: Facts, m: Affine, k: int) -> Answers:
    """W'[c] = W[c] s_c; a shift only if a constant plane t answers with a constant plane."""
    weight, bias = node.input(1), node.input(2)
    if k != 0 or weight.constant is None or (not bias.absent and bias.constant is None):
        return Blocked(Reason.NONLINEAR_NEIGHBOURS)
    shape = weight.constant.shape
    if any(axis != 1 for axis in m.axes) or m.extent(1) not in (1, shape[0]):
        return Blocked(Reason.AXIS_MISMATCH)
    column = (-1, *[1] * (len(shape) - 1))
    changes: dict[int, Change] = {}
    if not m.is_shift_only:
        changes[1] = Scale(m.scale.reshape(column))
    if not m.is_scale_only:
        total = _answer_to_plane(node, weight.constant.value() * m.shift.reshape(column))
        if total is None:
            return Blocked(Reason.PADDING_SHIFT)
        own = node.value(2)
        changes[2] = Put(total if own is None else own + total)
    return Absorbed(changes)


def _answer_to_plane(node: Facts, weighted: Array) -> Array | None:
    """The output (Cout,) to a constant input plane, or None where it differs over positions.

    Output position o sees the taps of its phase o mod stride: their sums must agree over all
    phases, and the borders, which fewer taps reach, must be cropped away.
    """
    group = int(node.attributes.get("group", 1))
    kernel, rank = weighted.shape[2:], weighted.ndim - 2
    auto = node.attributes.get("auto_pad", "NOTSET")
    if auto not in ("NOTSET", "VALID") or "output_shape" in node.attributes:
        return None
    if any(d != 1 for d in node.attributes.get("dilations", [1])):
        return None
    strides = list(node.attributes.get("strides", [1] * rank))
    none = [0] * 2 * rank
    pads = none if auto == "VALID" else list(node.attributes.get("pads", none))
    extra = list(node.attributes.get("output_padding", [0] * rank))
    for axis, (size, stride) in enumerate(zip(kernel, strides, strict=True)):
        overlap = size - stride
        if pads[axis] < overlap or pads[axis + rank] - extra[axis] < overlap:
            return None
    per_tap = weighted.reshape(group, -1, *weighted.shape[1:]).sum(axis=1)
    per_tap = per_tap.reshape(-1, *kernel)
    phases = [
        per_tap[(slice(None), *[slice(p, None, s) for p, s in zip(phase, strides, strict=True)])]
        .reshape(per_tap.shape[0], -1)
        .sum(axis=1)
        for phase in product(*[range(s) for s in strides])
    ]
    return phases[0] if all((p == phases[0]).all() for p in phases) else None
