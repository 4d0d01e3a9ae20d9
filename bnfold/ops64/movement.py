"""Operators that move values and compute none: Reshape, Transpose, Concat, Split, Tile, ..."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from bnfold.ops64.call import Array, Call, Kernel, Result, Unsupported, axes_of, axis_of


def _identity(call: Call) -> Result:
    return call.need(0)


def _dropout(call: Call) -> Result:
    """Inference: the identity, and a mask of ones."""
    x = call.need(0)
    training = call.get(2)
    ratio = call.get(1)
    if training is not None and bool(training) and (ratio is None or float(ratio) != 0.0):
        raise Unsupported("Dropout in training mode")
    return x, np.ones(x.shape, dtype=np.bool_)


def _transpose(call: Call) -> Result:
    return np.transpose(call.need(0), call.ints("perm"))


def _reshape(call: Call) -> Result:
    """0 copies the input's size unless `allowzero`; -1 is inferred."""
    x = call.need(0)
    shape = call.ints_at(1, "shape") or []
    if not call.attr("allowzero", 0):
        shape = [x.shape[k] if size == 0 else size for k, size in enumerate(shape)]
    if -1 in shape:
        known = math.prod(size for size in shape if size != -1)
        shape[shape.index(-1)] = x.size // known if known else 0
    return x.reshape(shape)


def _flatten(call: Call) -> Result:
    x = call.need(0)
    axis = call.attr("axis", 1)
    axis = axis + x.ndim if axis < 0 else axis
    return x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))


def _squeeze(call: Call) -> Result:
    x = call.need(0)
    axes = call.ints_at(1, "axes")
    return np.squeeze(x, None if axes is None else axes_of(axes, x.ndim))


def _unsqueeze(call: Call) -> Result:
    x = call.need(0)
    axes = call.ints_at(1, "axes") or []
    return np.expand_dims(x, axes_of(axes, x.ndim + len(axes)))


def _concat(call: Call) -> Result:
    parts = [part for part in call.inputs if part is not None]
    return np.concatenate(parts, axis=call.attr("axis", 1))


def _split_sizes(call: Call, size: int) -> list[int]:
    given = call.ints_at(1, "split")
    if given is not None:
        return given
    count = call.attr("num_outputs") or call.outputs
    chunk = -(-size // count)
    return [max(0, min(chunk, size - chunk * k)) for k in range(count)]


def _split(call: Call) -> Result:
    """Parts along `axis`; equal ones (the last may be smaller) where no sizes are given."""
    x = call.need(0)
    axis = axis_of(call.attr("axis", 0), x.ndim)
    ends = np.cumsum(_split_sizes(call, x.shape[axis]))
    return tuple(np.split(x, ends[:-1], axis=axis))


def _expand(call: Call) -> Result:
    x = call.need(0)
    shape = tuple(int(size) for size in call.need(1))
    return np.broadcast_to(x, np.broadcast_shapes(x.shape, shape))


def _tile(call: Call) -> Result:
    return np.tile(call.need(0), [int(count) for count in call.need(1)])


def _depth_to_space(call: Call) -> Result:
    """(N, b*b*C, H, W) to (N, C, b*H, b*W), in the order DCR or CRD."""
    x = call.need(0)
    n, c, h, w = x.shape
    b = call.attr("blocksize")
    depth = c // (b * b)
    if call.text("mode", "DCR") == "DCR":
        blocks = x.reshape(n, b, b, depth, h, w).transpose(0, 3, 4, 1, 5, 2)
    else:
        blocks = x.reshape(n, depth, b, b, h, w).transpose(0, 1, 4, 2, 5, 3)
    return blocks.reshape(n, depth, h * b, w * b)


def _space_to_depth(call: Call) -> Result:
    x = call.need(0)
    n, c, h, w = x.shape
    b = call.attr("blocksize")
    order = (0, 3, 5, 1, 2, 4) if call.text("mode", "DCR") == "DCR" else (0, 1, 3, 5, 2, 4)
    blocks = x.reshape(n, c, h // b, b, w // b, b).transpose(order)
    return blocks.reshape(n, c * b * b, h // b, w // b)


def _trilu(call: Call) -> Result:
    x = call.need(0)
    k = call.get(1)
    offset = 0 if k is None else int(k)
    return np.triu(x, offset) if call.attr("upper", 1) else np.tril(x, offset)


def _crop_or_pad(x: Array, axis: int, size: int) -> Array:
    have = x.shape[axis]
    if size <= have:
        start = (have - size) // 2
        return np.take(x, range(start, start + size), axis=axis)
    before = (size - have) // 2
    widths = [(0, 0)] * x.ndim
    widths[axis] = (before, size - have - before)
    return np.pad(x, widths)


def _center_crop_pad(call: Call) -> Result:
    x = call.need(0)
    sizes = [int(size) for size in call.need(1)]
    axes = axes_of(call.ints("axes") or range(x.ndim), x.ndim)
    for axis, size in zip(axes, sizes, strict=True):
        x = _crop_or_pad(x, axis, size)
    return x


def _reverse_sequence(call: Call) -> Result:
    x, lengths = call.need(0), call.need(1)
    time, batch = call.attr("time_axis", 0), call.attr("batch_axis", 1)
    out = x.copy()
    for k, length in enumerate(lengths):
        here: list[slice | int] = [slice(None)] * x.ndim
        here[batch], here[time] = k, slice(0, int(length))
        back = list(here)
        back[time] = slice(int(length) - 1, None, -1) if length else slice(0, 0)
        out[tuple(here)] = x[tuple(back)]
    return out


KERNELS: Mapping[str, Kernel] = {
    "CenterCropPad": _center_crop_pad,
    "Concat": _concat,
    "DepthToSpace": _depth_to_space,
    "Dropout": _dropout,
    "Expand": _expand,
    "Flatten": _flatten,
    "Identity": _identity,
    "Reshape": _reshape,
    "ReverseSequence": _reverse_sequence,
    "SpaceToDepth": _space_to_depth,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": _tile,
    "Transpose": _transpose,
    "Trilu": _trilu,
    "Unsqueeze": _unsqueeze,
}
