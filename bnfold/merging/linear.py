"""A linear operator as a value: y = W x + b, with its exact sums, scales and compositions.

Shapes are reckoned at once, weights only when asked for, in float64: what costs too much is
refused before anything is multiplied.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from bnfold.folding.affine import Array
from bnfold.folding.reasons import Reason
from bnfold.merging.geometry import Axis, Geometry, Size, composed, stacked, summed
from bnfold.ops64.windows import last

Thunk = Callable[[], Array]
MOST_TERMS = 256  # of one operator: sums of sums double them with each, and nothing gains by more


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """What stands around a tensor, (channels,), and how far rounding may have moved it."""

    value: Array
    blur: float


@dataclass(frozen=True, slots=True, eq=False)
class Linear:
    """An operator. `kernel` gives (outputs, inputs/group, *taps), `bias` (outputs,) or is None.

    `holds` are conditions on the values without which it is not exact; they are asked last. With a
    `frame` the operator is no map of its own: what it stands behind has to make that of zeros.
    `terms` counts the operators that it is made of, those that are met twice as two.
    """

    geometry: Geometry
    kernel: Thunk
    bias: Thunk | None = None
    holds: tuple[Callable[[], bool], ...] = ()
    frame: Frame | None = None
    terms: int = 1

    @property
    def is_exact(self) -> bool:
        """Whether every condition on the values holds."""
        return all(condition() for condition in self.holds)


Read = tuple[str, Linear]  # the tensor that a node reads, and what it makes of it


def turned(weight: Array, group: int) -> Array:
    """(inputs, outputs/group, *taps) as (outputs, inputs/group, *taps), and back."""
    grouped = weight.reshape(group, -1, *weight.shape[1:]).swapaxes(1, 2)
    return np.ascontiguousarray(grouped.reshape(-1, *grouped.shape[2:]))


def identity(geometry: Geometry) -> Linear:
    """X -> x."""
    return Linear(geometry, lambda: np.ones((geometry.outputs, 1, *geometry.taps)))


def scaled(by: float, x: Linear) -> Linear:
    """By times an operator."""
    if by == 1:
        return x
    bias = x.bias
    return Linear(
        x.geometry,
        lambda: by * x.kernel(),
        None if bias is None else lambda: by * bias(),
        x.holds,
        terms=x.terms,
    )


def plus(a: Linear, b: Linear, sizes: Sequence[Size]) -> Linear | Reason:
    """a(x) + b(x)."""
    geometry = _bounded(a, b, summed(a.geometry, b.geometry, sizes))
    if isinstance(geometry, Reason):
        return geometry

    def kernel() -> Array:
        total = embedded(a.kernel(), a.geometry, geometry)
        total += embedded(b.kernel(), b.geometry, geometry)
        return total

    return Linear(
        geometry, kernel, _both(a.bias, b.bias), a.holds + b.holds, terms=a.terms + b.terms
    )


def beside(a: Linear, b: Linear, sizes: Sequence[Size]) -> Linear | Reason:
    """a(x) and b(x) behind one another, as a Concat lays them."""
    geometry = _bounded(a, b, stacked(a.geometry, b.geometry, sizes))
    if isinstance(geometry, Reason):
        return geometry

    def kernel() -> Array:
        return np.concatenate([embedded(one.kernel(), one.geometry, geometry) for one in (a, b)])

    def bias() -> Array:
        parts = ((one.bias, one.geometry.outputs) for one in (a, b))
        return np.concatenate([np.zeros(n) if made is None else made() for made, n in parts])

    added = bias if a.bias or b.bias else None
    return Linear(geometry, kernel, added, a.holds + b.holds, terms=a.terms + b.terms)


def after(outer: Linear, inner: Linear, sizes: Sequence[Size]) -> Linear | Reason:
    """outer(inner(x)); inner's bias must not meet outer's padding."""
    geometry = _bounded(outer, inner, composed(outer.geometry, inner.geometry, sizes))
    if isinstance(geometry, Reason):
        return geometry
    if outer.frame is not None:
        return _inside(outer.frame, outer, inner, geometry)
    middle = [a.known_count(n) for a, n in zip(inner.geometry.axes, sizes, strict=True)]
    holds, terms = outer.holds + inner.holds, outer.terms + inner.terms
    inner_bias = inner.bias
    if inner_bias is None:
        return Linear(
            geometry, lambda: _product(outer, inner, geometry), outer.bias, holds, terms=terms
        )
    carried = _Carried(outer, inner_bias, tuple(middle))
    return Linear(
        geometry,
        lambda: _product(outer, inner, geometry),
        _both(carried.total, outer.bias),
        (*holds, cache(carried.misses_padding)),  # asked of every sum that it is a part of
        terms=terms,
    )


def _bounded(a: Linear, b: Linear, geometry: Geometry | Reason) -> Geometry | Reason:
    """The geometry of both joined, or why they are not."""
    return geometry if a.terms + b.terms <= MOST_TERMS else Reason.WOULD_COST_MORE


def _inside(frame: Frame, outer: Linear, inner: Linear, geometry: Geometry) -> Linear:
    """inner(x) within its own bias: what it makes of the zeros around x."""
    bias = inner.bias

    def agrees() -> bool:
        made = 0.0 if bias is None else bias()
        return bool((np.abs(made - frame.value) <= frame.blur).all())

    return Linear(
        geometry,
        lambda: _product(outer, inner, geometry),
        bias,
        (*inner.holds, cache(agrees)),
        terms=outer.terms + inner.terms,
    )


@dataclass(frozen=True, slots=True)
class _Carried:
    """What an outer operator makes of the bias of an inner one."""

    outer: Linear
    bias: Thunk
    sizes: tuple[Size, ...]

    def taps(self) -> Array:
        """What each tap adds, (outputs, *taps)."""
        kernel = self.outer.kernel()
        group = self.outer.geometry.group
        rows = np.repeat(self.bias().reshape(group, -1), len(kernel) // group, axis=0)
        laid = kernel * rows.reshape(*rows.shape, *[1] * (kernel.ndim - 2))
        return np.asarray(laid.sum(axis=1))

    def total(self) -> Array:
        """The bias that stands in its place."""
        taps = self.taps()
        return np.asarray(taps.reshape(len(taps), -1).sum(axis=1))

    def misses_padding(self) -> bool:
        """Every tap that ever reads a padded zero adds nothing: the bias is not missed there."""
        met = np.zeros(self.outer.geometry.taps, bool)
        for k, (axis, n) in enumerate(zip(self.outer.geometry.axes, self.sizes, strict=True)):
            meets = np.array([axis.meets_zeros(o, n) for o in axis.offsets])
            met |= meets.reshape([-1 if i == k else 1 for i in range(met.ndim)])
        if not met.any():
            return True
        return not self.taps()[:, met].any()


def _both(a: Thunk | None, b: Thunk | None) -> Thunk | None:
    if a is None or b is None:
        return a or b
    return lambda: a() + b()


def embedded(kernel: Array, small: Geometry, large: Geometry) -> Array:
    """A kernel laid into a larger one: its channels into coarser groups, its taps by offset."""
    wide = regrouped(kernel, small.group, large.group)
    out = np.zeros((*wide.shape[:2], *large.taps))
    spots = [_spots(a, b) for a, b in zip(small.axes, large.axes, strict=True)]
    out[last(spots)] = wide
    return out


def _spots(small: Axis, large: Axis, stride: int = 1) -> slice:
    """Where the taps of an axis lie on the raster of another one, which spans them."""
    start = (small.first * stride - large.first) // large.step
    step = max(1, stride * small.step // large.step)
    return slice(start, start + step * (small.taps - 1) + 1, step)


def regrouped(kernel: Array, group: int, coarser: int) -> Array:
    """A grouped kernel as one of fewer groups, zeros between those that are not connected."""
    if group == coarser:
        return kernel.copy()
    outputs, inner = kernel.shape[:2]
    ratio = group // coarser
    out = np.zeros((outputs, ratio, inner, *kernel.shape[2:]))
    rows = np.arange(outputs)
    out[rows, (rows // (outputs // group)) % ratio] = kernel
    return out.reshape(outputs, ratio * inner, *kernel.shape[2:])


def _product(outer: Linear, inner: Linear, geometry: Geometry) -> Array:
    """The composed kernel: one product of matrices a group and tap of the outer one."""
    a, b = outer.kernel(), inner.kernel()
    if outer.geometry.is_diagonal:
        return b * a.reshape(-1, *[1] * (b.ndim - 1))
    group = geometry.group
    if inner.geometry.is_diagonal:
        return _by_columns(regrouped(a, outer.geometry.group, group), b, group)
    a = regrouped(a, outer.geometry.group, group)
    b = regrouped(b, inner.geometry.group, group)
    columns = b.reshape(group, b.shape[0] // group, -1)
    out = np.zeros((a.shape[0], b.shape[1], *geometry.taps))
    for tap in itertools.product(*map(range, outer.geometry.taps)):
        rows = a[last(tap)].reshape(group, a.shape[0] // group, a.shape[1])
        out[last(_shifted(tap, outer, inner, geometry))] += (rows @ columns).reshape(
            a.shape[0], b.shape[1], *inner.geometry.taps
        )
    return out


def _by_columns(a: Array, b: Array, group: int) -> Array:
    """W'[m, c] = W[m, c] d_c, with c counted inside its group."""
    rows = np.repeat(b.reshape(group, -1), a.shape[0] // group, axis=0)
    return a * rows.reshape(*rows.shape, *[1] * (a.ndim - 2))


def _shifted(
    tap: tuple[int, ...], outer: Linear, inner: Linear, geometry: Geometry
) -> tuple[Any, ...]:
    """Where the inner kernel lies in the composed one for one tap of the outer one."""
    spots = []
    axes = zip(tap, outer.geometry.axes, inner.geometry.axes, geometry.axes, strict=True)
    for i, o, n, c in axes:
        offset = n.stride * (o.first + o.step * i) + n.first
        spots.append(_spots(Axis(offset, n.step, n.taps), c))
    return tuple(spots)
