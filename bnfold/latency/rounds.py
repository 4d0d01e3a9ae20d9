"""The timed loop: several sets of sessions, and rounds in which every row runs there and back.

A round is a seeded permutation of the rows followed by its mirror, a few runs a letter: with two
rows that is ABBA or BAAB by a coin. A drift of the machine hits all rows of a round alike.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np

from bnfold import child

Clock = Callable[[], int]
LEAST_ROUNDS = 4
WARM_WINDOW = 10
WARM_TOLERANCE = 0.02
WARM_RUNS = 100


@dataclass(frozen=True, slots=True)
class Runner:
    """One run for the clock; `device_ms` is what a device's own events say of the last one.

    `longest_s` ends a run that never returns, where the process is expendable.
    """

    run: Callable[[], object]
    device_ms: Callable[[], float] | None = None
    longest_s: float = child.SECONDS


@dataclass(frozen=True, slots=True)
class Design:
    """How much is measured. `runs` is a letter's; a round has twice that many of each row.

    `repeats`: how often all of it at most, where the machine is noisy.
    """

    sessions: int = 4
    rounds: int = 40
    runs: int = 5
    warm_s: float = 10.0
    budget_s: float = 60.0
    repeats: int = 3

    def fitted(self, cycle_s: float) -> Design:
        """Fewer runs a letter where one run of every row takes long; never fewer rounds."""
        wanted = int(self.budget_s / max(2 * self.rounds * cycle_s, 1e-9))
        return replace(self, runs=max(1, min(self.runs, wanted)))


FULL = Design()
QUICK = Design(sessions=2, rounds=20, warm_s=1.0, budget_s=5.0, repeats=1)


@dataclass(slots=True)
class Timings:
    """Of one row, a list of runs for every round, in ms; `cpu` is of the thread or process.

    `device` stays empty where nothing but the CPU runs.
    """

    wall: list[list[float]] = field(default_factory=list)
    cpu: list[list[float]] = field(default_factory=list)
    device: list[list[float]] = field(default_factory=list)

    def __add__(self, more: Timings) -> Timings:
        """The rounds of both."""
        return Timings(self.wall + more.wall, self.cpu + more.cpu, self.device + more.device)

    def begin(self) -> None:
        """A new round."""
        for of in (self.wall, self.cpu, self.device):
            of.append([])

    def note(self, runner: Runner, cpu_clock: Clock) -> None:
        """Runs once, on the clock."""
        wall, cpu = timed(runner, cpu_clock)
        self.wall[-1].append(wall)
        self.cpu[-1].append(cpu)
        if runner.device_ms:
            self.device[-1].append(runner.device_ms())


def measure(
    makers: Sequence[Callable[[], Runner]],
    design: Design,
    rng: np.random.Generator,
    cpu_clock: Clock = time.thread_time_ns,
) -> tuple[tuple[Timings, ...], Design]:
    """Times what each maker makes; a maker builds a fresh session. Also the design as it ran."""
    timings = tuple(Timings() for _ in makers)
    order = rng.permutation(len(makers)).tolist()
    for number in range(design.sessions):
        order.reverse()  # creation swapped from set to set: memory placement favours no row
        runs = {i: makers[i]() for i in order}
        cycle_s = sum(warm_up(runs[i], design.warm_s, cpu_clock) for i in order)
        if number == 0:
            design = design.fitted(cycle_s)
        for _ in range(_share(design.rounds, design.sessions, number)):
            _round(runs, timings, design.runs, rng, cpu_clock)
    return timings, design


def _share(rounds: int, sessions: int, number: int) -> int:
    return rounds // sessions + (number < rounds % sessions)


def _round(
    runs: dict[int, Runner],
    timings: Sequence[Timings],
    repeats: int,
    rng: np.random.Generator,
    cpu_clock: Clock,
) -> None:
    line = rng.permutation(len(timings)).tolist()
    for timing in timings:
        timing.begin()
    with _no_garbage_collection():
        for i in [*line, *reversed(line)]:
            for _ in range(repeats):
                timings[i].note(runs[i], cpu_clock)


def timed(runner: Runner, cpu_clock: Clock) -> tuple[float, float]:
    """Wall and CPU time of one run, in ms; its limit is set and lifted off the clock."""
    run = runner.run
    with child.native_call(runner.longest_s):
        cpu = cpu_clock()
        wall = time.perf_counter_ns()
        run()
        wall = time.perf_counter_ns() - wall
        cpu = cpu_clock() - cpu
    return wall / 1e6, cpu / 1e6


def warm_up(runner: Runner, limit_s: float, cpu_clock: Clock) -> float:
    """Runs until two windows agree within 2 %, or a limit; the last window's median in seconds."""
    deadline = time.monotonic() + limit_s
    seen: list[float] = []
    while len(seen) < WARM_RUNS and not _stationary(seen):
        seen.append(timed(runner, cpu_clock)[0])
        if time.monotonic() > deadline and len(seen) >= 3:
            break
    return float(np.median(seen[-WARM_WINDOW:])) / 1e3


def _stationary(seen: Sequence[float]) -> bool:
    if len(seen) < 2 * WARM_WINDOW:
        return False
    before = float(np.median(seen[-2 * WARM_WINDOW : -WARM_WINDOW]))
    return abs(float(np.median(seen[-WARM_WINDOW:])) - before) <= WARM_TOLERANCE * before


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
