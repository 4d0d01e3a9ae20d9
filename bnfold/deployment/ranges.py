"""What a narrower float type would do to each tensor: overflow, vanish, or round."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from bnfold.ops64 import EvaluationError, Evaluator, Unsupported
from bnfold.verification.cases import Array, Case

# Activations are seen on samples only: another input may be twice as large.
HEADROOM = 2.0
# A tensor whose rounding error is this many units is not rounded, it is lost (JITTER_LIMIT's u).
LOST_UNITS = 8.0
_UNIT = {"float16": 2.0**-11, "bfloat16": 2.0**-8}


def rounded(values: Array, dtype: str) -> Array:
    """float64 values as the narrow type holds them, in float64."""
    if dtype == "float16":
        kind: Any = np.float16
    else:
        import ml_dtypes

        kind = ml_dtypes.bfloat16
    with np.errstate(over="ignore"):
        return np.asarray(values.astype(np.float32).astype(kind).astype(np.float64))


@dataclass(slots=True)
class Range:
    """One tensor before and after rounding. `worst` is its worst row's relative rms error."""

    tensor: str
    kind: str
    max_abs: float = 0.0
    least_abs: float = math.inf
    max_abs_after: float = 0.0
    vanished: int = 0
    elements: int = 0
    worst: float = 0.0
    _sums: list[float] = field(default_factory=lambda: [0.0, 0.0])

    def add(self, values: Array, dtype: str) -> None:
        """A weight, or one sample of an activation."""
        finite = values[np.isfinite(values)]  # an infinite bound is infinite in every type
        if not finite.size:
            return
        after = rounded(finite, dtype)
        size = np.abs(finite)
        nonzero = size[size > 0]
        self.max_abs = max(self.max_abs, float(size.max()))
        self.max_abs_after = max(self.max_abs_after, float(np.abs(after).max()))
        self.least_abs = min(self.least_abs, float(nonzero.min()) if nonzero.size else math.inf)
        self.vanished += int(np.count_nonzero((after == 0) & (finite != 0)))
        self.elements += finite.size
        with np.errstate(over="ignore", invalid="ignore"):
            self._sums[0] += float(np.square(after - finite).sum())
        self._sums[1] += float(np.square(finite).sum())
        self.worst = max(self.worst, _relative(*self._sums))

    def add_rows(self, values: Array, dtype: str) -> None:
        """A weight whose first axis is its output channels: each has to keep its digits."""
        self.add(values, dtype)
        for row in values:
            if np.isfinite(row).all():
                apart = rounded(row, dtype) - row
                error, power = float(np.square(apart).sum()), float(np.square(row).sum())
                self.worst = max(self.worst, _relative(error, power))

    def verdict(self, dtype: str) -> str:
        """`overflows`, `vanishes`, or an empty word where it fits."""
        headroom = HEADROOM if self.kind == "activation" else 1.0
        if not math.isfinite(self.max_abs_after) or self.max_abs * headroom > _largest(dtype):
            return "overflows"
        return "vanishes" if not self.worst <= LOST_UNITS * _UNIT[dtype] else ""

    def to_dict(self, dtype: str) -> dict[str, Any]:
        """Plain JSON data; what is not finite is text."""
        plain = {key: value for key, value in asdict(self).items() if not key.startswith("_")}
        for key, value in plain.items():
            if isinstance(value, float) and not math.isfinite(value):
                plain[key] = str(value)
        return {**plain, "verdict": self.verdict(dtype) or "fits"}


def _relative(error: float, power: float) -> float:
    if not math.isfinite(error):
        return math.inf
    return math.sqrt(error / power) if power > 0 else 0.0


def _largest(dtype: str) -> float:
    return 65504.0 if dtype == "float16" else 3.3895e38


def ranges(
    model: onnx.ModelProto, tensors: set[str], cases: Sequence[Case], dtype: str
) -> dict[str, Range]:
    """The ranges of `tensors`: weights exactly, activations over `cases` in float64.

    Where nothing computes the model in float64, activations are not seen and so not listed.
    """
    found: dict[str, Range] = {}
    for weight in model.graph.initializer:
        if weight.name in tensors:
            array = numpy_helper.to_array(weight).astype(np.float64)
            one = found[weight.name] = Range(weight.name, "weight")
            (one.add_rows if array.ndim > 1 else one.add)(array, dtype)

    def see(name: str, value: Array) -> None:
        if name in tensors and value.dtype.kind == "f":
            found.setdefault(name, Range(name, "activation")).add(value, dtype)

    try:
        evaluator = Evaluator(model)
        for case in cases:
            for name, value in case.feeds.items():
                see(name, np.asarray(value))
            evaluator.run(case.feeds, on_value=see)
    except (Unsupported, EvaluationError):
        return {name: one for name, one in found.items() if one.kind == "weight"}
    return found
