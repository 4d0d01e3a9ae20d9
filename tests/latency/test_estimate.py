"""The statistics on synthetic rounds: what they claim, and what they refuse to claim."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bnfold.latency import Verdict
from bnfold.latency.estimate import (
    Estimate,
    autocorrelation,
    contention,
    estimate,
    judge,
    noise_floor,
    percentile,
    round_log_ratios,
)

RNG = np.random.default_rng


def rounds(rng, factor=1.0, n=40, runs=10, noise=0.05):
    """Run times with a long tail, and a drift that both sides share."""
    drift = np.exp(0.2 * np.sin(np.arange(n) / 5))
    a = drift[:, None] * (1 + noise * rng.exponential(size=(n, runs)))
    b = factor * drift[:, None] * (1 + noise * rng.exponential(size=(n, runs)))
    return a.tolist(), b.tolist()


def found(ratio, low, high):
    return Estimate(ratio, low, high, rounds=40, autocorrelation=0.0)


def test_the_ratio_is_recovered_through_a_shared_drift():
    rng = RNG(0)
    got = [estimate(round_log_ratios(*rounds(rng, factor=1.1)), rng) for _ in range(100)]
    assert sum(e.low < 1.1 < e.high for e in got) >= 95  # a 99 % interval
    assert all(e.half_width < 0.03 for e in got)


def test_one_wild_round_moves_nothing():
    a, b = rounds(RNG(0))
    quiet = estimate(round_log_ratios(a, b), RNG(1))
    b[7] = [50 * run for run in b[7]]
    wild = estimate(round_log_ratios(a, b), RNG(1))
    assert wild.ratio == pytest.approx(quiet.ratio, rel=0.01)
    assert wild.high == pytest.approx(quiet.high, rel=0.02)


def test_the_bootstrap_is_seeded():
    ratios = round_log_ratios(*rounds(RNG(0)))
    assert estimate(ratios, RNG(3)) == estimate(ratios, RNG(3))


def test_false_claims_are_rare_and_a_tenth_is_found():
    rng = RNG(0)
    equal = [estimate(round_log_ratios(*rounds(rng)), rng) for _ in range(60)]
    slower = [estimate(round_log_ratios(*rounds(rng, 1.1)), rng) for _ in range(30)]
    assert all(judge(e, 0.03) is Verdict.NO_DIFFERENCE for e in equal)
    assert all(judge(e, 0.03) is Verdict.SLOWER for e in slower)


@pytest.mark.parametrize("n", [4, 7, 40])
def test_few_rounds_still_give_an_interval(n):
    got = estimate(round_log_ratios(*rounds(RNG(0), n=n)), RNG(1))
    assert got.low <= got.ratio <= got.high
    assert got.rounds == n


@pytest.mark.parametrize(
    ("ratio", "low", "high", "floor", "want"),
    [
        pytest.param(0.8, 0.78, 0.82, 0.03, Verdict.FASTER, id="clear-gain"),
        pytest.param(1.2, 1.1, 1.3, 0.03, Verdict.SLOWER, id="clear-loss"),
        pytest.param(0.98, 0.97, 0.99, 0.03, Verdict.NO_DIFFERENCE, id="below-the-floor"),
        pytest.param(0.8, 0.6, 1.01, 0.03, Verdict.NO_DIFFERENCE, id="interval-holds-1"),
        pytest.param(0.9, 0.88, 0.92, 0.2, Verdict.NO_DIFFERENCE, id="floor-of-a-noisy-machine"),
        pytest.param(0.5, 0.4, 0.6, None, Verdict.INCONCLUSIVE, id="no-floor-no-claim"),
        pytest.param(math.nan, math.nan, math.nan, 0.03, Verdict.NO_DIFFERENCE, id="nan"),
    ],
)
def test_verdict(ratio, low, high, floor, want):
    assert judge(found(ratio, low, high), floor) is want


@pytest.mark.parametrize(
    ("control", "want"),
    [
        pytest.param(found(1.0, 0.99, 1.01), 0.03, id="quiet-least-effect"),
        pytest.param(found(1.01, 0.99, 1.04), 0.04, id="its-reach-lifts-the-floor"),
        pytest.param(found(1.005, 1.002, 1.009), 0.03, id="tiny-bias-is-below-the-floor"),
        pytest.param(found(1.08, 1.06, 1.1), None, id="claims-a-difference-to-itself"),
        pytest.param(found(1.0, 0.95, 1.05), 1 / 0.95 - 1, id="wide-a-higher-floor"),
        pytest.param(found(1.0, 0.9, 1.1), None, id="too-wide"),
        pytest.param(found(1.0, math.nan, math.nan), None, id="nan"),
    ],
)
def test_noise_floor(control, want):
    assert noise_floor(control) == (None if want is None else pytest.approx(want, abs=1e-9))


def test_reach_is_symmetric_in_the_logarithm():
    assert found(1, 0.5, 1.1).reach == pytest.approx(1.0)


def test_autocorrelation():
    assert autocorrelation(np.array([1.0, -1.0] * 20)) == pytest.approx(-0.975)
    assert autocorrelation(np.ones(5)) == 0.0
    assert autocorrelation(np.repeat([0.0, 1.0], 20)) > 0.9


def test_percentiles_need_runs():
    runs = np.arange(1.0, 1001.0)
    assert percentile(runs, 0.99, 1000) == pytest.approx(990.01)
    assert percentile(runs[:-1], 0.99, 1000) is None


def test_contention_is_wall_over_cpu():
    assert contention(np.array([2.0, 2.0]), np.array([1.0, 1.0])) == 2.0
