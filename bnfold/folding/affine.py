"""y = s*x + t as a value: the one thing that moves through a graph.

A map carries its scale and shift as float64 arrays of the tensor's full rank, of length 1 on
every axis along which they are constant. That normal form is made on construction, so two maps
meet only by explicit broadcasting, and `==` on maps is equality of functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# elements that a map may have along an axis: a file can state any extent, and one of 2^31 - 1 would
# fill the machine before anything is refused
LONGEST = 1 << 24

Array = NDArray[np.float64]
Indices = NDArray[np.integer[Any]]


def collapsed(values: Array) -> Array:
    """The same values with length 1 on every axis along which they are constant."""
    for axis, length in enumerate(values.shape):
        if length > 1:
            first = values[(slice(None),) * axis + (slice(0, 1),)]
            if (values == first).all():
                values = first
    return values


@dataclass(frozen=True, slots=True, eq=False)
class Affine:
    """A map y = scale*x + shift; both of the tensor's rank, length 1 where constant."""

    scale: Array
    shift: Array

    @classmethod
    def of(cls, scale: Any, shift: Any) -> Affine:
        """A map from two arrays of equal rank, brought to normal form."""
        s, t = np.asarray(scale, np.float64), np.asarray(shift, np.float64)
        assert s.ndim == t.ndim, "a map's scale and shift have the tensor's rank"
        return cls(collapsed(s), collapsed(t))

    @classmethod
    def identity(cls, rank: int) -> Affine:
        """The map that changes nothing on a tensor of that rank."""
        return cls(np.ones((1,) * rank), np.zeros((1,) * rank))

    @classmethod
    def along(cls, axis: int, rank: int, scale: Array, shift: Array) -> Affine:
        """A map whose 1-D scale and shift lie along one axis."""
        shape = tuple(-1 if i == axis else 1 for i in range(rank))
        return cls.of(np.reshape(scale, shape), np.reshape(shift, shape))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Affine):
            return NotImplemented
        return np.array_equal(self.scale, other.scale) and np.array_equal(self.shift, other.shift)

    __hash__ = None  # type: ignore[assignment]

    @property
    def rank(self) -> int:
        """The rank of the tensors it maps."""
        return len(self.scale.shape)

    @property
    def axes(self) -> tuple[int, ...]:
        """The axes along which it is not constant."""
        pairs = zip(self.scale.shape, self.shift.shape, strict=True)
        return tuple(axis for axis, (s, t) in enumerate(pairs) if s > 1 or t > 1)

    def extent(self, axis: int) -> int:
        """Its length along an axis; 1 where it is constant."""
        scale, shift = int(self.scale.shape[axis]), int(self.shift.shape[axis])
        return max(scale, shift)

    @property
    def is_identity(self) -> bool:
        """Nothing changes."""
        return self.is_scale_only and self.is_shift_only

    @property
    def is_scale_only(self) -> bool:
        """The shift is exactly zero."""
        return not self.shift.any()

    @property
    def is_shift_only(self) -> bool:
        """The scale is exactly one."""
        return bool((self.scale == 1).all())

    @property
    def is_uniform(self) -> bool:
        """One scale and one shift for the whole tensor."""
        return self.scale.size == 1 and self.shift.size == 1

    @property
    def is_finite(self) -> bool:
        """No NaN, no infinity."""
        return bool(np.isfinite(self.scale).all() and np.isfinite(self.shift).all())

    @property
    def nonnegative(self) -> bool:
        """Every scale is >= 0 (so written that NaN is refused)."""
        return bool((self.scale >= 0).all())

    @property
    def nonpositive(self) -> bool:
        """Every scale is <= 0."""
        return bool((self.scale <= 0).all())

    @property
    def invertible(self) -> bool:
        """Every scale is nonzero."""
        return bool((self.scale != 0).all())

    def after(self, inner: Affine) -> Affine:
        """self(inner(x)): s*(s' x + t') + t."""
        return Affine.of(self.scale * inner.scale, self.scale * inner.shift + self.shift)

    def inverse(self) -> Affine:
        """The map that undoes this one; it must be invertible."""
        return Affine.of(1.0 / self.scale, -self.shift / self.scale)

    def scale_part(self) -> Affine:
        """X -> s*x."""
        return Affine(self.scale, np.zeros((1,) * self.rank))

    def shift_part(self) -> Affine:
        """X -> x + t."""
        return Affine(np.ones((1,) * self.rank), self.shift)

    def transposed(self, perm: Sequence[int]) -> Affine:
        """The map whose axis i is this one's axis perm[i]."""
        return Affine(self.scale.transpose(perm), self.shift.transpose(perm))

    def take(self, axis: int, indices: Any) -> Affine:
        """The map on the elements `indices` of an axis; where constant, it stays as it is."""

        def pick(values: Array) -> Array:
            return values if values.shape[axis] == 1 else np.take(values, indices, axis=axis)

        return Affine.of(pick(self.scale), pick(self.shift))

    def with_axes(self, axes: Sequence[int]) -> Affine:
        """New constant axes at these positions of the result."""
        new = tuple(axes)
        return Affine(np.expand_dims(self.scale, new), np.expand_dims(self.shift, new))

    def without_axes(self, axes: Sequence[int]) -> Affine:
        """Drop axes; it must be constant along them."""
        gone = tuple(axes)
        return Affine(np.squeeze(self.scale, gone), np.squeeze(self.shift, gone))

    def lifted(self, rank: int) -> Affine:
        """The map on a tensor with further leading axes."""
        return self.with_axes(range(rank - self.rank))

    def spread(self, axis: int, length: int) -> tuple[Array, Array]:
        """Scale and shift with the given length along one axis."""

        def wide(values: Array) -> Array:
            return values if values.shape[axis] == length else np.repeat(values, length, axis)

        return wide(self.scale), wide(self.shift)


def joined(maps: Sequence[Affine], lengths: Sequence[int], axis: int) -> Affine | None:
    """The map on a concatenation along an axis of pieces of these lengths; None past LONGEST."""
    if sum(lengths) > LONGEST:
        return None
    pieces = [m.spread(axis, n) for m, n in zip(maps, lengths, strict=True)]

    def concat(arrays: list[Array]) -> Array:
        shape = np.broadcast_shapes(*[(*a.shape[:axis], 1, *a.shape[axis + 1 :]) for a in arrays])
        full = [
            np.broadcast_to(a, (*shape[:axis], a.shape[axis], *shape[axis + 1 :])) for a in arrays
        ]
        return np.concatenate(full, axis)

    return Affine.of(concat([s for s, _ in pieces]), concat([t for _, t in pieces]))


def scattered(m: Affine, axis: int, indices: Indices, length: int) -> Affine | None:
    """The map that does m at `indices` of an axis and nothing elsewhere.

    None where they clash, or past LONGEST.
    """
    if length > LONGEST:
        return None
    s, t = m.spread(axis, len(indices))
    shape = [
        n if i != axis else length for i, n in enumerate(np.broadcast_shapes(s.shape, t.shape))
    ]
    scale, shift = np.ones(shape), np.zeros(shape)
    at: tuple[Any, ...] = (*[slice(None)] * axis, indices)
    scale[at], shift[at] = s, t
    # a repeated index holds the last value written: all its copies must agree with it
    if (scale[at] != s).any() or (shift[at] != t).any():
        return None
    return Affine.of(scale, shift)
