"""Lengths over windows and axes: |sx| = |s||x|, so that a scale crosses and a shift does not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bnfold.folding.affine import Affine, Array
from bnfold.folding.answers import Answers, Blocked, Facts, Passes
from bnfold.folding.reasons import Reason
from bnfold.folding.rules.pooling import before_reduction, behind_reduction, reduced_axes


def pull_lp_pool(node: Facts, m: Affine) -> Answers:
    """S ||x|| = ||sx|| for s >= 0; the zeros of the padding stay zeros."""
    if any(axis > 1 for axis in m.axes):
        return Blocked(Reason.AXIS_MISMATCH)
    return _pure(m) or Passes({0: m})


def push_lp_pool(node: Facts, m: Affine, k: int) -> Answers:
    """||sx|| = |s| ||x||."""
    if any(axis > 1 for axis in m.axes):
        return Blocked(Reason.AXIS_MISMATCH)
    if not m.is_scale_only:
        return Blocked(Reason.NONLINEAR_NEIGHBOURS)
    return Passes({0: Affine.of(np.abs(m.scale), m.shift)})


def _pure(m: Affine) -> Blocked | None:
    if not m.is_scale_only:
        return Blocked(Reason.NONLINEAR_NEIGHBOURS)
    return None if m.nonnegative else Blocked(Reason.NEGATIVE_SCALE)


def pull_reduce_length(node: Facts, m: Affine) -> Answers:
    """ReduceL1, ReduceL2: s ||x|| = ||sx|| for s >= 0."""
    return _pure(m) or _pulled(node, m)


def push_reduce_length(node: Facts, m: Affine, k: int) -> Answers:
    """ReduceL1, ReduceL2: ||sx|| = |s| ||x||."""
    return _pushed(node, m, k, np.abs)


def pull_reduce_square(node: Facts, m: Affine) -> Answers:
    """ReduceSumSquare: s sum(x^2) = sum((sqrt(s) x)^2) for s >= 0."""
    return _pure(m) or _pulled(node, Affine.of(np.sqrt(m.scale), m.shift))


def push_reduce_square(node: Facts, m: Affine, k: int) -> Answers:
    """ReduceSumSquare: sum((sx)^2) = s^2 sum(x^2)."""
    return _pushed(node, m, k, np.square)


def _pulled(node: Facts, m: Affine) -> Answers:
    axes = reduced_axes(node)
    if axes is None:
        return Blocked(Reason.SHAPE_UNKNOWN)
    return Passes({0: before_reduction(node, m, axes)})


def _pushed(node: Facts, m: Affine, k: int, size: Callable[[Array], Array]) -> Answers:
    axes = reduced_axes(node)
    if k != 0 or axes is None:
        return Blocked(Reason.SHAPE_UNKNOWN)
    if not m.is_scale_only:
        return Blocked(Reason.NONLINEAR_NEIGHBOURS)
    behind = behind_reduction(node, Affine.of(size(m.scale), m.shift), axes)
    return Blocked(Reason.AXIS_MISMATCH) if behind is None else Passes({0: behind})


def pull_log_sum_exp(node: Facts, m: Affine) -> Answers:
    """Log sum exp(x) + t = log sum exp(x + t)."""
    return _pulled(node, m) if m.is_shift_only else Blocked(Reason.NONLINEAR_NEIGHBOURS)


def push_log_sum_exp(node: Facts, m: Affine, k: int) -> Answers:
    """Log sum exp(x + t) = log sum exp(x) + t for a t that is constant along the axes."""
    axes = reduced_axes(node)
    if k != 0 or axes is None:
        return Blocked(Reason.SHAPE_UNKNOWN)
    behind = behind_reduction(node, m, axes) if m.is_shift_only else None
    return Blocked(Reason.NONLINEAR_NEIGHBOURS) if behind is None else Passes({0: behind})
