"""From timings to verdicts: one clock for all of them, and the control's noise as their floor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bnfold.latency import estimate
from bnfold.latency.estimate import Estimate, Floats, Verdict
from bnfold.latency.report import Basis
from bnfold.latency.rounds import Timings


@dataclass(frozen=True, slots=True)
class Judged:
    """Of one table: the control's noise, the smallest effect to claim, and what was found.

    `found` holds the first row against each other one, in their order.
    """

    basis: Basis
    noise: Estimate
    floor: float | None
    found: tuple[tuple[Estimate, Verdict], ...]


def pooled(rounds: Sequence[Sequence[float]]) -> Floats:
    """All runs of a row in one array."""
    return np.concatenate([np.asarray(runs) for runs in rounds])


def judged(timings: Sequence[Timings], *, by_thread: bool, seed: int) -> Judged:
    """The last timing is the control's; `by_thread`: CPU time is the caller's own thread's.

    Wall time, unless others held the core, or the control is noisy by it and less so by CPU time.
    One clock for all, chosen without a look at any model's result.
    """
    wall = _judged(timings, Basis.WALL, seed)
    contended = any(
        estimate.contention(pooled(t.wall), pooled(t.cpu)) > estimate.MAX_CONTENTION
        for t in timings[:-1]
    )
    if not by_thread or not (contended or not estimate.quiet(wall.noise)):
        return wall
    cpu = _judged(timings, Basis.CPU, seed)
    return cpu if contended or cpu.noise.half_width < wall.noise.half_width else wall


def _judged(timings: Sequence[Timings], basis: Basis, seed: int) -> Judged:
    rng = np.random.default_rng(seed)
    times = [t.cpu if basis is Basis.CPU else t.wall for t in timings]
    noise = estimate.estimate(estimate.round_log_ratios(times[0], times[-1]), rng)
    floor = estimate.noise_floor(noise)
    found = [
        estimate.estimate(estimate.round_log_ratios(times[0], other), rng) for other in times[1:-1]
    ]
    return Judged(basis, noise, floor, tuple((f, estimate.judge(f, floor)) for f in found))
