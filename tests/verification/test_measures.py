"""The numbers that are shown: what an input says on which the output is next to nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bnfold.verification.measures import QUIET, Comparison, Pool


def compared(*pairs):
    found = Comparison("y")
    for a, b in pairs:
        found.add(np.asarray(a, np.float32), np.asarray(b, np.float32))
    return found.report()


LOUD = np.array([[1.0, -2.0, 0.5, 0.25]]), np.array([[1.001, -2.0, 0.5, 0.25]])


@pytest.mark.parametrize("order", [1, -1])
def test_a_saturated_input_is_measured_by_the_loudest_ones_thousandth(order):
    """A sigmoid at its end: exactly 0 in one run, the last bit of 1 in the other."""
    silent = np.zeros((1, 4)), np.array([[2.0**-24, 0, 0, 0]])
    report = compared(*[LOUD, silent][::order])
    assert 60 < report.sqnr_db < 70
    assert report.max_rel == pytest.approx(8.7e-4, rel=0.1)
    assert report.cosine > 0.999
    assert report.top1 == 1.0


def test_a_large_difference_on_a_silent_input_still_counts():
    report = compared(LOUD, (np.zeros((1, 4)), np.ones((1, 4))))
    assert report.sqnr_db < -50
    assert report.max_rel > 100
    assert report.max_abs == 1.0


def test_all_silent():
    assert compared((np.zeros(4), np.zeros(4))).sqnr_db == math.inf
    assert compared((np.zeros(4), np.ones(4))).sqnr_db == -math.inf


@pytest.mark.parametrize("order", [1, -1])
def test_a_pool_does_not_depend_on_the_order_of_its_inputs(order):
    pool = Pool()
    for error, size in [(1e-6, 1.0), (1e-6, 1e-9)][::order]:
        pool.add(error, size)
    assert pool.value(pool.loudest) == pytest.approx(1e-6 / QUIET / math.sqrt(2), rel=1e-3)
