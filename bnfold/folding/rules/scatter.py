"""GatherND, ScatterND, ScatterElements: elements change places along some axes, not along others.

A scatter writes updates over data (`reduction` none) or adds them to it. Data and output have the
same axes; of an update, the place it is written to says which part of the map it takes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from bnfold.folding.affine import Affine, Array
from bnfold.folding.answers import Absorbed, Answers, Blocked, Change, Facts, Passes, Put
from bnfold.folding.reasons import Reason

Maps = Mapping[int, Affine]
Laying = Callable[[Facts, Affine], Affine | Reason]  # a map on the output, laid on the updates
_DATA, _UPDATES = 0, 2


def _gathered(node: Facts) -> tuple[int, int, int] | None:
    """GatherND's batch axes, the depth of its indices, and the axes in front of what is taken."""
    indices = node.input(1)
    depth = indices.dim(indices.rank - 1) if indices.rank else None
    if not isinstance(depth, int) or not indices.rank:
        return None
    return int(node.attributes.get("batch_dims", 0)), depth, indices.rank - 1


def pull_gather_nd(node: Facts, m: Affine) -> Answers:
    """Whatever is taken, it brings its trailing axes along: the map must lie on these."""
    found = _gathered(node)
    if found is None:
        return Blocked(Reason.SHAPE_UNKNOWN)
    batch, depth, front = found
    if any(batch <= axis < front for axis in m.axes):
        return Blocked(Reason.AXIS_MISMATCH)
    part = m.without_axes(range(batch, front)).with_axes(range(batch, batch + depth))
    data = node.input(0).constant
    if data is None:
        return Passes({0: part})
    if any(part.extent(axis) not in (1, n) for axis, n in enumerate(data.shape)):
        return Blocked(Reason.AXIS_MISMATCH)
    return Absorbed({0: Put(part.scale * data.value() + part.shift)})


def push_gather_nd(node: Facts, m: Affine, k: int) -> Answers:
    """As pull, the other way."""
    found = _gathered(node)
    if k != 0 or found is None:
        return Blocked(Reason.SHAPE_UNKNOWN)
    batch, depth, front = found
    if any(batch <= axis < batch + depth for axis in m.axes):
        return Blocked(Reason.AXIS_MISMATCH)
    taken = m.without_axes(range(batch, batch + depth))
    return Passes({0: taken.with_axes(range(batch, front))})


def _laid_along(node: Facts, m: Affine) -> Affine | Reason:
    """ScatterElements: updates lie as the data does, but along one axis."""
    if int(node.attributes.get("axis", 0)) % m.rank in m.axes:
        return Reason.AXIS_MISMATCH
    for axis in m.axes:  # there, updates may stop short of the data
        if node.input(_UPDATES).dim(axis) != m.extent(axis):
            return Reason.SHAPE_UNKNOWN
    return m


def _laid_by_indices(node: Facts, m: Affine) -> Affine | Reason:
    """ScatterND: an update brings its trailing axes; on the others constant indices must tell."""
    indices = node.input(1)
    depth = indices.dim(indices.rank - 1) if indices.rank else None
    if not isinstance(depth, int) or not indices.rank:
        return Reason.SHAPE_UNKNOWN
    if not any(axis < depth for axis in m.axes):
        return m.without_axes(range(depth)).with_axes(range(indices.rank - 1))
    places = node.value(1)
    if places is None:
        return Reason.SHAPE_UNKNOWN
    return Affine.of(*(_at(values, places.astype(np.int64)) for values in (m.scale, m.shift)))


def _at(values: Array, places: NDArray[np.int64]) -> Array:
    """The values at these places; along an axis of length 1 there is but one."""
    where = [
        np.zeros_like(places[..., a]) if values.shape[a] == 1 else places[..., a]
        for a in range(places.shape[-1])
    ]
    return values[tuple(where)]


def _pull(node: Facts, m: Affine, laying: Laying) -> Answers:
    """S(data, updates) + t: both take the map; where updates are added, t goes to the data."""
    reduction = node.attributes.get("reduction", "none")
    if reduction not in ("none", "add"):
        return Blocked(Reason.NONLINEAR_NEIGHBOURS)
    laid = laying(node, m if reduction == "none" else m.scale_part())
    if isinstance(laid, Reason):
        return Blocked(laid)
    to: dict[int, Affine] = {}
    changes: dict[int, Change] = {}
    for slot, part in ((_DATA, m), (_UPDATES, laid)):
        constant = node.input(slot).constant
        if constant is None:
            to[slot] = part
        elif any(part.extent(axis) not in (1, n) for axis, n in enumerate(constant.shape)):
            return Blocked(Reason.AXIS_MISMATCH)
        else:
            changes[slot] = Put(part.scale * constant.value() + part.shift)
    return Passes(to, changes) if to else Absorbed(changes)


def _push(node: Facts, maps: Maps, laying: Laying) -> Answers:
    """The data's map, which the updates must share; a constant c becomes (c - t)/s."""
    reduction = node.attributes.get("reduction", "none")
    if reduction not in ("none", "add") or 1 in maps:
        return Blocked(Reason.NONLINEAR_NEIGHBOURS)
    m = maps.get(_DATA)
    if m is None:  # the data may still be constant: then it is for the updates to say
        return _push_updates(node, maps[_UPDATES], laying)
    laid = laying(node, m if reduction == "none" else m.scale_part())
    if isinstance(laid, Reason):
        return Blocked(laid)
    if node.input(_UPDATES).constant is None:
        same = maps.get(_UPDATES, Affine.identity(laid.rank)) == laid
        return Passes({0: m}) if same else Blocked(Reason.NONLINEAR_NEIGHBOURS)
    change = _preimage(node, _UPDATES, laid)
    return Blocked(change) if isinstance(change, Reason) else Passes({0: m}, {_UPDATES: change})


def _push_updates(node: Facts, laid: Affine, laying: Laying) -> Answers:
    rank = node.input(_DATA).rank
    if node.input(_DATA).constant is None or rank is None:
        return Blocked(Reason.NONLINEAR_NEIGHBOURS)
    if node.attributes.get("reduction", "none") == "add" and not laid.is_scale_only:
        return Blocked(Reason.NONLINEAR_NEIGHBOURS)
    constant = [axis for axis in range(laid.rank) if axis not in laid.axes]
    m = laid.without_axes(constant[: max(0, laid.rank - rank)])
    m = m.lifted(max(rank, m.rank))  # a guess, the trailing axes in their place: is it right?
    change = _preimage(node, _DATA, m) if m.rank == rank else Reason.AXIS_MISMATCH
    if isinstance(change, Reason) or laying(node, m) != laid:
        return Blocked(change if isinstance(change, Reason) else Reason.AXIS_MISMATCH)
    return Passes({0: m}, {_DATA: change})


def _preimage(node: Facts, slot: int, m: Affine) -> Put | Reason:
    constant = node.input(slot).constant
    assert constant is not None
    if not m.invertible:
        return Reason.NONLINEAR_NEIGHBOURS
    if any(m.extent(axis) not in (1, n) for axis, n in enumerate(constant.shape)):
        return Reason.AXIS_MISMATCH
    return Put((constant.value() - m.shift) / m.scale)


def pull_elements(node: Facts, m: Affine) -> Answers:
    """ScatterElements: the map must be constant along its axis."""
    return _pull(node, m, _laid_along)


def push_elements(node: Facts, maps: Maps) -> Answers:
    """As pull, the other way."""
    return _push(node, maps, _laid_along)


def pull_nd(node: Facts, m: Affine) -> Answers:
    """ScatterND: on the axes that it writes along, only constant indices tell where."""
    return _pull(node, m, _laid_by_indices)


def push_nd(node: Facts, maps: Maps) -> Answers:
    """As pull, the other way."""
    return _push(node, maps, _laid_by_indices)
