"""Split, Slice and Gather: the map goes to what is taken, the rest stays untouched."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bnfold.folding.affine import Affine, joined, scattered
from bnfold.folding.answers import Absorbed, Answer, Answers, Blocked, Facts, Passes, Put
from bnfold.folding.reasons import Reason


def _split_axis(node: Facts, rank: int) -> int:
    return int(node.attributes.get("axis", 0)) % rank


def _split_lengths(node: Facts, axis: int) -> list[int] | None:
    stated = node.integers(1, "split")
    if stated is not None:
        return stated
    lengths = [output.dim(axis) for output in node.outputs]
    known = [n for n in lengths if isinstance(n, int)]
    return known if len(known) == len(lengths) else None


def pull_split(node: Facts, maps: Mapping[int, Affine]) -> Answers:
    """The maps on the pieces, laid side by side; pieces without one keep the identity."""
    rank = next(iter(maps.values())).rank
    axis = _split_axis(node, rank)
    parts = [maps.get(i, Affine.identity(rank)) for i in range(len(node.outputs))]
    if all(part == parts[0] for part in parts) and axis not in parts[0].axes:
        return Passes({0: parts[0]})
    lengths = _split_lengths(node, axis)
    if lengths is None:
        return Blocked(Reason.SHAPE_UNKNOWN)
    whole = joined(parts, lengths, axis)
    return Blocked(Reason.SHAPE_UNKNOWN) if whole is None else Passes({0: whole})


def push_split(node: Facts, m: Affine, k: int) -> Answers:
    """Every piece carries its slice of the map."""
    axis = _split_axis(node, m.rank)
    if k != 0:
        return Blocked(Reason.NONLINEAR_NEIGHBOURS)
    if axis not in m.axes:
        return Passes(dict.fromkeys(range(len(node.outputs)), m))
    lengths = _split_lengths(node, axis)
    if lengths is None or sum(lengths) != m.extent(axis):
        return Blocked(Reason.SHAPE_UNKNOWN)
    starts = np.cumsum([0, *lengths])
    return Passes({i: m.take(axis, range(starts[i], starts[i + 1])) for i in range(len(lengths))})


def slices(node: Facts, rank: int) -> dict[int, slice] | None:
    """The slice along each axis, or None where one is computed at run time."""
    starts, ends = node.integers(1, "starts"), node.integers(2, "ends")
    if starts is None or ends is None:
        return None
    axes = node.integers(3, "axes")
    if axes is None:
        if not node.input(3).absent:
            return None
        axes = list(range(len(starts)))
    steps = node.integers(4, "steps")
    if steps is None:
        if not node.input(4).absent:
            return None
        steps = [1] * len(starts)
    cuts = zip(axes, starts, ends, steps, strict=True)
    return {axis % rank: slice(start, end, step) for axis, start, end, step in cuts}


def pull_slice(node: Facts, m: Affine) -> Answers:
    """Outside of the slice nothing is seen: leave it as it is, or let the whole axis change."""
    cuts = slices(node, m.rank)
    if cuts is None:
        return Blocked(Reason.SHAPE_UNKNOWN)
    answers: list[Answer] = [] if any(axis in m.axes for axis in cuts) else [Passes({0: m})]
    spread: Affine | None = m
    for axis, cut in cuts.items():
        length = node.input(0).dim(axis)
        if not isinstance(length, int):
            return tuple(answers) or Blocked(Reason.SHAPE_UNKNOWN)
        indices = np.arange(length)[cut]
        if len(indices) == length and cut.step == 1:
            continue
        if m.extent(axis) not in (1, len(indices)):
            return Blocked(Reason.AXIS_MISMATCH)
        spread = scattered(spread, axis, indices, length) if spread is not None else None
    if spread is not None:
        answers.append(Passes({0: spread}))
    return tuple(answers)


def push_slice(node: Facts, m: Affine, k: int) -> Answers:
    """The slice of the map."""
    if k != 0:
        return Blocked(Reason.NONLINEAR_NEIGHBOURS)
    if not m.axes:
        return Passes({0: m})
    cuts = slices(node, m.rank)
    if cuts is None:
        return Blocked(Reason.SHAPE_UNKNOWN)
    for axis in m.axes:
        if axis in cuts:
            m = m.take(axis, np.arange(m.extent(axis))[cuts[axis]])
    return Passes({0: m})


def _gather_axis(node: Facts, rank: int) -> int:
    return int(node.attributes.get("axis", 0)) % rank


def pull_gather(node: Facts, m: Affine) -> Answers:
    """Along the gathered axes constant: any indices; else each index must get one map."""
    data, indices = node.input(0), node.input(1)
    if data.rank is None or indices.rank is None:
        return Blocked(Reason.SHAPE_UNKNOWN)
    axis = _gather_axis(node, data.rank)
    taken = list(range(axis, axis + indices.rank))
    if not any(a in m.axes for a in taken):
        part = m.without_axes(taken).with_axes([axis])
        if data.constant is not None:
            if any(part.extent(a) not in (1, n) for a, n in enumerate(data.constant.shape)):
                return Blocked(Reason.AXIS_MISMATCH)
            return Absorbed({0: Put(part.scale * data.constant.value() + part.shift)})
        whole = Passes({0: part})
        picked = _pick(node, part, axis)
        return (whole, picked) if picked is not None else whole
    if indices.rank != 1:
        return Blocked(Reason.AXIS_MISMATCH)
    unknown = node.value(1) is None or not isinstance(data.dim(axis), int)
    reason = Reason.SHAPE_UNKNOWN if unknown else Reason.AXIS_MISMATCH
    return _pick(node, m, axis) or Blocked(reason)


def _pick(node: Facts, m: Affine, axis: int) -> Passes | None:
    """The map on the gathered elements alone, where indices and extent are known."""
    value, length = node.value(1), node.input(0).dim(axis)
    if value is None or not isinstance(length, int):
        return None
    indices = np.atleast_1d(value).reshape(-1).astype(np.int64) % length
    if m.extent(axis) not in (1, len(indices)):
        return None
    spread = scattered(m, axis, indices, length)
    return None if spread is None else Passes({0: spread})


def pull_gather_elements(node: Facts, m: Affine) -> Answers:
    """Elements change places along one axis: the map must be constant there."""
    data, indices = node.input(0), node.input(1)
    if data.rank is None or indices.rank is None:
        return Blocked(Reason.SHAPE_UNKNOWN)
    if _gather_axis(node, data.rank) in m.axes:
        return Blocked(Reason.AXIS_MISMATCH)
    # beside that axis, indices may stop short of the data
    if any(data.dim(a) is None or data.dim(a) != indices.dim(a) for a in m.axes):
        return Blocked(Reason.SHAPE_UNKNOWN)
    return Passes({0: m})


def push_gather_elements(node: Facts, m: Affine, k: int) -> Answers:
    """As pull."""
    return pull_gather_elements(node, m) if k == 0 else Blocked(Reason.NONLINEAR_NEIGHBOURS)


def pull_reverse_sequence(node: Facts, m: Affine) -> Answers:
    """Elements change places along the time axis: the map must be constant there."""
    if int(node.attributes.get("time_axis", 0)) % m.rank in m.axes:
        return Blocked(Reason.AXIS_MISMATCH)
    return Passes({0: m})


def push_reverse_sequence(node: Facts, m: Affine, k: int) -> Answers:
    """As pull."""
    return pull_reverse_sequence(node, m) if k == 0 else Blocked(Reason.NONLINEAR_NEIGHBOURS)


def push_gather(node: Facts, m: Affine, k: int) -> Answers:
    """The gathered elements carry their own map."""
    indices = node.input(1)
    if k != 0:
        return Blocked(Reason.NONLINEAR_NEIGHBOURS)
    if indices.rank is None:
        return Blocked(Reason.SHAPE_UNKNOWN)
    axis = _gather_axis(node, m.rank)
    if axis in m.axes:
        value = node.value(1)
        if value is None:
            return Blocked(Reason.SHAPE_UNKNOWN)
        length = m.extent(axis)
        wide = m.take(axis, value.reshape(-1).astype(np.int64) % length)
        if indices.rank == 1:
            return Passes({0: wide})
        if indices.rank == 0:
            return Passes({0: wide.without_axes([axis])})
        return Blocked(Reason.AXIS_MISMATCH)
    gone = m.without_axes([axis])
    return Passes({0: gone.with_axes(range(axis, axis + indices.rank))})
