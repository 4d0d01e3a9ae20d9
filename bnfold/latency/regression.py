"""Against an earlier report: is a model proven slower than it was?

Medians of another day carry that day's machine with them. So the proof is strict (each of four
stretches of now above each of then, by more than is allowed), and where the old model's file is
timed along, the two side by side decide instead.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import PurePath
from typing import Any

import numpy as np

from bnfold.errors import DataError, EnvironmentLacks, UsageError
from bnfold.latency import estimate
from bnfold.latency.baseline import Baseline, read_baseline
from bnfold.latency.estimate import Verdict
from bnfold.latency.report import Basis, BenchReport, Control, Row
from bnfold.latency.rounds import LEAST_ROUNDS

STRETCHES = LEAST_ROUNDS
Stored = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """One row then and now. `ratio` is now / then; `regressed` only where it is proven."""

    case: str
    label: str
    ratio: float
    regressed: bool
    side_by_side: bool

    @property
    def sentence(self) -> str:
        """The change in words."""
        how = "side by side" if self.side_by_side else "against the stored runs"
        word = "slower, proven" if self.regressed else "no regression proven"
        return f"{self.case}, {self.label}: {word} ({self.ratio:.3f} of then, {how})"


@dataclass(frozen=True, slots=True)
class Regression:
    """What changed beside the baseline, with the share that was allowed."""

    max_regress: float
    changes: tuple[Change, ...]

    @property
    def ok(self) -> bool:
        """Nothing is proven slower than allowed."""
        return not any(change.regressed for change in self.changes)

    @property
    def sentence(self) -> str:
        """The outcome in words; the worst row where there are several."""
        worst = max(self.changes, key=lambda change: (change.regressed, change.ratio))
        return f"{worst.sentence}; {self.max_regress:.3g} is allowed"

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data."""
        changes = [{**asdict(c), "sentence": c.sentence} for c in self.changes]
        return {"ok": self.ok, "max_regress": self.max_regress, "changes": changes}


def compare(
    report: BenchReport,
    baseline: Baseline | str | os.PathLike[str],
    *,
    max_regress: float = 0.03,
    force: bool = False,
) -> Regression:
    """`report` beside an earlier one.

    Raises:
        UsageError: the baseline is missing, or `max_regress` is no share.
        DataError: the baseline is no such report, of another machine or setting (unless `force`),
            or holds none of these rows.
        EnvironmentLacks: this machine is too noisy now to prove anything.
    """
    if not 0 <= max_regress < 10:
        raise UsageError(f"a regression of {max_regress} cannot be allowed", hint="0.03 is 3 %")
    then = baseline if isinstance(baseline, Baseline) else read_baseline(baseline)
    if not force:
        then.refuse_unlike(
            provider=report.provider,
            optimization=report.optimization,
            threads=report.threads,
            here=report.machine,
        )
    least = max(estimate.MIN_EFFECT, max_regress)
    if not all(estimate.quiet(control.estimate, least) for control in report.controls):
        raise EnvironmentLacks(
            "this machine is too noisy now to prove a regression",
            hint="run again when it is quiet, or with --threads 1, where CPU time can be used",
        )
    changes = tuple(_changes(report, then, max_regress))
    if not changes:
        raise DataError("the baseline holds none of these models", where=then.where)
    return Regression(max_regress, changes)


def _changes(report: BenchReport, then: Baseline, max_regress: float) -> Iterator[Change]:
    controls = {control.case: control for control in report.controls}
    given = [row for row in report.rows if not row.disabled]
    for title, rows in groupby(given, key=lambda row: row.case):
        of_case = list(rows)
        stored = [old for old in then.rows if not old["disabled"] and _same_case(old, of_case[0])]
        shas = {old["sha256"] for old in stored}
        old_files = [row for row in of_case if row.sha256 in shas]
        new_files = [row for row in of_case if row.sha256 not in shas]
        if old_files and new_files:
            for row in new_files:
                old_file = next((o for o in old_files if _alike(o.label, row.label)), old_files[0])
                yield _beside(row, old_file, controls[title], max_regress, report.seed)
            continue
        for row in of_case:
            old = _stored_row(row, stored, alone=len(of_case) == 1)
            if old is not None:
                yield _against(row, old, _basis(report), max_regress)


def _same_case(old: Stored, row: Row) -> bool:
    sizes = [list(dims) for dims in row.shapes.values()]
    return old["batch"] == row.batch and list(old["shapes"].values()) == sizes


def _alike(one: str, other: str) -> bool:
    return PurePath(one).name == PurePath(other).name


def _stored_row(row: Row, stored: Sequence[Stored], *, alone: bool) -> Stored | None:
    """The same file; else one called the same; else the only one on both sides."""
    for same in (
        [old for old in stored if old["sha256"] == row.sha256],
        [old for old in stored if old["label"] == row.label],
        [old for old in stored if _alike(old["label"], row.label)],
        stored if alone else [],
    ):
        if len(same) == 1:
            return same[0]
    return None


def _beside(row: Row, old: Row, control: Control, max_regress: float, seed: int) -> Change:
    """Both were timed in the same rounds: their own interval and this machine's floor decide."""
    times = [r.cpu_ms if control.basis is Basis.CPU else r.wall_ms for r in (old, row)]
    rng = np.random.default_rng(seed)
    found = estimate.estimate(estimate.round_log_ratios(*times), rng)
    slower = estimate.judge(found, control.floor) is Verdict.SLOWER
    regressed = slower and found.low > 1 + max_regress
    return Change(row.case, row.label, found.ratio, regressed, side_by_side=True)


def _against(row: Row, old: Stored, times: str, max_regress: float) -> Change:
    now, before = _stretches(getattr(row, times)), _stretches(old[times])
    regressed = min(now) > (1 + max_regress) * max(before)
    ratio = float(np.median(now) / np.median(before))
    return Change(row.case, row.label, ratio, regressed, side_by_side=False)


def _basis(report: BenchReport) -> str:
    """Thread-CPU time wherever it can be had: another day's load is not in it."""
    by_thread = report.threads == 1 and report.provider == "CPUExecutionProvider"
    return "cpu_ms" if by_thread else "wall_ms"


def _stretches(rounds: Sequence[Sequence[float]]) -> list[float]:
    """Medians of consecutive quarters of the rounds."""
    medians = np.array([float(np.median(runs)) for runs in rounds])
    return [float(np.median(part)) for part in np.array_split(medians, STRETCHES)]
