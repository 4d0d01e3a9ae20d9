"""GridSample and RoiAlign: means of what they sample; CumSum and Trilu: sums with zeros."""

from __future__ import annotations

from bnfold.folding.affine import Affine
from bnfold.folding.answers import Answers, Blocked, Facts, Passes
from bnfold.folding.reasons import Reason


def pull_grid_sample(node: Facts, m: Affine) -> Answers:
    """Weights sum to 1, but padding_mode zeros also samples zeros: then t = 0."""
    if any(axis > 1 for axis in m.axes):
        return Blocked(Reason.AXIS_MISMATCH)
    if node.attributes.get("padding_mode", "zeros") == "zeros" and not m.is_scale_only:
        return Blocked(Reason.PADDING_SHIFT)
    return Passes({0: m})


def push_grid_sample(node: Facts, m: Affine, k: int) -> Answers:
    """As pull, from the sampled tensor; the grid decides where."""
    return pull_grid_sample(node, m) if k == 0 else Blocked(Reason.NONLINEAR_NEIGHBOURS)


def pull_roi_align(node: Facts, m: Affine) -> Answers:
    """Means over a region, in which what lies outside of the image counts as zero."""
    if any(axis != 1 for axis in m.axes):
        return Blocked(Reason.AXIS_MISMATCH)
    if node.attributes.get("mode", "avg") != "avg":
        return Blocked(Reason.NONLINEAR_NEIGHBOURS)
    return Passes({0: m}) if m.is_scale_only else Blocked(Reason.PADDING_SHIFT)


def push_roi_align(node: Facts, m: Affine, k: int) -> Answers:
    """As pull, from the image; the regions decide where."""
    return pull_roi_align(node, m) if k == 0 else Blocked(Reason.NONLINEAR_NEIGHBOURS)


def pull_cum_sum(node: Facts, m: Affine) -> Answers:
    """Sums along an axis carry a scale that is constant there; a shift would grow on the way."""
    axis = node.value(1)
    if axis is None and m.axes:
        return Blocked(Reason.SHAPE_UNKNOWN)
    if axis is not None and int(axis.reshape(())) % m.rank in m.axes:
        return Blocked(Reason.AXIS_MISMATCH)
    return Passes({0: m}) if m.is_scale_only else Blocked(Reason.NONLINEAR_NEIGHBOURS)


def push_cum_sum(node: Facts, m: Affine, k: int) -> Answers:
    """As pull."""
    return pull_cum_sum(node, m) if k == 0 else Blocked(Reason.NONLINEAR_NEIGHBOURS)


def pull_trilu(node: Facts, m: Affine) -> Answers:
    """Each element is kept or zero."""
    return Passes({0: m}) if m.is_scale_only else Blocked(Reason.NONLINEAR_NEIGHBOURS)


def push_trilu(node: Facts, m: Affine, k: int) -> Answers:
    """As pull."""
    return pull_trilu(node, m) if k == 0 else Blocked(Reason.NONLINEAR_NEIGHBOURS)
