"""Pools and reductions. An average is linear with weights that sum to 1; a maximum is monotone."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from bnfold.folding.affine import Affine
from bnfold.folding.answers import Answer, Answers, Blocked, Facts, Passes
from bnfold.folding.reasons import Reason
from bnfold.folding.rules.broadcast import known_size
from bnfold.folding.rules.convolution import effective_pads
from bnfold.folding.rules.joins import turned


def _spatial(m: Affine) -> Blocked | None:
    """A window mixes positions: the map must be the same at all of them."""
    return Blocked(Reason.AXIS_MISMATCH) if any(axis > 1 for axis in m.axes) else None


def _pads(node: Facts) -> bool:
    """Whether some window can reach into padding."""
    kernel = node.attributes.get("kernel_shape", ())
    dilations = node.attributes.get("dilations") or [1] * len(kernel)
    sizes = enumerate(zip(kernel, dilations, strict=True))
    return any(any(effective_pads(node, axis, k, d)) for axis, (k, d) in sizes)


def _window_may_be_empty(node: Facts) -> bool:
    """A dilated window can leap over the input into padding, where runtimes disagree."""
    dilations = node.attributes.get("dilations", ())
    leaps = any(d > 1 and not _reaches(node, axis, d) for axis, d in enumerate(dilations))
    return leaps and _pads(node)


def _reaches(node: Facts, axis: int, dilation: int) -> bool:
    extent = node.input(0).dim(axis + 2)
    return isinstance(extent, int) and dilation <= extent


def pull_average(node: Facts, m: Affine) -> Answers:
    """The weights sum to 1 unless counted padding adds zeros to a window: then t = 0."""
    counts_zeros = bool(node.attributes.get("count_include_pad", 0)) and _pads(node)
    if not m.is_scale_only and (counts_zeros or _window_may_be_empty(node)):
        return Blocked(Reason.PADDING_SHIFT)
    return _spatial(m) or Passes({0: m})


def push_average(node: Facts, m: Affine, k: int) -> Answers:
    """As pull."""
    return pull_average(node, m)


def pull_max(node: Facts, m: Affine) -> Answers:
    """max(sx + t) = s max(x) + t for s >= 0 (padding is -inf); s > 0 where indices are read."""
    blocked = _spatial(m)
    if blocked is not None:
        return blocked
    indexed = len(node.outputs) > 1 and bool(node.outputs[1].name)
    if not m.nonnegative or (indexed and not m.invertible):
        return Blocked(Reason.NEGATIVE_SCALE)
    return Blocked(Reason.PADDING_SHIFT) if _window_may_be_empty(node) else Passes({0: m})


def push_max(node: Facts, m: Affine, k: int) -> Answers:
    """As pull."""
    return pull_max(node, m)


def pull_global_average(node: Facts, m: Affine) -> Answers:
    """A mean over all positions."""
    return _spatial(m) or Passes({0: m})


def push_global_average(node: Facts, m: Affine, k: int) -> Answers:
    """A mean over all positions; of a shift that differs over them, its own mean."""
    m = averaged(m, range(2, m.rank))
    return _spatial(m) or Passes({0: m})


def averaged(m: Affine, axes: Iterable[int]) -> Affine:
    """mean(sx + t) = s mean(x) + mean(t) where s is constant along the axes."""
    return Affine.of(m.scale, m.shift.mean(axis=tuple(axes), keepdims=True))


def pull_global_max(node: Facts, m: Affine) -> Answers:
    """A maximum over all positions, s >= 0."""
    if not m.nonnegative:
        return Blocked(Reason.NEGATIVE_SCALE)
    return _spatial(m) or Passes({0: m})


def push_global_max(node: Facts, m: Affine, k: int) -> Answers:
    """A maximum over all positions, s >= 0."""
    return pull_global_max(node, m)


def reduced_axes(node: Facts) -> list[int] | None:
    """The reduced axes, counted from the front, or None where they are not known."""
    rank = node.input(0).rank
    axes = node.integers(1, "axes")
    if rank is None or (axes is None and not node.input(1).absent):
        return None
    if not axes:
        return [] if node.attributes.get("noop_with_empty_axes", 0) else list(range(rank))
    return sorted(axis % rank for axis in axes)


def before_reduction(node: Facts, m: Affine, axes: list[int]) -> Affine:
    """The map on the input: constant along what is reduced."""
    return m if node.attributes.get("keepdims", 1) else m.with_axes(axes)


def behind_reduction(node: Facts, m: Affine, axes: list[int]) -> Affine | None:
    """The map on the output, or None where it differs along what is reduced."""
    if any(axis in m.axes for axis in axes):
        return None
    return m if node.attributes.get("keepdims", 1) else m.without_axes(axes)


def pull_reduce_mean(node: Facts, m: Affine) -> Answer:
    """S mean(x) + t = mean(sx + t)."""
    axes = reduced_axes(node)
    return (
        Blocked(Reason.SHAPE_UNKNOWN)
        if axes is None
        else Passes({0: before_reduction(node, m, axes)})
    )


def push_reduce_mean(node: Facts, m: Affine, k: int) -> Answer:
    """mean(sx + t) = s mean(x) + mean(t)."""
    axes = reduced_axes(node)
    if k != 0 or axes is None:
        return Blocked(Reason.SHAPE_UNKNOWN)
    behind = behind_reduction(node, averaged(m, axes), axes)
    return Blocked(Reason.AXIS_MISMATCH) if behind is None else Passes({0: behind})


def _count(node: Facts, axes: list[int]) -> int | None:
    return known_size(tuple(node.input(0).dim(axis) for axis in axes))


def pull_reduce_sum(node: Facts, m: Affine) -> Answers:
    """S sum(x) + t = sum(sx + t/n) over n known elements."""
    axes = reduced_axes(node)
    if axes is None:
        return Blocked(Reason.SHAPE_UNKNOWN)
    before, count = before_reduction(node, m, axes), _count(node, axes)
    if m.is_scale_only:
        return Passes({0: before})
    if not count:
        return Blocked(Reason.SHAPE_UNKNOWN)
    return Passes({0: Affine.of(before.scale, before.shift / count)})


def push_reduce_sum(node: Facts, m: Affine, k: int) -> Answers:
    """sum(sx + t) = s sum(x) + n mean(t) over n known elements."""
    axes = reduced_axes(node)
    if k != 0 or axes is None:
        return Blocked(Reason.SHAPE_UNKNOWN)
    behind, count = behind_reduction(node, averaged(m, axes), axes), _count(node, axes)
    if behind is None:
        return Blocked(Reason.AXIS_MISMATCH)
    if not m.is_scale_only and not count:
        return Blocked(Reason.SHAPE_UNKNOWN)
    return Passes({0: Affine.of(behind.scale, behind.shift * np.float64(count or 0))})


def pull_reduce_max(node: Facts, m: Affine) -> Answers:
    """S max(x) + t = max(sx + t) for s >= 0, and min(sx + t) for s <= 0."""
    if not (m.nonnegative or m.nonpositive):
        return Blocked(Reason.NEGATIVE_SCALE)
    return turned(pull_reduce_mean(node, m), node, m)


def push_reduce_max(node: Facts, m: Affine, k: int) -> Answers:
    """As pull."""
    if not (m.nonnegative or m.nonpositive):
        return Blocked(Reason.NEGATIVE_SCALE)
    axes = reduced_axes(node)
    if k != 0 or axes is None:
        return Blocked(Reason.SHAPE_UNKNOWN)
    behind = behind_reduction(node, m, axes)
    return Blocked(Reason.AXIS_MISMATCH) if behind is None else turned(Passes({0: behind}), node, m)
