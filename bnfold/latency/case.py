"""One table: every model at one batch size and one set of shapes, timed together."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from bnfold import child
from bnfold.errors import UsageError
from bnfold.latency import cuda, estimate, floor, inputs, sessions
from bnfold.latency.cold import Cold, cold
from bnfold.latency.judging import judged, pooled
from bnfold.latency.optimised import optimised
from bnfold.latency.report import Comparison, Control, Row
from bnfold.latency.rounds import Clock, Design, Runner, Timings, measure, timed
from bnfold.latency.subjects import Subject

_COPY_RUNS = 20


@dataclass(frozen=True, slots=True)
class Case:
    """What all rows of a table have in common. `title` tells it from the other tables."""

    title: str
    batch: int
    shapes: inputs.Shapes
    how: sessions.Setting
    design: Design
    seed: int
    timeout_s: float = child.SECONDS

    @property
    def by_thread(self) -> bool:
        """With one thread the run stays in the caller, and its CPU time knows no preemption."""
        return self.how.on_cpu and self.how.threads == 1

    @property
    def cpu_clock(self) -> Clock:
        """Of the thread where that is all, else of the process."""
        return time.thread_time_ns if self.by_thread else time.process_time_ns


@dataclass(frozen=True, slots=True)
class Part:
    """The report's share of one case."""

    rows: tuple[Row, ...]
    control: Control
    comparisons: tuple[Comparison, ...]
    design: Design
    first: Cold


@dataclass(frozen=True, slots=True)
class _Entry:
    """A row before it is timed: its own setting, and what it is fed."""

    subject: Subject
    sizes: inputs.Sizes
    how: sessions.Setting

    @property
    def feeds(self) -> list[tuple[str, int, list[int]]]:
        return [(i.name, i.elem_type, list(self.sizes[i.name])) for i in self.subject.inputs]

    def cold(self, case: Case) -> Cold:
        path, label = str(self.subject.path), self.subject.label
        return cold(path, label, self.how, self.feeds, case.seed, case.timeout_s)

    def runner(self, case: Case) -> Runner:
        arrays = inputs.arrays(self.feeds, case.seed)
        with child.native_call(case.timeout_s):
            made = sessions.runner(str(self.subject.path), self.how, arrays)
        return replace(made, longest_s=case.timeout_s)

    def copies_ms(self, seed: int) -> float | None:
        """On a device: the median with arrays in and out of host memory."""
        if self.how.on_cpu:
            return None
        arrays = inputs.arrays(self.feeds, seed)
        run = sessions.with_copies(str(self.subject.path), self.how, arrays)
        walls = [timed(Runner(run), time.process_time_ns)[0] for _ in range(2 * _COPY_RUNS)]
        return float(np.median(walls[_COPY_RUNS:]))

    def least_ms(self) -> float | None:
        """What no run can stay below, where the device is known."""
        driver = None if self.how.on_cpu else cuda.driver()
        if driver is None:
            return None
        done = floor.work(self.subject.path, self.sizes)
        return floor.least_ms(done, driver.speed(), self.how)


def run(found: Sequence[Subject], case: Case) -> Part:
    """Loads every row once in a process of its own, then times all of them together."""
    entries = [_entry(subject, case) for subject in found]
    _same_work(entries)
    colds = [entry.cold(case) for entry in entries]
    makers = [partial(entry.runner, case) for entry in entries]
    timings, design = timings_of([*makers, makers[0]], case)
    rows = tuple(
        _row(entry, first, timing, case)
        for entry, first, timing in zip(entries, colds, timings[:-1], strict=True)
    )
    control, comparisons = _told(rows, timings, case)
    return Part(rows, control, comparisons, design, colds[0])


def _entry(subject: Subject, case: Case) -> _Entry:
    sizes = inputs.resolve(subject.inputs, case.batch, case.shapes)
    bound = inputs.overrides(subject.inputs, sizes)
    how = replace(case.how, disabled=subject.disabled, overrides=bound)
    return _Entry(subject, sizes, how)


def _same_work(entries: Sequence[_Entry]) -> None:
    first = entries[0]
    for other in entries[1:]:
        odd = [n for n, dims in other.sizes.items() if first.sizes.get(n) != dims]
        if odd:
            labels = f"{first.subject.label} and {other.subject.label}"
            what = f"{labels} take different inputs: {odd[0]!r}"
            raise UsageError(what, hint="compare models that do the same work")


def timings_of(
    makers: Sequence[Callable[[], Runner]], case: Case
) -> tuple[tuple[Timings, ...], Design]:
    """Measured once; again, twice at most, where the rounds hang together or the control is noisy.

    Whether there is more to measure is asked of the control alone, never of a result.
    """
    rng = np.random.default_rng(case.seed)
    timings, design = measure(makers, case.design, rng, case.cpu_clock)
    times = 1
    while times < case.design.repeats and not _settled(timings, case):
        more, _ = measure(makers, design, rng, case.cpu_clock)
        timings = tuple(a + b for a, b in zip(timings, more, strict=True))
        times += 1
    return timings, replace(design, rounds=times * design.rounds, sessions=times * design.sessions)


def _settled(timings: Sequence[Timings], case: Case) -> bool:
    noise = judged([timings[0], timings[-1]], by_thread=case.by_thread, seed=case.seed)
    hang_together = noise.noise.autocorrelation > estimate.MAX_AUTOCORRELATION
    return estimate.quiet(noise.noise) and not hang_together


def _row(entry: _Entry, first: Cold, timing: Timings, case: Case) -> Row:
    wall, cpu, subject = pooled(timing.wall), pooled(timing.cpu), entry.subject
    median_ms = float(np.median(wall))
    device = pooled(timing.device)
    return Row(
        case=case.title,
        label=subject.label,
        sha256=subject.sha256,
        batch=case.batch,
        shapes=entry.sizes,
        disabled=subject.disabled,
        median_ms=median_ms,
        p90_ms=estimate.percentile(wall, 0.9, estimate.P90_RUNS),
        p99_ms=estimate.percentile(wall, 0.99, estimate.P99_RUNS),
        min_ms=float(wall.min()),
        runs=len(wall),
        cpu_median_ms=float(np.median(cpu)),
        contention=estimate.contention(wall, cpu),
        throughput=inputs.batch_of(subject.inputs, entry.sizes) / median_ms * 1e3,
        device_median_ms=float(np.median(device)) if len(device) else None,
        with_copies_ms=entry.copies_ms(case.seed),
        least_ms=entry.least_ms(),
        load_ms=first.load_ms,
        first_run_ms=first.first_run_ms,
        peak_mib=first.peak_mib,
        device_mib=first.device_mib,
        file_bytes=subject.file_bytes,
        batchnorms=subject.batchnorms,
        after_runtime=optimised(str(subject.path), entry.how, case.timeout_s),
        placed=first.placed,
        wall_ms=tuple(map(tuple, timing.wall)),
        cpu_ms=tuple(map(tuple, timing.cpu)),
        device_ms=tuple(map(tuple, timing.device)) if len(device) else (),
    )


def _told(
    rows: Sequence[Row], timings: Sequence[Timings], case: Case
) -> tuple[Control, tuple[Comparison, ...]]:
    seen = judged(timings, by_thread=case.by_thread, seed=case.seed)
    control = Control(case.title, case.batch, seen.basis, seen.noise, seen.floor)
    wrong = any(row.wrong for row in rows)
    comparisons = [
        Comparison(
            case=case.title,
            batch=case.batch,
            base=rows[0].label,
            other=row.label,
            basis=seen.basis,
            estimate=found,
            floor=seen.floor,
            verdict=estimate.Verdict.INCONCLUSIVE if wrong else verdict,
        )
        for row, (found, verdict) in zip(rows[1:], seen.found, strict=True)
    ]
    return control, tuple(comparisons)
