"""Against an earlier report: is a model proven slower than it was?

Medians of another day carry that day's machine with them. So the proof is strict (each of four
stretches of now above each of then, by more than is allowed), and where the old model's file is
timed along, its side-by-side comparison decides instead.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bnfold.errors import DataError, EnvironmentLacks, UsageError
from bnfold.latency.estimate import Verdict
from bnfold.latency.report import SCHEMA, BenchReport, Row

STRETCHES = 4


@dataclass(frozen=True, slots=True)
class Change:
    """One row then and now. `ratio` is now / then; `regressed` only where it is proven."""

    label: str
    batch: int
    ratio: float
    regressed: bool
    side_by_side: bool

    @property
    def sentence(self) -> str:
        """The change in words."""
        how = "side by side" if self.side_by_side else "against the stored runs"
        word = "slower, proven" if self.regressed else "no regression proven"
        return f"batch {self.batch}, {self.label}: {word} ({self.ratio:.3f} of then, {how})"


@dataclass(frozen=True, slots=True)
class Regression:
    """What changed beside the baseline, with the share that was allowed."""

    max_regress: float
    changes: tuple[Change, ...]

    @property
    def ok(self) -> bool:
        """Nothing is proven slower than allowed."""
        return not any(change.regressed for change in self.changes)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data."""
        changes = [{**asdict(c), "sentence": c.sentence} for c in self.changes]
        return {"ok": self.ok, "max_regress": self.max_regress, "changes": changes}


def compare(
    report: BenchReport,
    baseline: str | os.PathLike[str],
    *,
    max_regress: float = 0.03,
    force: bool = False,
) -> Regression:
    """`report` beside the JSON of an earlier one.

    Raises:
        UsageError: the baseline is missing, or `max_regress` is no share.
        DataError: the baseline is no such report, of another machine or setting (unless `force`),
            or holds none of these rows.
        EnvironmentLacks: this machine is too noisy now to prove anything.
    """
    if not 0 <= max_regress < 10:
        raise UsageError(f"a regression of {max_regress} cannot be allowed", hint="0.03 is 3 %")
    then = _read(Path(baseline))
    if not force:
        _same_conditions(report, then, str(baseline))
    if any(control.floor is None for control in report.controls):
        raise EnvironmentLacks(
            "this machine is too noisy now to prove a regression",
            hint="run again when it is quiet, or with --threads 1, where CPU time can be used",
        )
    found = [c for row in report.rows if (c := _change(report, row, then, max_regress))]
    if not found:
        raise DataError("the baseline holds none of these models", where=str(baseline))
    return Regression(max_regress, tuple(found))


def _read(path: Path) -> dict[str, Any]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError("there is no such baseline", where=str(path)) from None
    except (OSError, ValueError) as error:
        raise DataError(f"the baseline cannot be read: {error}", where=str(path)) from error
    if not isinstance(told, dict) or told.get("schema") != SCHEMA:
        seen = told.get("schema") if isinstance(told, dict) else type(told).__name__
        what = f"the baseline is not of schema {SCHEMA}, but {seen}"
        raise DataError(what, where=str(path), hint="write one: bnfold bench MODEL --json")
    missing = {"machine", "rows", "provider", "optimization", "threads"} - told.keys()
    if missing:
        raise DataError(f"the baseline lacks {', '.join(sorted(missing))}", where=str(path))
    return told


def _same_conditions(report: BenchReport, then: dict[str, Any], where: str) -> None:
    differs = report.machine.same_as(then["machine"])
    differs += [k for k in ("provider", "optimization", "threads") if getattr(report, k) != then[k]]
    if differs:
        raise DataError(
            f"the baseline is of another machine or setting: {', '.join(differs)}",
            where=where,
            hint="measure the old model here, or pass --force",
        )


def _change(
    report: BenchReport, row: Row, then: dict[str, Any], max_regress: float
) -> Change | None:
    """None where the baseline has no such row."""
    old = _same_row(row, then["rows"])
    if old is None:
        return None
    beside = _beside(report, row, old["sha256"], max_regress)
    if beside is not None:
        return beside
    try:
        before = _stretches(old["cpu_ms" if _by_cpu(report) else "wall_ms"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"the baseline's runs of {row.label!r} cannot be read: {error!r}"
        ) from error
    now = _stretches(row.cpu_ms if _by_cpu(report) else row.wall_ms)
    regressed = min(now) > (1 + max_regress) * max(before)
    ratio = float(np.median(now) / np.median(before))
    return Change(row.label, row.batch, ratio, regressed, side_by_side=False)


def _same_row(row: Row, rows: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    wanted = (row.label, row.batch, list(row.disabled))
    keys = ("label", "batch", "disabled")
    return next((old for old in rows if tuple(old.get(key) for key in keys) == wanted), None)


def _beside(report: BenchReport, row: Row, sha256: str, max_regress: float) -> Change | None:
    """Decided by the comparison of `row` with the old file, where that was timed along."""
    if sha256 == row.sha256:
        return None
    old = {r.label for r in report.rows if r.sha256 == sha256 and not r.disabled}
    for found in report.comparisons:
        if found.batch != row.batch:
            continue
        if found.other == row.label and found.base in old:
            now, least, slower = found.estimate.ratio, found.estimate.low, Verdict.SLOWER
        elif found.base == row.label and found.other in old:
            now, least, slower = 1 / found.estimate.ratio, 1 / found.estimate.high, Verdict.FASTER
        else:
            continue
        regressed = found.verdict is slower and least > 1 + max_regress
        return Change(row.label, row.batch, now, regressed, side_by_side=True)
    return None


def _by_cpu(report: BenchReport) -> bool:
    return report.threads == 1 and report.provider == "CPUExecutionProvider"


def _stretches(rounds: Sequence[Sequence[float]]) -> list[float]:
    """Medians of consecutive quarters of the rounds."""
    medians = [float(np.median(runs)) for runs in rounds]
    parts = np.array_split(np.asarray(medians), STRETCHES)
    values = [float(np.median(part)) for part in parts]
    if not all(math.isfinite(v) and v > 0 for v in values):
        raise ValueError("there are too few runs")
    return values
