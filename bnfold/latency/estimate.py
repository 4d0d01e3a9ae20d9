"""From rounds to a verdict: median log ratio, block bootstrap, and the noise floor.

One round gives log(median B / median A). The estimate is the median over rounds, its interval a
circular block bootstrap. A difference is claimed only where the interval excludes 1 and the effect
passes the floor that two sessions of one and the same model set.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
BLOCK = 4
RESAMPLES = 2000
CONFIDENCE = 0.99
MIN_EFFECT = 0.03
MAX_HALF_WIDTH = 0.06
MAX_AUTOCORRELATION = 0.2
MAX_CONTENTION = 1.1
P90_RUNS, P99_RUNS = 100, 1000


class Verdict(enum.Enum):
    """What may be said of the other model beside the base."""

    FASTER = "faster"
    SLOWER = "slower"
    NO_DIFFERENCE = "no-difference"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Estimate:
    """other / base in time, with its interval; `autocorrelation` is of the rounds, at lag 1."""

    ratio: float
    low: float
    high: float
    rounds: int
    autocorrelation: float

    @property
    def excludes_one(self) -> bool:
        """The whole interval lies on one side of 1."""
        return self.low > 1 or self.high < 1

    @property
    def reach(self) -> float:
        """How far from 1 the interval reaches: 0.021 is 2.1 %."""
        return math.expm1(max(abs(math.log(self.low)), abs(math.log(self.high))))

    @property
    def half_width(self) -> float:
        """Half of the interval's width."""
        return (self.high - self.low) / 2


def round_log_ratios(base: Sequence[Sequence[float]], other: Sequence[Sequence[float]]) -> Floats:
    """log(median other / median base), a value a round; `base[r]` are the runs of round r."""
    pairs = zip(base, other, strict=True)
    return np.array([math.log(np.median(b) / np.median(a)) for a, b in pairs])


def estimate(log_ratios: Floats, rng: np.random.Generator) -> Estimate:
    """The median over rounds and its bootstrap interval."""
    medians = np.median(log_ratios[_blocks(len(log_ratios), rng)], axis=1)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(medians, [tail, 1 - tail])
    return Estimate(
        ratio=math.exp(float(np.median(log_ratios))),
        low=math.exp(float(low)),
        high=math.exp(float(high)),
        rounds=len(log_ratios),
        autocorrelation=autocorrelation(log_ratios),
    )


def _blocks(n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Indices (RESAMPLES, n) of circular blocks: what is close in time stays together."""
    block = min(BLOCK, max(1, n // 4))
    starts = rng.integers(0, n, size=(RESAMPLES, -(-n // block)))
    index = (starts[:, :, None] + np.arange(block)) % n
    return index.reshape(RESAMPLES, -1)[:, :n]


def autocorrelation(values: Floats) -> float:
    """At lag 1; 0 where there is no spread."""
    centred = values - values.mean()
    spread = float(centred @ centred)
    return float(centred[:-1] @ centred[1:]) / spread if spread > 0 else 0.0


def quiet(control: Estimate, least: float = MIN_EFFECT) -> bool:
    """Two sessions of one model read alike, to within the smallest effect of interest."""
    return control.half_width <= least and not _claims(control, least)


def noise_floor(control: Estimate, least: float = MIN_EFFECT) -> float | None:
    """The smallest effect that may be claimed; None where the machine is too noisy for any.

    `control` compares two sessions of the same model, so every difference in it is noise: the
    floor lies where that noise reaches. A tenth more work is still seen over a reach of 6 %.
    """
    if _claims(control, least) or not control.half_width <= MAX_HALF_WIDTH:
        return None
    return max(least, control.reach)


def _claims(control: Estimate, least: float) -> bool:
    return control.excludes_one and abs(control.ratio - 1) >= least


def judge(found: Estimate, floor: float | None) -> Verdict:
    """The verdict on `found` over this floor."""
    if floor is None:
        return Verdict.INCONCLUSIVE
    effect = math.expm1(abs(math.log(found.ratio)))
    if not found.excludes_one or not effect >= floor:
        return Verdict.NO_DIFFERENCE
    return Verdict.FASTER if found.ratio < 1 else Verdict.SLOWER


def percentile(runs: Floats, share: float, at_least: int) -> float | None:
    """The percentile, or None where there are too few runs to know that tail."""
    return float(np.quantile(runs, share)) if len(runs) >= at_least else None


def contention(wall: Floats, cpu: Floats) -> float:
    """Median of wall over CPU time: 1 on a core of one's own."""
    return float(np.median(wall / np.maximum(cpu, 1e-9)))
