"""`bench`: models beside each other in ONNX Runtime, with a verdict that a stranger may trust."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bnfold import child
from bnfold.errors import UsageError
from bnfold.latency import estimate, inputs, runtime, sessions
from bnfold.latency.cold import Cold, cold
from bnfold.latency.estimate import Floats
from bnfold.latency.machine import machine
from bnfold.latency.optimised import optimised
from bnfold.latency.report import Basis, BenchReport, Comparison, Control, Row
from bnfold.latency.rounds import FULL, QUICK, Clock, Design, Run, Timings, measure, timed
from bnfold.latency.subjects import Model, Subject, subjects, without_fusion
from bnfold.version import __version__

_COPY_RUNS = 20


@dataclass(frozen=True, slots=True)
class _Bench:
    """One batch size: what every row has in common."""

    batch: int
    shapes: inputs.Shapes | None
    how: sessions.Setting
    design: Design
    seed: int
    timeout_s: float


def bench(
    models: Sequence[Model],
    *,
    batches: Sequence[int] = (1,),
    shapes: inputs.Shapes | None = None,
    provider: str = "cpu",
    provider_options: Mapping[str, str] | None = None,
    optimization: str = "all",
    threads: int = 1,
    rounds: int | None = None,
    seed: int = 0,
    quick: bool = False,
    timeout_s: float = child.SECONDS,
) -> BenchReport:
    """Times `models` side by side, the first against each other one.

    Where the first holds BatchNorms it is timed once more with ONNX Runtime's own fusion of them
    off: what the folding brings is so told apart from what the runtime would do anyway.
    A control (a second session of the first model) runs in the same rounds and sets the floor
    under which no difference is claimed.

    Args:
        models: Paths, bytes or ModelProtos; the original first, then what is made of it.
        batches: Sizes of the batch, a table for each.
        shapes: Sizes of an input by name, with or without the batch, or one size by its symbol.
        provider: `cpu`, `cuda` or `tensorrt`.
        provider_options: Options of the provider; read back and reported.
        optimization: `none`, `basic`, `extended` or `all`.
        threads: Of one session. Above 1 there is no thread-CPU time to judge by.
        rounds: How many; 40, or 20 with `quick`.
        seed: Of the inputs, the order of runs and the bootstrap.
        quick: Half the rounds and a few seconds a batch: indicative.
        timeout_s: The most that loading a model and its first two runs may take.

    Raises:
        UsageError: a missing file, a size that must be given, or an unknown option.
        ModelError: a model that is not sound, or that ONNX Runtime cannot load or run.
        EnvironmentLacks: no onnxruntime, or a provider that does not load.
    """
    if threads < 1 or not batches or min(batches) < 1 or (rounds is not None and rounds < 4):
        raise UsageError("threads and batches start at 1, rounds at 4")
    here = machine()
    how = _setting(provider, provider_options, optimization, threads)
    design = QUICK if quick else FULL
    design = replace(design, rounds=rounds or design.rounds)
    with tempfile.TemporaryDirectory(prefix="bnfold-") as folder:
        rows = _with_ablation(subjects(models, Path(folder)), optimization)
        parts = [_one_batch(rows, _Bench(b, shapes, how, design, seed, timeout_s)) for b in batches]
    return BenchReport(
        bnfold=__version__,
        machine=here,
        provider=how.provider,
        provider_options=parts[0].read_back,
        optimization=optimization,
        threads=threads,
        seed=seed,
        quick=quick,
        design=parts[0].design,
        rows=tuple(row for part in parts for row in part.rows),
        controls=tuple(part.control for part in parts),
        comparisons=tuple(c for part in parts for c in part.comparisons),
    )


def _setting(
    provider: str, options: Mapping[str, str] | None, optimization: str, threads: int
) -> sessions.Setting:
    name = runtime.provider_name(provider)
    runtime.level(optimization)
    return sessions.Setting(
        provider=name,
        provider_options=sessions.provider_options(name, options),
        optimization=optimization,
        threads=threads,
    )


@dataclass(frozen=True, slots=True)
class _Part:
    rows: tuple[Row, ...]
    control: Control
    comparisons: tuple[Comparison, ...]
    design: Design
    read_back: dict[str, str]


def _with_ablation(found: tuple[Subject, ...], optimization: str) -> tuple[Subject, ...]:
    """Where there is nothing to fuse, or nothing that fuses, the third row would say nothing."""
    if optimization == "none" or not found[0].batchnorms:
        return found
    return (*found, without_fusion(found[0]))


def _one_batch(found: tuple[Subject, ...], bench: _Bench) -> _Part:
    sizes = [inputs.resolve(s.inputs, bench.batch, bench.shapes) for s in found]
    _same_work(found, sizes)
    feeds = [_feeds(s, size) for s, size in zip(found, sizes, strict=True)]
    hows = [_how(s, size, bench.how) for s, size in zip(found, sizes, strict=True)]
    colds = [
        cold(str(s.path), s.label, how, feed, bench.seed, bench.timeout_s)
        for s, how, feed in zip(found, hows, feeds, strict=True)
    ]
    makers = [
        partial(_make, str(s.path), how, inputs.arrays(feed, bench.seed))
        for s, how, feed in zip(found, hows, feeds, strict=True)
    ]
    timings, design = _timings([*makers, makers[0]], bench)
    copies = [_copies(m, bench.how) for m in makers]
    rows = tuple(
        _row(s, size, how, first, timing, copy, bench)
        for s, size, how, first, timing, copy in zip(
            found, sizes, hows, colds, timings[:-1], copies, strict=True
        )
    )
    control, comparisons = _judged(rows, timings, bench)
    read_back = {k: str(v) for k, v in colds[0].provider_options.items()}
    return _Part(rows, control, comparisons, design, read_back)


def _same_work(found: Sequence[Subject], sizes: Sequence[inputs.Sizes]) -> None:
    for subject, size in zip(found[1:], sizes[1:], strict=True):
        odd = [name for name, dims in size.items() if sizes[0].get(name) != dims]
        if odd:
            what = f"{found[0].label} and {subject.label} take different inputs: {odd[0]!r}"
            raise UsageError(what, hint="compare models that do the same work")


def _feeds(subject: Subject, sizes: inputs.Sizes) -> list[tuple[str, int, list[int]]]:
    return [(i.name, i.elem_type, list(sizes[i.name])) for i in subject.inputs]


def _how(subject: Subject, sizes: inputs.Sizes, how: sessions.Setting) -> sessions.Setting:
    bound = inputs.overrides(subject.inputs, sizes)
    return replace(how, disabled=subject.disabled, overrides=bound)


def _make(path: str, how: sessions.Setting, arrays: sessions.Arrays) -> Run:
    return sessions.runner(sessions.session(path, how), arrays, how)


def _cpu_clock(how: sessions.Setting) -> Clock:
    """With one thread the run stays in the caller, and its CPU time knows no preemption."""
    return time.thread_time_ns if how.on_cpu and how.threads == 1 else time.process_time_ns


def _timings(makers: list[Any], bench: _Bench) -> tuple[tuple[Timings, ...], Design]:
    """Measured once, and once more where neighbouring rounds of the headline hang together."""
    rng = np.random.default_rng(bench.seed)
    clock = _cpu_clock(bench.how)
    timings, design = measure(makers, bench.design, rng, clock)
    ratios = estimate.round_log_ratios(timings[0].wall, timings[1].wall)
    if bench.design == QUICK or estimate.autocorrelation(ratios) <= estimate.MAX_AUTOCORRELATION:
        return timings, design
    more, _ = measure(makers, design, rng, clock)
    both = zip(timings, more, strict=True)
    timings = tuple(Timings(a.wall + b.wall, a.cpu + b.cpu) for a, b in both)
    return timings, replace(design, rounds=2 * design.rounds, sessions=2 * design.sessions)


def _copies(maker: partial[Run], how: sessions.Setting) -> float | None:
    """On a device: the median with arrays in and out of host memory."""
    if how.on_cpu:
        return None
    path, row, arrays = maker.args
    run = sessions.with_copies(sessions.session(path, row), arrays)
    walls = [timed(run, time.process_time_ns)[0] for _ in range(2 * _COPY_RUNS)]
    return float(np.median(walls[_COPY_RUNS:]))


def _row(
    subject: Subject,
    sizes: inputs.Sizes,
    how: sessions.Setting,
    first: Cold,
    timing: Timings,
    copies_ms: float | None,
    bench: _Bench,
) -> Row:
    wall, cpu = _pooled(timing.wall), _pooled(timing.cpu)
    median_ms = float(np.median(wall))
    items = inputs.batch_of(subject.inputs, sizes)
    return Row(
        label=subject.label,
        sha256=subject.sha256,
        batch=bench.batch,
        shapes=sizes,
        disabled=subject.disabled,
        median_ms=median_ms,
        p90_ms=estimate.percentile(wall, 0.9, estimate.P90_RUNS),
        p99_ms=estimate.percentile(wall, 0.99, estimate.P99_RUNS),
        min_ms=float(wall.min()),
        runs=len(wall),
        cpu_median_ms=float(np.median(cpu)),
        contention=estimate.contention(wall, cpu),
        throughput=items / median_ms * 1e3,
        with_copies_ms=copies_ms,
        load_ms=first.load_ms,
        first_run_ms=first.first_run_ms,
        peak_mib=first.peak_mib,
        file_bytes=subject.file_bytes,
        batchnorms=subject.batchnorms,
        after_runtime=optimised(str(subject.path), how),
        placed=first.placed,
        wall_ms=tuple(map(tuple, timing.wall)),
        cpu_ms=tuple(map(tuple, timing.cpu)),
    )


def _pooled(rounds: Sequence[Sequence[float]]) -> Floats:
    return np.concatenate([np.asarray(runs) for runs in rounds])


def _judged(
    rows: Sequence[Row], timings: Sequence[Timings], bench: _Bench
) -> tuple[Control, tuple[Comparison, ...]]:
    """The last timing is the control's. One basis for all: a verdict may not pick its clock."""
    rng = np.random.default_rng(bench.seed)
    basis = _basis(rows, bench.how)
    times = [t.cpu if basis is Basis.CPU else t.wall for t in timings]
    noise = estimate.estimate(estimate.round_log_ratios(times[0], times[-1]), rng)
    floor = estimate.noise_floor(noise)
    comparisons = []
    for row, time_ in zip(rows[1:], times[1:-1], strict=True):
        found = estimate.estimate(estimate.round_log_ratios(times[0], time_), rng)
        verdict = estimate.judge(found, floor)
        labels = (rows[0].label, row.label)
        comparisons.append(Comparison(bench.batch, *labels, basis, found, floor, verdict))
    return Control(bench.batch, basis, noise, floor), tuple(comparisons)


def _contended(rows: Sequence[Row]) -> bool:
    return any(row.contention > estimate.MAX_CONTENTION for row in rows)


def _basis(rows: Sequence[Row], how: sessions.Setting) -> Basis:
    """Wall time, unless others held the core and the thread's own time can stand in for it."""
    by_thread = how.on_cpu and how.threads == 1
    return Basis.CPU if by_thread and _contended(rows) else Basis.WALL
