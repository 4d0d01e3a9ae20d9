"""Resize, Expand, Tile and the block shuffles: every output is an input, or a mean of some."""

from __future__ import annotations

import numpy as np

from bnfold.folding.affine import Affine
from bnfold.folding.answers import Answers, Blocked, Facts, Passes
from bnfold.folding.reasons import Reason
from bnfold.folding.rules.broadcast import on_operand


def _kept(node: Facts, axis: int) -> bool:
    """Whether the node leaves an axis as it is."""
    before, after = node.input(0).dim(axis), node.outputs[0].dim(axis)
    return before is not None and before == after


def pull_resize(node: Facts, m: Affine) -> Answers:
    """Interpolation weights sum to 1; the axes of the map must not be resized."""
    if node.attributes.get("coordinate_transformation_mode") == "tf_crop_and_resize":
        outside = float(node.attributes.get("extrapolation_value", 0.0))
        if (m.scale * outside + m.shift != outside).any():
            return Blocked(Reason.PADDING_SHIFT)
    return _along_kept_axes(node, m)


def _along_kept_axes(node: Facts, m: Affine) -> Answers:
    for axis in m.axes:
        factor = _factor(node, axis)
        if factor == 1 or (factor is None and _kept(node, axis) and not _one_factor(node)):
            continue
        known = isinstance(node.input(0).dim(axis), int) and factor is not None
        return Blocked(Reason.AXIS_MISMATCH if known else Reason.SHAPE_UNKNOWN)
    return Passes({0: m})


def _one_factor(node: Facts) -> bool:
    """Whether all axes have one factor: then even one whose extent is kept may be resampled."""
    return str(node.attributes.get("keep_aspect_ratio_policy", "stretch")) != "stretch"


def _factor(node: Facts, axis: int) -> float | None:
    """The factor of an axis, where the scales are constant."""
    stated = node.attributes.get("scales")
    slot = 1 if node.op_type == "Upsample" or node.version < 11 else 2
    value = node.value(slot) if stated is None else np.asarray(stated)
    axes = node.attributes.get("axes")
    if axes is not None:
        rank = node.input(0).rank or 0
        places = [a % rank for a in axes] if rank else []
        if axis not in places:
            return 1.0
        axis = places.index(axis)
    return float(value[axis]) if value is not None and axis < value.size else None


def push_resize(node: Facts, m: Affine, k: int) -> Answers:
    """As pull."""
    return pull_resize(node, m) if k == 0 else Blocked(Reason.NONLINEAR_NEIGHBOURS)


def pull_expand(node: Facts, m: Affine) -> Answers:
    """The input carries the map where it has the axis itself."""
    part = on_operand(m, node.input(0), ())
    if isinstance(part, Reason):
        return Blocked(part)
    if any(not _kept_from_right(node, axis, m.rank) for axis in m.axes):
        return Blocked(Reason.SHAPE_UNKNOWN)
    return Passes({0: part})


def _kept_from_right(node: Facts, axis: int, rank: int) -> bool:
    own = node.input(0).rank
    return own is not None and isinstance(node.input(0).dim(axis - (rank - own)), int)


def push_expand(node: Facts, m: Affine, k: int) -> Answers:
    """Copies carry the map."""
    rank = node.outputs[0].rank
    if k != 0 or rank is None:
        return Blocked(Reason.SHAPE_UNKNOWN)
    return Passes({0: m.lifted(rank)})


def pull_tile(node: Facts, m: Affine) -> Answers:
    """All copies of an element must carry one map."""
    repeats = node.value(1)
    if repeats is None:
        return _along_kept_axes(node, m) if not m.axes else Blocked(Reason.SHAPE_UNKNOWN)
    for axis in m.axes:
        count = int(repeats[axis])
        first = m.take(axis, range(m.extent(axis) // count))
        if _tiled(first, axis, count) != m:
            return Blocked(Reason.AXIS_MISMATCH)
        m = first
    return Passes({0: m})


def _tiled(m: Affine, axis: int, count: int) -> Affine:
    if axis not in m.axes:
        return m
    return m.take(axis, np.tile(np.arange(m.extent(axis)), count))


def push_tile(node: Facts, m: Affine, k: int) -> Answers:
    """Copies carry the map."""
    repeats = node.value(1)
    if k != 0:
        return Blocked(Reason.NONLINEAR_NEIGHBOURS)
    if repeats is None:
        return Passes({0: m}) if not m.axes else Blocked(Reason.SHAPE_UNKNOWN)
    for axis in m.axes:
        m = _tiled(m, axis, int(repeats[axis]))
    return Passes({0: m})


def _block_labels(node: Facts, channels: int) -> np.ndarray | None:
    """DepthToSpace: the output channel of each input channel; SpaceToDepth is its mirror."""
    block = int(node.attributes["blocksize"]) ** 2
    if channels % block:
        return None
    places = np.arange(channels)
    if node.attributes.get("mode", "DCR") == "CRD":
        return places // block
    return places % (channels // block)


def _channels_only(m: Affine) -> bool:
    return all(axis == 1 for axis in m.axes)


def _spread(node: Facts, m: Affine) -> Answers:
    """Few channels to many: every copy carries its channel's map."""
    if not _channels_only(m):
        return Blocked(Reason.AXIS_MISMATCH)
    if not m.axes:
        return Passes({0: m})
    labels = _block_labels(node, m.extent(1) * int(node.attributes["blocksize"]) ** 2)
    assert labels is not None
    return Passes({0: m.take(1, labels)})


def _gathered(node: Facts, m: Affine) -> Answers:
    """Many channels to few: those that meet in one must carry the same map."""
    if not _channels_only(m):
        return Blocked(Reason.AXIS_MISMATCH)
    if not m.axes:
        return Passes({0: m})
    labels = _block_labels(node, m.extent(1))
    if labels is None:
        return Blocked(Reason.AXIS_MISMATCH)
    firsts = np.unique(labels, return_index=True)[1]
    few = m.take(1, firsts)
    wide = few.take(1, labels) if 1 in few.axes else few
    return Passes({0: few}) if wide == m else Blocked(Reason.AXIS_MISMATCH)


def pull_depth_to_space(node: Facts, m: Affine) -> Answers:
    """Output channel c comes from blocksize^2 input channels."""
    return _spread(node, m)


def push_depth_to_space(node: Facts, m: Affine, k: int) -> Answers:
    """The channels of one block become one."""
    return _gathered(node, m)


def pull_space_to_depth(node: Facts, m: Affine) -> Answers:
    """Output channel is block*C + c: the blocks must agree."""
    return _gathered(node, m)


def push_space_to_depth(node: Facts, m: Affine, k: int) -> Answers:
    """Every block carries its channel's map."""
    return _spread(node, m)
