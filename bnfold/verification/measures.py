"""Numbers between two tensors: rms, relative error, ulps, SQNR, cosine, agreement of top-k."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bnfold.verification.cases import Array
from bnfold.verification.verdict import OutputReport

# unit roundoff of ONNX element types; a double's is widened, since the truth is a double too
UNIT: Mapping[int, float] = {1: 2.0**-24, 10: 2.0**-11, 11: 2.0**-50, 16: 2.0**-8}
ATOL = 1e-8
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
    """Mean squares of errors that were brought to one scale, gathered over the inputs."""

    total: float = 0.0
    count: int = 0

    def add(self, error: float, scale: float) -> None:
        """One input's rms error, in units of that input's output."""
        self.total += (error / scale) ** 2
        self.count += 1

    @property
    def value(self) -> float:
        """The pooled rms."""
        return math.sqrt(self.total / self.count) if self.count else 0.0


@dataclass(slots=True)
class Comparison:
    """One output of two runs, worst over the inputs so far."""

    name: str
    worst: dict[str, float] = field(default_factory=dict)
    dtype: str = ""
    bins: dict[float, int] = field(default_factory=dict)

    def add(self, a: Array, b: Array) -> None:
        """One input's original and candidate values, of one shape."""
        self.dtype = str(a.dtype)
        wide_a, wide_b = numeric(a), numeric(b)
        if not wide_a.size:
            return
        with np.errstate(all="ignore"):
            self._errors(a, wide_a, wide_b)
        for k in (1, 5):
            share = agreement(wide_a, wide_b, k)
            if share is not None:
                self._least(f"top{k}", share)

    def _errors(self, a: Array, wide_a: Array, wide_b: Array) -> None:
        difference = np.abs(wide_b - wide_a)
        size, scale = np.abs(wide_a), rms(wide_a)
        self._most("max_abs", float(difference.max()))
        self._most("max_rel", _largest(difference / np.maximum(size, scale)))
        self._most("rms_rel", _ratio(rms(difference), scale))
        if a.dtype.kind == "f":
            steps = np.spacing(np.maximum(size, scale).astype(a.dtype)).astype(np.float64)
            self._most("ulps", _largest(difference / steps))
        self._most("needed_rtol", _largest(np.maximum(difference - ATOL, 0.0) / size))
        power = _ratio(scale, rms(difference))
        self._least("sqnr_db", 20 * math.log10(power) if power > 0 else -math.inf)
        self._least("cosine", _cosine(wide_a, wide_b))
        self._count(difference / scale if scale else difference)

    def _count(self, relative: Array) -> None:
        logs = np.log10(relative[relative > 0])
        edges = [step / 2 for step in _HALF_DECADES]
        places = np.clip(np.digitize(logs, edges) - 1, 0, len(edges) - 1)
        for place, number in zip(*np.unique(places, return_counts=True), strict=True):
            self.bins[edges[place]] = self.bins.get(edges[place], 0) + int(number)
        same = int(relative.size - np.count_nonzero(relative))
        if same:
            self.bins[-math.inf] = self.bins.get(-math.inf, 0) + same

    def _most(self, name: str, value: float) -> None:
        self.worst[name] = max(self.worst.get(name, 0.0), value)

    def _least(self, name: str, value: float) -> None:
        self.worst[name] = min(self.worst.get(name, math.inf), value)

    def report(self) -> OutputReport:
        """What was gathered."""
        w = self.worst
        return OutputReport(
            self.name,
            self.dtype,
            max_abs=w.get("max_abs", 0.0),
            max_rel=w.get("max_rel", 0.0),
            rms_rel=w.get("rms_rel", 0.0),
            ulps=w.get("ulps", 0.0),
            sqnr_db=w.get("sqnr_db", math.inf),
            cosine=w.get("cosine", 1.0),
            top1=w.get("top1"),
            top5=w.get("top5"),
            needed_rtol=w.get("needed_rtol", 0.0),
        )


def _largest(values: Array) -> float:
    known = values[~np.isnan(values)]  # 0/0: no difference at a zero
    return float(known.max()) if known.size else 0.0


def _ratio(a: float, b: float) -> float:
    if a == 0.0 and b == 0.0:
        return 1.0
    return a / b if b else math.inf


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
