"""Numbers between two tensors: rms, relative error, ulps, SQNR, cosine, agreement of top-k."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bnfold.verification.cases import Array
from bnfold.verification.verdict import OutputReport

# unit roundoff of ONNX element types; a double's is widened, since the truth is a double too
UNIT: Mapping[int, float] = {1: 2.0**-24, 10: 2.0**-11, 11: 2.0**-50, 16: 2.0**-8}
ATOL = 1e-8
QUIET = 1e-3  # an input whose output is this much smaller than another's is not blown up
_HALF_DECADES = range(-24, 5)


def rms(values: Array) -> float:
    """The root of the mean square, without overflow; 0 for no values."""
    if not values.size:
        return 0.0
    wide = np.abs(values.astype(np.float64))
    top = float(wide.max())
    if top == 0.0 or not math.isfinite(top):
        return top
    return top * float(np.sqrt(np.mean(np.square(wide / top))))


def numeric(values: Array) -> Array:
    """Strings as codes, everything else as it is, in float64."""
    if values.dtype.kind in "OUS":
        return np.array([hash(str(v)) % 65536 for v in values.reshape(-1)], dtype=np.float64)
    return values.astype(np.float64)


@dataclass(slots=True)
class Pool:
    """Root mean squares of one tensor's error, input by input, beside the tensor's own size."""

    rows: list[tuple[float, float]] = field(default_factory=list)

    def add(self, error: float, size: float) -> None:
        """One input's rms error, and the rms of the tensor there."""
        self.rows.append((error, size))

    @property
    def loudest(self) -> float:
        """The largest size."""
        return max((size for _, size in self.rows), default=0.0)

    def relative(self, loudest: float) -> list[float]:
        """Each error over its input's scale."""
        return [error / scale_of(size, loudest) for error, size in self.rows]

    def value(self, loudest: float, floor: float = 0.0) -> float:
        """The pooled relative error, each input's being at least `floor`."""
        return rms(np.array([max(error, floor) for error in self.relative(loudest)]))


def scale_of(size: float, loudest: float) -> float:
    """What an error is measured by: the size, or a thousandth of the loudest input's."""
    return max(size, QUIET * loudest) or 1.0


@dataclass(frozen=True, slots=True)
class Difference:
    """One output of two runs on one input."""

    size: float
    rms: float
    max_abs: float
    max_rel: float
    ulps: float
    needed_rtol: float
    cosine: float
    top: tuple[float | None, float | None]
    bins: Mapping[float, int]


def difference(a: Array, b: Array) -> Difference:
    """The original's and the candidate's values, of one shape and not empty."""
    wide_a, wide_b = numeric(a), numeric(b)
    with np.errstate(all="ignore"):
        apart = np.abs(wide_b - wide_a)
        size, scale = np.abs(wide_a), rms(wide_a)
        ulps = 0.0
        if a.dtype.kind == "f":
            steps = np.spacing(np.maximum(size, scale).astype(a.dtype)).astype(np.float64)
            ulps = _largest(apart / steps)
        return Difference(
            size=scale,
            rms=rms(apart),
            max_abs=float(apart.max()),
            max_rel=_largest(apart / np.maximum(size, scale)),
            ulps=ulps,
            needed_rtol=_largest(np.maximum(apart - ATOL, 0.0) / size),
            cosine=_cosine(wide_a, wide_b),
            top=(agreement(wide_a, wide_b, 1), agreement(wide_a, wide_b, 5)),
            bins=_bins(apart / scale if scale else apart),
        )


def _bins(relative: Array) -> dict[float, int]:
    """How many values lie in each half decade; what is equal counts at minus infinity."""
    logs = np.log10(relative[relative > 0])
    edges = [step / 2 for step in _HALF_DECADES]
    places = np.clip(np.digitize(logs, edges) - 1, 0, len(edges) - 1)
    found = {
        edges[place]: int(number)
        for place, number in zip(*np.unique(places, return_counts=True), strict=True)
    }
    same = int(relative.size - np.count_nonzero(relative))
    return {-math.inf: same, **found} if same else found


@dataclass(slots=True)
class Comparison:
    """One output of two runs over the inputs."""

    name: str
    dtype: str = ""
    seen: list[Difference] = field(default_factory=list)

    def add(self, a: Array, b: Array) -> None:
        """One input's original and candidate values, of one shape."""
        self.dtype = str(a.dtype)
        if a.size:
            self.seen.append(difference(a, b))

    @property
    def loud(self) -> list[Difference]:
        """Without the inputs on which the output is next to nothing: saturated, or all zero."""
        least = QUIET * max((one.size for one in self.seen), default=0.0)
        return [one for one in self.seen if one.size >= least]

    def bins(self) -> Counter[float]:
        """The histogram of the relative differences."""
        return sum((Counter(one.bins) for one in self.loud), Counter())

    def report(self) -> OutputReport:
        """The worst over the inputs."""
        loud = self.loud
        largest = max((one.size for one in self.seen), default=0.0)
        scales = [(one, scale_of(one.size, largest)) for one in self.seen]
        rms_rel = max((one.rms / scale for one, scale in scales), default=0.0)
        quiet = [one.max_abs / scale for one, scale in scales if one.size < scale]
        return OutputReport(
            self.name,
            self.dtype,
            max_abs=max((one.max_abs for one in self.seen), default=0.0),
            max_rel=max([*quiet, *(one.max_rel for one in loud if one.size or not largest)] or [0]),
            rms_rel=rms_rel,
            ulps=max((one.ulps for one in loud), default=0.0),
            sqnr_db=_decibels(rms_rel, largest),
            cosine=min((one.cosine for one in loud), default=1.0),
            top1=_least(one.top[0] for one in loud),
            top5=_least(one.top[1] for one in loud),
            needed_rtol=max((one.needed_rtol for one in self.seen), default=0.0),
        )


def _decibels(noise: float, signal: float) -> float:
    """Signal over noise, the noise being relative to the signal; silence has none."""
    if noise == 0.0:
        return math.inf
    return -20.0 * math.log10(noise) if signal else -math.inf


def _least(shares: Iterable[float | None]) -> float | None:
    known = [share for share in shares if share is not None]
    return min(known) if known else None


def _largest(values: Array) -> float:
    known = values[~np.isnan(values)]  # 0/0: no difference at a zero
    return float(known.max()) if known.size else 0.0


def _cosine(a: Array, b: Array) -> float:
    scale_a, scale_b = rms(a), rms(b)
    if scale_a == 0.0 or scale_b == 0.0:
        return 1.0 if scale_a == scale_b else 0.0
    return min(1.0, float(np.mean((a / scale_a) * (b / scale_b))))


def class_axis(rank: int) -> int | None:
    """Where the classes lie: last for (N, C) and (N, T, C), axis 1 for images."""
    return {0: None, 1: None, 2: 1, 3: 2}.get(rank, 1)


def agreement(a: Array, b: Array, k: int) -> float | None:
    """The share of positions whose k largest classes agree; None where there are too few."""
    axis = class_axis(a.ndim)
    if axis is None or a.shape[axis] <= k:
        return None
    if k == 1:
        return float(np.mean(a.argmax(axis) == b.argmax(axis)))
    count = a.shape[axis]
    tops = [
        np.sort(np.argpartition(x, count - k, axis=axis).take(range(count - k, count), axis), axis)
        for x in (a, b)
    ]
    return float(np.mean((tops[0] == tops[1]).all(axis)))


def finite(values: Mapping[str, Any]) -> str | None:
    """The name of the first tensor that holds NaN or Inf, or None."""
    for name, value in values.items():
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            return name
    return None
