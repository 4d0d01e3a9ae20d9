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

    `wall_ms` and `cpu_ms` are the raw runs, a tuple a round. `p90_ms` and `p99_ms` are None where
    there are too few runs to know the tail. `contention` is wall over CPU time. `placed` counts the
    nodes that each provider was given, before its own fusions.
    """

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
    with_copies_ms: float | None
    load_ms: float
    first_run_ms: float
    peak_mib: float
    file_bytes: int
    batchnorms: int
    after_runtime: Optimised | None
    placed: dict[str, int] | None
    wall_ms: tuple[tuple[float, ...], ...]
    cpu_ms: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class Control:
    """Two sessions of the first model against each other: every difference in it is noise.

    `floor` is the smallest effect that may be claimed, None where the machine is too noisy.
    """

    batch: int
    basis: Basis
    estimate: Estimate
    floor: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """`estimate.ratio` is the time of `other` over that of `base`."""

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
        interval = f"[{found.low:.3f}, {found.high:.3f}]"
        match self.verdict:
            case Verdict.INCONCLUSIVE:
                return "inconclusive: this machine is too noisy now to tell"
            case Verdict.NO_DIFFERENCE:
                return f"no difference shown (within {found.reach:.1%})"
            case verdict:
                took = f"{self.other} takes {found.ratio:.3f} {interval} of {self.base}"
                return f"{verdict.value}: {took}, {self.basis.value}"


@dataclass(frozen=True, slots=True)
class BenchReport:
    """All that was measured, and how. The first comparison is the headline."""

    bnfold: str
    machine: Machine
    provider: str
    provider_options: dict[str, str]
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
        for told, comparison in zip(plain["comparisons"], self.comparisons, strict=True):
            told["sentence"] = comparison.sentence
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
