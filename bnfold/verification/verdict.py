"""What a verification found, as data: Gate, OutputReport, Layer, Verdict."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal

from bnfold.folding.report import Fold

JITTER_LIMIT = 8.0
CHANNEL_LIMIT = 64.0
LEAST_DRAWS = 5  # of jitter: fewer may all but cancel in one of a thousand channels
Reference = Literal["float64", "tolerance"]


@dataclass(frozen=True, slots=True)
class Gate:
    """One question with its number and limit; `ok` is None where it was not asked.

    `decides` is False for numbers that are shown and judge nothing.
    """

    name: str
    ok: bool | None
    value: float | None
    limit: float | None
    unit: str
    sentence: str
    decides: bool = True


@dataclass(frozen=True, slots=True)
class OutputReport:
    """Candidate against original in ONNX Runtime, optimisation off, worst over all inputs.

    `max_rel` is |b - a| over |a|, where |a| is at least the output's rms; `ulps` counts steps of
    the output's own type at that size; `sqnr_db` is signal over difference; `needed_rtol` is what
    numpy's allclose with atol 1e-8 would have needed. Shares of agreement are in [0, 1].
    """

    name: str
    dtype: str
    max_abs: float
    max_rel: float
    rms_rel: float
    ulps: float
    sqnr_db: float
    cosine: float
    top1: float | None
    top5: float | None
    needed_rtol: float


@dataclass(frozen=True, slots=True)
class Layer:
    """A tensor of both models: relative rms difference in float64, in u and in rounding jitter.

    `channel` is its worst channel's, in what jitter does to that channel; 0 where none is known.
    """

    name: str
    position: int
    error: float
    jitter: float
    ratio: float
    growth: float
    channel: float = 0.0

    @property
    def excess(self) -> float:
        """Over 1 where the tensor, or one channel of it, departs by more than rounding does."""
        return max(self.ratio / JITTER_LIMIT, self.channel / CHANNEL_LIMIT)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer. `ok` is what the deciding gates say; `sentence` says it in words."""

    ok: bool
    sentence: str
    reference: Reference
    gates: tuple[Gate, ...]
    outputs: tuple[OutputReport, ...]
    inputs: tuple[str, ...]
    provider: str
    original: str
    candidate: str
    seed: int
    notes: tuple[str, ...] = ()
    layers: tuple[Layer, ...] = ()
    folds: tuple[Fold, ...] = ()
    metric: tuple[float, float] | None = None
    histogram: tuple[tuple[float, int], ...] = ()
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data; what is infinite or not a number is given as text."""
        plain = _plain(self)
        assert isinstance(plain, dict)
        return plain

    @property
    def departs(self) -> Layer | None:
        """The first tensor, in the candidate's order, that departs by more than rounding does."""
        ordered = sorted(self.layers, key=lambda layer: layer.position)
        return next((layer for layer in ordered if not layer.excess <= 1.0), None)

    def gate(self, name: str) -> Gate | None:
        """The gate of that name, or None."""
        return next((gate for gate in self.gates if gate.name == name), None)


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple | list):
        return [_plain(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
