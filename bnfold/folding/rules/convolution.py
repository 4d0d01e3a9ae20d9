"""Conv: s(Wx + b) + t = (sW)x + (sb + t), and W(sx + t) + b = (Ws)x + (b + sum W t).

W is (M, C/group, *kernel). Pulling is always exact, for padding stands in front of W. Pushing a
shift is exact only where no tap that sees it ever meets the zeros of the padding.
"""

from __future__ import annotations

from math import prod

import numpy as np

from bnfold import ops64
from bnfold.folding.affine import Affine, Array
from bnfold.folding.answers import (
    Absorbed,
    Answer,
    Answers,
    Blocked,
    Change,
    Facts,
    Passes,
    Put,
    Rim,
    Scale,
)
from bnfold.folding.reasons import Reason

LARGEST_PLANE = 2**18  # elements: what is reckoned in vain for most must be cheap


def weight_missing(node: Facts, slot: int) -> Blocked | None:
    """Why a weight cannot be changed, or None where it is constant."""
    return None if node.input(slot).constant is not None else Blocked(Reason.NONLINEAR_NEIGHBOURS)


def pull(node: Facts, m: Affine) -> Answers:
    """W'[m] = s_m W[m], b' = s b + t."""
    weight, bias = node.input(1), node.input(2)
    if not bias.absent and bias.constant is None:
        return Blocked(Reason.NONLINEAR_NEIGHBOURS)
    if any(axis != 1 for axis in m.axes):
        return Blocked(Reason.AXIS_MISMATCH)
    if weight.constant is None:
        return _computed_weight(node, m)
    outputs = weight.constant.shape[0]
    if m.extent(1) not in (1, outputs):
        return Blocked(Reason.AXIS_MISMATCH)
    by = m.scale.reshape(-1, *[1] * (len(weight.constant.shape) - 1))
    return Absorbed({1: Scale(by), **bias_after(node.value(2), m, outputs, slot=2)})


def _computed_weight(node: Facts, m: Affine) -> Answers:
    """A weight made at run time carries the scale along its output channels; t is still a bias."""
    outputs = node.input(1).dim(0)
    if not isinstance(outputs, int) or m.extent(1) not in (1, outputs):
        return Blocked(Reason.NONLINEAR_NEIGHBOURS)
    by = m.scale.reshape(-1, *[1] * (m.rank - 1))
    part = Affine.of(by, np.zeros((1,) * m.rank))
    return Passes({1: part}, bias_after(node.value(2), m, outputs, slot=2))


def bias_after(bias: Array | None, m: Affine, outputs: int, slot: int) -> dict[int, Change]:
    """B' = s b + t, or nothing where there is neither a bias nor a shift."""
    if bias is None and m.is_scale_only:
        return {}
    scale, shift = m.scale.reshape(-1), m.shift.reshape(-1)
    value = shift if bias is None else scale * bias + shift
    return {slot: Put(np.ascontiguousarray(np.broadcast_to(value, (outputs,))))}


def push(node: Facts, m: Affine, k: int) -> Answers:
    """W'[m, c] = W[m, c] s_c, b' = b + sum over c and taps of W t; c counts inside its group."""
    weight, bias = node.input(1), node.input(2)
    if k != 0 or weight.constant is None or (not bias.absent and bias.constant is None):
        return Blocked(Reason.NONLINEAR_NEIGHBOURS)
    if any(axis != 1 for axis in m.axes):
        return Blocked(Reason.AXIS_MISMATCH)
    shape = weight.constant.shape
    group = int(node.attributes.get("group", 1))
    if m.extent(1) not in (1, shape[1] * group):
        return Blocked(Reason.AXIS_MISMATCH)
    changes: dict[int, Change] = {}
    if not m.is_shift_only:
        changes[1] = Scale(by_input_channel(m.scale, shape, group))
    if not m.is_scale_only:
        value = weight.constant.value()
        taps = (value * by_input_channel(m.shift, shape, group)).sum(axis=1)
        total = taps.reshape(shape[0], -1).sum(axis=1)
        own = node.value(2)
        moved = Put(total if own is None else own + total)
        if taps[:, border_taps(node, shape[2:])].any():
            return _in_front_of_padding(node, m, taps, changes, moved)
        changes[2] = moved
    return Absorbed(changes)


def _in_front_of_padding(
    node: Facts, m: Affine, taps: Array, changes: dict[int, Change], bias: Put
) -> Answers:
    """What there is to do with a shift that meets the padding; last, why it would not do."""
    answers: list[Answer] = []
    answer = _answer_to_plane(node, taps)
    if answer is not None:
        answers.append(Passes({0: answer}, changes))
    rim = _rim(node, m)
    if rim is not None:
        unpadded = {"pads": [0] * (2 * m.rank - 4)}
        answers.append(Absorbed({**changes, 2: bias}, unpadded, rim=rim))
    return (*answers, Blocked(Reason.PADDING_SHIFT))


def _rim(node: Facts, m: Affine) -> Rim | None:
    """The Pad by -t/s, where that is one number: W(sx + t) then pads with s(-t/s) + t = 0."""
    pads = [int(n) for n in node.attributes.get("pads", ())]
    if node.attributes.get("auto_pad", "NOTSET") != "NOTSET" or not m.invertible:
        return None
    values = np.asarray(-m.shift / m.scale)
    if not pads or not (values == values.flat[0]).all():
        return None
    half = len(pads) // 2
    return Rim((0, 0, *pads[:half], 0, 0, *pads[half:]), float(values.flat[0]))


def _answer_to_plane(node: Facts, taps: Array) -> Affine | None:
    """What the convolution makes of the shift alone, borders and all; None where it is large.

    `taps` are (M, *kernel), the channels summed up. It differs over positions: only what stands at
    each of them (a constant of full size, a Gemm behind a Flatten) or a mean over them can take it.
    """
    sizes = node.input(0).shape or ()
    space = [n for n in sizes[2:] if isinstance(n, int)]
    if len(space) + 1 != taps.ndim or prod(space) * len(taps) > LARGEST_PLANE:
        return None
    one_channel = {k: v for k, v in node.attributes.items() if k != "group"}
    plane = np.ones((1, 1, *space))
    (answer,) = ops64.compute("Conv", node.version, [plane, taps[:, None]], one_channel)
    return Affine.of(np.ones((1,) * answer.ndim), answer)


def by_input_channel(values: Array, shape: tuple[int, ...], group: int) -> Array:
    """Values per input channel (1, C, ...) laid against W (M, C/group, *kernel)."""
    flat = values.reshape(-1)
    if flat.size == 1:
        return flat.reshape((1,) * len(shape))
    rows = np.repeat(flat.reshape(group, shape[1]), shape[0] // group, axis=0)
    return rows.reshape(*rows.shape, *[1] * (len(shape) - 2))


def border_taps(node: Facts, kernel: tuple[int, ...]) -> Array:
    """A mask over the kernel's taps: True where a tap can meet the padding."""
    mask = np.zeros(kernel, bool)
    for axis, size in enumerate(kernel):
        dilation = _at(node, "dilations", axis, 1)
        begin, end = effective_pads(node, axis, size, dilation)
        offsets = np.arange(size) * dilation
        meets = (offsets < begin) | (offsets > (size - 1) * dilation - end)
        mask |= meets.reshape([-1 if i == axis else 1 for i in range(len(kernel))])
    return mask


def effective_pads(node: Facts, axis: int, size: int, dilation: int) -> tuple[int, int]:
    """How far the windows of a spatial axis truly reach into the padding, at either end."""
    stride, extent = _at(node, "strides", axis, 1), node.input(0).dim(axis + 2)
    reach = (size - 1) * dilation + 1
    auto = node.attributes.get("auto_pad", "NOTSET")
    if auto == "VALID":
        return 0, 0
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        if not isinstance(extent, int):
            # whatever the extent, SAME pads at most by what the kernel exceeds the stride
            most = max(0, reach - 1)
            return most, most
        total = max(0, (-(-extent // stride) - 1) * stride + reach - extent)
        small, large = total // 2, total - total // 2
        return (small, large) if auto == "SAME_UPPER" else (large, small)
    pads = list(node.attributes.get("pads", ()))
    rank = len(pads) // 2
    begin, end = (pads[axis], pads[axis + rank]) if pads else (0, 0)
    if isinstance(extent, int) and end > 0:  # the last stride may stop before the padding
        steps = (extent + begin + end - reach) // stride
        if node.attributes.get("ceil_mode", 0):  # a pool takes one more, unless it starts in there
            steps = -(-(extent + begin + end - reach) // stride)
            steps -= steps * stride >= extent + begin
        end = min(end, max(0, steps * stride + reach - begin - extent))
    return max(0, begin), max(0, end)


def _at(node: Facts, attribute: str, axis: int, default: int) -> int:
    values = node.attributes.get(attribute)
    return int(values[axis]) if values else default
