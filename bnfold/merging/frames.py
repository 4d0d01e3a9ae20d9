"""A tensor with a border of constants, written by other means than the value of a Pad.

Diverse-branch and edge-oriented blocks pad by what their BatchNorm or bias makes of zero: a Pad,
then assignments to rows and columns (ScatterND, with Transposes between), or a Concat of constant
rows. What such a chain makes of a tensor is found by moving numbers: operators that only move
elements are run once on the positions 0, 1, 2, ... and once on positions shifted by their count.
What does not differ is a constant; all else says where it came from.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np

from bnfold import ops64
from bnfold.folding.affine import Array
from bnfold.folding.facts import DEFAULT_DOMAINS
from bnfold.folding.reasons import Reason
from bnfold.graph.index import GraphIndex, Node
from bnfold.graph.numbers import FLOATS
from bnfold.merging.geometry import Axis, Geometry, Layout
from bnfold.merging.linear import Frame, Linear, Read

MOVERS = ("Concat", "Identity", "Pad", "ScatterElements", "ScatterND", "Transpose", "Where")
ENLARGING = ("Concat", "Pad")
LONGEST_CHAIN = 24
MOST_ELEMENTS = 1 << 22  # of a tensor that is moved for a trial


def framed(index: GraphIndex, node: Node, layout: Layout) -> Read | Reason | None:
    """The end of a chain of movers as a tensor within a border, constant for each channel."""
    given_up = Reason.NOT_YET if node.op_type.startswith("Scatter") else None
    if layout is not Layout.FIRST or any(
        reader.op_type in MOVERS for reader, _ in index.value_readers(node.outputs[0])
    ):
        return given_up
    chain: list[Node] = []
    found: Read | None = None
    for mover, source in _behind(index, node):
        chain.insert(0, mover)
        if mover.op_type in ENLARGING:
            made = _read(index, chain, source)
            found = found if made is None else (source, made)  # the longest chain
    return found or given_up


def _behind(index: GraphIndex, node: Node) -> Iterator[tuple[Node, str]]:
    """The movers from a node on upstream, each with the one tensor that it moves."""
    for _ in range(LONGEST_CHAIN):
        moved = [name for name in node.inputs if name and not index.is_constant(name)]
        if len(moved) != 1 or node.op_type not in MOVERS or node.domain not in DEFAULT_DOMAINS:
            return
        yield node, moved[0]
        above = index.producer_of(moved[0])
        if above is None:
            return
        node = above


def _read(index: GraphIndex, chain: list[Node], source: str) -> Linear | None:
    held = index.type_of(source)
    shape = tuple(n for n in held.shape or () if isinstance(n, int))
    if held.elem_type not in FLOATS or len(shape) != len(held.shape or ()) or len(shape) < 3:
        return None
    if not 0 < prod(shape) <= MOST_ELEMENTS:
        return None
    positions = np.arange(prod(shape), dtype=np.float64).reshape(shape)
    one = _moved(index, chain, source, positions)
    other = _moved(index, chain, source, positions + prod(shape))
    if one is None or other is None or one.ndim != len(shape):
        return None
    place = _place(one != other)
    if place is None or not np.array_equal(one[place], positions):
        return None
    value = _border(one, one == other)
    if value is None:
        return None
    begins = [span.start for span in place[2:]]
    axes = tuple(
        Axis(-begin, 1, 1, 1, made - n - 1)
        for begin, made, n in zip(begins, one.shape[2:], shape[2:], strict=True)
    )
    geometry = Geometry(shape[1], shape[1], shape[1], axes, Layout.FIRST)
    ones = np.ones((shape[1], 1, *geometry.taps))
    # rounded where it was written: the few roundings of its arithmetic, in parts of the largest
    blur = 4 * FLOATS[held.elem_type].epsilon * float(np.abs(value).max(initial=0.0))
    return Linear(geometry, lambda: ones, frame=Frame(value, blur))


def _moved(index: GraphIndex, chain: list[Node], source: str, x: Array) -> Array | None:
    """What the chain makes of a tensor; None where a constant cannot be read."""
    for node in chain:
        constants = [index.constant(name) if name else None for name in node.inputs]
        values = [None if constant is None else constant.value() for constant in constants]
        moved = [i for i, name in enumerate(node.inputs) if name == source]
        if any(
            v is None and name and name != source
            for v, name in zip(values, node.inputs, strict=True)
        ):
            return None
        values = [x if i in moved else v for i, v in enumerate(values)]
        (x,) = ops64.compute(node.op_type, index.opset, values, dict(node.attributes), 1)
        source = node.outputs[0]
    return x


def _place(moved: Array) -> tuple[slice, ...] | None:
    """The box that the moved elements lie in, all of batch and channels; None without a border."""
    if moved.all() or not moved.any():
        return None
    spans = []
    for axis in range(moved.ndim):
        met = np.flatnonzero(moved.any(axis=tuple(a for a in range(moved.ndim) if a != axis)))
        spans.append(slice(int(met[0]), int(met[-1]) + 1))
    whole = all(span == slice(0, n) for span, n in zip(spans[:2], moved.shape, strict=False))
    return tuple(spans) if whole else None


def _border(value: Array, constant: Array) -> Array | None:
    """The border's value for each channel, where it is one."""
    axes = tuple(a for a in range(value.ndim) if a != 1)
    low = np.where(constant, value, np.inf).min(axis=axes)
    high = np.where(constant, value, -np.inf).max(axis=axes)
    return low if np.isfinite(low).all() and np.array_equal(low, high) else None
