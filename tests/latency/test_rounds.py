"""The timed loop: who runs when, warm-up, and how long it may take."""

from __future__ import annotations

import gc
from itertools import count

import numpy as np
import pytest

from bnfold.latency.rounds import FULL, QUICK, WARM_RUNS, Design, Runner, measure, timed, warm_up

TINY = Design(sessions=2, rounds=6, runs=3, warm_s=0.5)


def recorded(rows, design=TINY, seed=0):
    """The letters in the order they ran, and the timings. Session 0.a, 1.a ... are numbered."""
    log, made = [], count()

    def maker(letter):
        def make():
            number = next(made)
            log.append(("make", letter))
            return Runner(lambda: log.append((number, letter)))

        return make

    timings, _ = measure([maker(c) for c in rows], design, np.random.default_rng(seed))
    return log, timings


def test_every_round_is_a_palindrome_with_all_rows():
    log, timings = recorded("ABC")
    width = 2 * TINY.runs * 3
    last = [letter for _, letter in log[-width:]]
    assert last == last[::-1]
    assert {letter: last.count(letter) for letter in "ABC"} == dict.fromkeys("ABC", 2 * TINY.runs)
    assert [len(runs) for t in timings for runs in t.wall] == [2 * TINY.runs] * 6 * 3


def test_the_order_changes_from_round_to_round_and_follows_the_seed():
    log, _ = recorded("AB", Design(sessions=1, rounds=20, runs=1, warm_s=0.5))
    tail = "".join(letter for _, letter in log)[-80:]
    kinds = {tail[i : i + 4] for i in range(0, 80, 4)}
    assert kinds == {"ABBA", "BAAB"}
    again, _ = recorded("AB", Design(sessions=1, rounds=20, runs=1, warm_s=0.5))
    assert "".join(letter for _, letter in again)[-80:] == tail


def test_sessions_are_fresh_in_each_set_and_made_in_swapped_order():
    log, _ = recorded("AB")
    made = [letter for what, letter in log if what == "make"]
    assert len(made) == 4
    assert made[:2] == made[:1:-1]


@pytest.mark.parametrize("rounds", [6, 7])
def test_rounds_are_shared_out_over_the_sets(rounds):
    _, timings = recorded("AB", Design(sessions=4, rounds=rounds, runs=1, warm_s=0.5))
    assert [len(t.wall) for t in timings] == [rounds, rounds]
    assert all(runs for t in timings for runs in t.wall)


def test_no_garbage_is_collected_while_the_clock_runs():
    seen = []
    measure([lambda: Runner(lambda: seen.append(gc.isenabled()))], TINY, np.random.default_rng(0))
    assert seen[-2 * TINY.runs :] == [False] * 2 * TINY.runs
    assert gc.isenabled()


def test_slow_models_get_fewer_runs_never_fewer_rounds():
    assert FULL.fitted(0.001) == FULL
    slow = FULL.fitted(0.4)
    assert (slow.runs, slow.rounds) == (1, FULL.rounds)
    assert FULL.fitted(60 / (2 * 40 * 3)).runs == 3
    assert QUICK.rounds * 2 == FULL.rounds


def test_warm_up_ends_when_two_windows_agree(monkeypatch):
    times = iter([9.0] * 5 + [1.0] * 500)
    monkeypatch.setattr("bnfold.latency.rounds.timed", lambda run, clock: (next(times), 0.0))
    assert warm_up(Runner(lambda: None), 10, lambda: 0) == pytest.approx(1e-3)
    assert 505 - len(list(times)) == 21  # the first window with fewer than five slow runs


def test_warm_up_is_capped(monkeypatch):
    times = count(1.0)
    monkeypatch.setattr("bnfold.latency.rounds.timed", lambda run, clock: (next(times) ** 3, 0.0))
    warm_up(Runner(lambda: None), 10, lambda: 0)
    assert next(times) == WARM_RUNS + 1


def test_timed_counts_both_clocks():
    ticks = iter([5_000_000, 8_000_000])
    wall, cpu = timed(Runner(lambda: None), lambda: next(ticks))
    assert cpu == 3.0
    assert wall > 0


def test_what_the_device_says_is_kept_beside_the_clocks():
    said = count(1.0)
    makers = [lambda: Runner(lambda: None, lambda: next(said)), lambda: Runner(lambda: None)]
    (with_device, without), _ = measure(makers, TINY, np.random.default_rng(0))
    assert [len(runs) for runs in with_device.device] == [len(runs) for runs in with_device.wall]
    assert not any(without.device)
