"""What `bench` found, as data: rows, comparisons, and the control that sets the noise floor."""

from __future__ import annotations

import enum
from dataclasses import asdict, dataclass
from typing import Any

from bnfold.latency.estimate import Estimate, Verdict
from bnfold.latency.machine import Machine
from bnfold.latency.optimised import Optimised
from bnfold.latency.rounds import Design

SCHEMA = "bnfold.bench/1"


class Basis(enum.Enum):
    """Which clock a verdict stands on."""

    WALL = "wall time"
    CPU = "thread CPU time"


@dataclass(frozen=True, slots=True)
class Row:
    """One model at one batch size. Times in ms; `throughput` in items a second.

    `wall_ms`, `cpu_ms` and `device_ms` are the raw runs, a tuple a round. `p90_ms` and `p99_ms`
    are None where there are too few runs to know the tail. `contention` is wall over CPU time.
    `placed` counts the nodes that each provider was given, before its own fusions. Of a device:
    `device_median_ms` by its own events, `least_ms` what its speed allows at best.
    """

    case: str
    label: str
    sha256: str
    batch: int
    shapes: dict[str, tuple[int, ...]]
    disabled: tuple[str, ...]
    median_ms: float
    p90_ms: float | None
    p99_ms: float | None
    min_ms: float
    runs: int
    cpu_median_ms: float
    contention: float
    throughput: float
    device_median_ms: float | None
    with_copies_ms: float | None
    least_ms: float | None
    load_ms: float
    first_run_ms: float
    peak_mib: float
    device_mib: float | None
    file_bytes: int
    batchnorms: int
    after_runtime: Optimised | None
    placed: dict[str, int] | None
    wall_ms: tuple[tuple[float, ...], ...]
    cpu_ms: tuple[tuple[float, ...], ...]
    device_ms: tuple[tuple[float, ...], ...]

    @property
    def wrong(self) -> str | None:
        """Why the time cannot be true, or None."""
        if self.least_ms is None or self.median_ms >= self.least_ms:
            return None
        return (
            f"wrong: {self.label} at {self.median_ms:.4f} ms is below the {self.least_ms:.4f} ms "
            "that the device's arithmetic or memory must take"
        )


@dataclass(frozen=True, slots=True)
class Control:
    """Two sessions of the first model against each other: every difference in it is noise.

    `floor` is the smallest effect that may be claimed, None where the machine is too noisy.
    """

    case: str
    batch: int
    basis: Basis
    estimate: Estimate
    floor: float | None

    @property
    def sentence(self) -> str:
        """What may be claimed here, in words."""
        found = self.estimate
        seen = f"A/A check: a model beside itself reads {_interval(found)}, {self.basis.value}"
        if self.floor is None:
            return f"{seen}: this machine is too noisy now to claim anything"
        return f"{seen}: a difference counts from {self.floor:.1%} on"


@dataclass(frozen=True, slots=True)
class Comparison:
    """`estimate.ratio` is the time of `other` over that of `base`."""

    case: str
    batch: int
    base: str
    other: str
    basis: Basis
    estimate: Estimate
    floor: float | None
    verdict: Verdict

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        found = self.estimate
        match self.verdict:
            case Verdict.INCONCLUSIVE:
                return f"inconclusive: this machine cannot tell now ({_interval(found)})"
            case Verdict.NO_DIFFERENCE:
                return f"no difference shown (within {found.reach:.1%})"
            case verdict:
                took = f"{self.other} takes {_interval(found)} of {self.base}"
                return f"{verdict.value}: {took}, {self.basis.value}"


def _interval(found: Estimate) -> str:
    return f"{found.ratio:.3f} [{found.low:.3f}, {found.high:.3f}]"


@dataclass(frozen=True, slots=True)
class BenchReport:
    """All that was measured, and how. The first comparison is the headline.

    `device_after` is the CUDA device after the last run, beside `machine.device` before the first.
    """

    bnfold: str
    machine: Machine
    provider: str
    provider_options: dict[str, str]
    cudnn: str | None
    device_after: dict[str, str] | None
    optimization: str
    threads: int
    seed: int
    quick: bool
    design: Design
    rows: tuple[Row, ...]
    controls: tuple[Control, ...]
    comparisons: tuple[Comparison, ...]
    spinning: bool = False

    @property
    def headline(self) -> Comparison | None:
        """The first model against the second, at the first batch size."""
        return self.comparisons[0] if self.comparisons else None

    @property
    def verdict(self) -> Verdict:
        """The headline's; without one, whether this machine could tell at all."""
        if self.headline:
            return self.headline.verdict
        quiet = all(control.floor is not None for control in self.controls)
        return Verdict.NO_DIFFERENCE if quiet else Verdict.INCONCLUSIVE

    def to_dict(self) -> dict[str, Any]:
        """The report as plain JSON data, every raw run included."""
        plain: dict[str, Any] = _plain(asdict(self))
        for told, one in zip(plain["comparisons"], self.comparisons, strict=True):
            told["sentence"] = one.sentence
        for told, control in zip(plain["controls"], self.controls, strict=True):
            told["sentence"] = control.sentence
        for told, row in zip(plain["rows"], self.rows, strict=True):
            told["wrong"] = row.wrong
        return {"schema": SCHEMA, "verdict": self.verdict.value, **plain}


def _plain(value: Any) -> Any:
    """Enums by value, floats with six digits, tuples as lists."""
    match value:
        case enum.Enum():
            return value.value
        case float():
            return float(f"{value:.6g}")
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case _:
            return value
