"""Each channel by itself: a fault in a quiet one does not show beside loud neighbours."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from bnfold.verification.cases import Array
from bnfold.verification.measures import rms, scale_of
from bnfold.verification.verdict import LEAST_DRAWS

# A channel counts as at least so much of its tensor, which makes jitter at least 2^-48 of the
# whole: as far as a few dozen roundings of float64 itself
_QUIETEST = 2.0**-22
_LEAST_JITTER = 0.25  # u of the channel: what counts as rounding where jitter does less


@dataclass(frozen=True, slots=True)
class Channel:
    """The channel that departs furthest beside what jitter does to it."""

    ratio: float
    axis: int
    index: int

    def __str__(self) -> str:
        return f"channel {self.index} (axis {self.axis})"


@dataclass(slots=True)
class Channels:
    """One tensor over the inputs, along axis 1 and along its last one.

    A channel departs by the median over its places and over the inputs: a value that is rounded
    the other way, once in a thousand, moves no channel. Jitter is pooled as the whole tensor's is.
    """

    departures: dict[int, list[Array]] = field(default_factory=lambda: defaultdict(list))
    sizes: dict[int, list[Array]] = field(default_factory=lambda: defaultdict(list))
    jitter: dict[int, list[Array]] = field(default_factory=lambda: defaultdict(list))
    wholes: list[float] = field(default_factory=list)
    shaken: list[float] = field(default_factory=list)

    def depart(self, a: Array, b: Array) -> None:
        """One input's original and candidate, of one shape."""
        self.wholes.append(rms(a))
        apart = np.abs(b - a)
        for axis in _axes(a):
            self.sizes[axis].append(_root_mean_square(a, axis))
            self.departures[axis].append(_median(apart, axis))

    def shake(self, a: Array, effect: Array) -> None:
        """What one draw of jitter does to the tensor, which is `a` there."""
        self.shaken.append(rms(a))
        for axis in _axes(a):
            self.jitter[axis].append(_root_mean_square(effect, axis))

    def worst(self, unit: float) -> Channel | None:
        """None without channels, or with fewer draws of jitter than tell a channel's effect."""
        found = [channel for axis in self.sizes if (channel := self._worst(axis, unit))]
        return max(found, key=lambda channel: channel.ratio, default=None)

    def _worst(self, axis: int, unit: float) -> Channel | None:
        rows = self.departures[axis], self.sizes[axis], self.jitter[axis]
        known = len({row.shape for part in rows for row in part}) == 1  # sizes may be open
        if len(rows[2]) < LEAST_DRAWS or not known or rows[0][0].size < 2:
            return None
        loudest = max(self.wholes)
        scales, shaken = (
            np.array([scale_of(size, loudest) for size in sizes])[:, None]
            for sizes in (self.wholes, self.shaken)
        )
        departure = np.median(np.stack(rows[0]) / scales, axis=0)
        size = np.sqrt(np.mean(np.square(np.stack(rows[1]) / scales), axis=0))
        effect = np.sqrt(np.mean(np.square(np.stack(rows[2]) / shaken), axis=0))
        least = _LEAST_JITTER * unit * np.maximum(size, _QUIETEST)
        ratios = departure / np.maximum(effect, least)
        index = int(np.argmax(ratios))
        return Channel(float(ratios[index]), axis, index)


def _axes(a: Array) -> tuple[int, ...]:
    """Where channels may lie: behind the batch, or last."""
    return () if a.ndim < 2 or not a.size else tuple(sorted({1, a.ndim - 1}))


def _rows(a: Array, axis: int) -> Array:
    return np.moveaxis(a, axis, 0).reshape(a.shape[axis], -1)


def _root_mean_square(a: Array, axis: int) -> Array:
    rows = _rows(a, axis)
    return np.asarray(np.sqrt(np.einsum("cp,cp->c", rows, rows) / rows.shape[1]))


def _median(a: Array, axis: int) -> Array:
    """The lower one of an even number: no mean of two."""
    rows = _rows(a, axis)
    middle = (rows.shape[1] - 1) // 2
    return np.asarray(np.partition(rows, middle, axis=1)[:, middle])
