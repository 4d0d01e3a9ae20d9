"""Which clock carries the verdicts, and when there is more to measure: asked of the control."""

from __future__ import annotations

import numpy as np
import pytest

from bnfold.latency import Basis, Verdict, sessions
from bnfold.latency.case import Case, timings_of
from bnfold.latency.judging import judged
from bnfold.latency.rounds import Design, Runner, Timings


def timings(wall_noise, *, wall_over_cpu=1.0, ratio=1.2):
    """Base, other and control: CPU times without noise, wall times with their own."""
    rng = np.random.default_rng(0)
    made = []
    for scale in (1.0, ratio, 1.0):
        cpu = np.full((40, 10), scale)
        wall = cpu * wall_over_cpu * np.exp(wall_noise * rng.standard_normal((40, 1)))
        made.append(Timings(wall.tolist(), cpu.tolist()))
    return made


@pytest.mark.parametrize(
    ("noise", "wall_over_cpu", "by_thread", "basis", "verdict"),
    [
        pytest.param(0.001, 1.0, True, Basis.WALL, Verdict.SLOWER, id="quiet"),
        pytest.param(0.001, 1.5, True, Basis.CPU, Verdict.SLOWER, id="others-hold-the-core"),
        pytest.param(0.3, 1.0, True, Basis.CPU, Verdict.SLOWER, id="wall-too-noisy"),
        pytest.param(0.3, 1.0, False, Basis.WALL, Verdict.INCONCLUSIVE, id="no-thread-clock"),
        pytest.param(0.001, 1.5, False, Basis.WALL, Verdict.SLOWER, id="many-threads"),
    ],
)
def test_clock(noise, wall_over_cpu, by_thread, basis, verdict):
    rows = timings(noise, wall_over_cpu=wall_over_cpu)
    seen = judged(rows, by_thread=by_thread, seed=0)
    assert (seen.basis, seen.found[0][1]) == (basis, verdict)


@pytest.mark.parametrize(
    ("noisy_sets", "repeats", "rounds"),
    [
        pytest.param(0, 3, 8, id="settled-at-once"),
        pytest.param(9, 3, 24, id="never-settled"),
        pytest.param(9, 1, 8, id="quick"),
    ],
)
def test_a_noisy_control_asks_for_more_rounds(monkeypatch, noisy_sets, repeats, rounds):
    rng, sets = np.random.default_rng(0), iter(range(99))

    def measured(makers, design, _rng, _clock):
        noise = 0.5 if next(sets) < noisy_sets else 0.0
        rows = [np.exp(noise * rng.standard_normal((8, 4))).tolist() for _ in makers]
        return tuple(Timings(row, row) for row in rows), design

    monkeypatch.setattr("bnfold.latency.case.measure", measured)
    design = Design(sessions=2, rounds=8, repeats=repeats)
    table = Case("batch 1", 1, {}, sessions.Setting(), design, 0)
    got, ran = timings_of([lambda: Runner(lambda: None)] * 2, table)
    assert ran.rounds == rounds == len(got[0].wall)
    assert ran.sessions == rounds // 4
