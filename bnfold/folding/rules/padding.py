"""Pad: copies carry the map of what they copy; a constant must be its own image, or changes.

On the map's own axis every padded channel has a map of its own: that of the channel it copies,
or, under a constant, whatever the constant allows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bnfold.folding.affine import Affine, Array, scattered
from bnfold.folding.answers import Answers, Blocked, Change, Facts, Passes, Put
from bnfold.folding.reasons import Reason

Widths = Sequence[tuple[int, int]]  # what is padded at the begin and the end of each axis


@dataclass(frozen=True, slots=True)
class _Border:
    """A Pad whose amounts are known."""

    widths: Widths
    mode: str

    def labels(self, axis: int, length: int) -> NDArray[np.int64]:
        """Of each element along an axis the one it copies; -1 where a constant stands."""
        begin, end = self.widths[axis]
        places = np.arange(max(0, -begin), length - max(0, -end))
        grown = (max(0, begin), max(0, end))
        if self.mode == "constant":
            return np.pad(places, grown, constant_values=-1)
        return np.pad(places, grown, mode=self.mode)  # type: ignore[call-overload,no-any-return]

    def mixes(self, axes: Sequence[int]) -> bool:
        """Whether one of these axes is both cropped and filled with copies."""
        return self.mode != "constant" and any(min(self.widths[axis]) < 0 for axis in axes)

    def pads_beside(self, axes: Sequence[int]) -> bool:
        """Whether an axis other than these grows."""
        return any(max(pair) > 0 for axis, pair in enumerate(self.widths) if axis not in axes)


def _border(node: Facts, rank: int) -> _Border | None:
    pads, axes = node.integers(1, "pads"), node.integers(3, "axes")
    if pads is None or (axes is None and not node.input(3).absent):
        return None
    places = list(range(rank)) if axes is None else [axis % rank for axis in axes]
    widths = [(0, 0)] * rank
    for i, axis in enumerate(places):
        widths[axis] = (pads[i], pads[i + len(pads) // 2])
    return _Border(widths, str(node.attributes.get("mode", "constant")))


def _fill(node: Facts) -> float | None:
    """The constant that Pad writes, or None where it is computed at run time."""
    if "value" in node.attributes:
        return float(node.attributes["value"])
    if node.input(2).absent:
        return 0.0
    value = node.value(2)
    return None if value is None else float(value.reshape(()))


def _refilled(node: Facts, m: Affine, value: float) -> Answers:
    if value == _fill(node):
        return Passes({0: m})
    if node.version < 11:
        return Passes({0: m}, {}, {"value": value})
    changes: dict[int, Change] = {2: Put(np.asarray(value))}
    return Passes({0: m}, changes)


def _amounts_unknown(node: Facts, m: Affine) -> Answers:
    """The map's axes must be left alone, and the constant be its own image wherever it stands."""
    for axis in m.axes:
        before, after = node.input(0).dim(axis), node.outputs[0].dim(axis)
        if before is None or before != after:
            return Blocked(Reason.SHAPE_UNKNOWN)
    if node.attributes.get("mode", "constant") != "constant":
        return Passes({0: m})
    value = _fill(node)
    if value is None or (m.scale * value + m.shift != value).any():
        return Blocked(Reason.PADDING_SHIFT)
    return Passes({0: m})


def pull_pad(node: Facts, m: Affine) -> Answers:
    """The map goes in front, the constant becomes its own image s v + t."""
    border = _border(node, m.rank)
    if border is None:
        return _amounts_unknown(node, m)
    if border.mixes(m.axes):
        return Blocked(Reason.NOT_YET)
    inner: Affine | None = m
    copied = np.ones((1,) * m.rank, bool)
    for axis in m.axes:
        length = m.extent(axis) - sum(border.widths[axis])
        labels = border.labels(axis, length)
        if inner is not None:
            kept = np.flatnonzero(labels >= 0)
            inner = scattered(inner.take(axis, kept), axis, labels[kept], length)
        copied = copied & (labels >= 0).reshape([-1 if a == axis else 1 for a in range(m.rank)])
    if inner is None:
        return Blocked(Reason.AXIS_MISMATCH)
    written = np.ones_like(copied) if border.pads_beside(m.axes) else ~copied
    if border.mode != "constant" or not written.any():
        return Passes({0: inner})
    value = _fill(node)
    if value is None:
        return Blocked(Reason.PADDING_SHIFT)
    images = _over(written, m.scale * value + m.shift)
    one = bool((images == images[0]).all())
    return _refilled(node, inner, float(images[0])) if one else Blocked(Reason.PADDING_SHIFT)


def _over(mask: NDArray[np.bool_], values: Array) -> Array:
    """The values where a mask is set; both broadcast."""
    mask, values = np.broadcast_arrays(mask, values)
    return values[mask]


def push_pad(node: Facts, m: Affine, k: int) -> Answers:
    """The map goes behind, the constant becomes its preimage (v - t)/s."""
    if k != 0:
        return Blocked(Reason.NONLINEAR_NEIGHBOURS)
    border = _border(node, m.rank)
    if border is None:
        return _amounts_unknown(node, m)
    if border.mixes(m.axes):
        return Blocked(Reason.NOT_YET)
    value = _fill(node)
    before: float = 0.0 if value is None else value
    if border.mode == "constant" and border.pads_beside(m.axes):
        found = None if value is None else _preimage(m, value)
        if found is None:
            return Blocked(Reason.PADDING_SHIFT)
        before = found
    difference = 0.0 if value in (None, before) else float(value or 0.0) - before
    outer = m
    for axis in m.axes:
        labels = border.labels(axis, m.extent(axis))
        if value is None and (labels < 0).any():
            return Blocked(Reason.PADDING_SHIFT)
        outer = _with_constants(outer.take(axis, labels), axis, labels < 0, difference)
    return Passes({0: outer}) if value is None else _refilled(node, outer, before)


def _preimage(m: Affine, value: float) -> float | None:
    """The one number that the map makes into a value, in every channel."""
    if (m.scale * value + m.shift == value).all():
        return value
    if not m.invertible:
        return None
    before = np.asarray((value - m.shift) / m.scale)
    return float(before.flat[0]) if (before == before.flat[0]).all() else None


def _with_constants(m: Affine, axis: int, written: NDArray[np.bool_], difference: float) -> Affine:
    """The map x + difference where a constant stands along an axis, m elsewhere."""
    scale, shift = m.spread(axis, len(written))
    laid = written.reshape([-1 if a == axis else 1 for a in range(m.rank)])
    return Affine.of(np.where(laid, 1.0, scale), np.where(laid, difference, shift))
