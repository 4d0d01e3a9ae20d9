"""The self-test: its plumbing, its counts and its models; its rates are measured, not tested."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from itertools import product

import onnx
import pytest

from bnfold.errors import UsageError
from bnfold.latency import Basis, Estimate, Pair, Verdict, self_test
from bnfold.latency.load import loaded
from bnfold.latency.specimens import SPECIMENS
from bnfold.latency.trial import tally


@pytest.mark.parametrize("name", SPECIMENS)
def test_a_tenth_more_work_of_the_same_kind(name):
    ten, eleven = SPECIMENS[name](10), SPECIMENS[name](11)
    onnx.checker.check_model(ten, full_check=True)
    assert len(eleven.graph.node) * 10 == len(ten.graph.node) * 11
    assert {n.op_type for n in ten.graph.node} == {n.op_type for n in eleven.graph.node}


def test_every_kind_of_pair_comes_as_often():
    pytest.importorskip("onnxruntime")
    seen = []
    trial = self_test(2, quick=True, on_pair=seen.append)
    assert seen == list(range(4))
    kinds = sorted((pair.loaded, pair.planted) for pair in trial.pairs)
    assert kinds == sorted(product((False, True), (False, True)))
    told = json.loads(json.dumps(trial.to_dict()))
    assert told["all"]["equal"] == told["all"]["planted"] == 2
    assert told["quiet"]["equal"] + told["under_load"]["equal"] == 2
    assert told["all"]["median_ratio"] > 0


def pair(verdict, *, planted, ratio=1.0, basis=Basis.WALL):
    found = Estimate(ratio, ratio, ratio, 40, 0.0)
    return Pair("convs", planted, False, basis, found, 0.03, verdict)


def test_what_counts_as_a_false_claim_and_what_as_found():
    got = tally(
        [
            pair(Verdict.NO_DIFFERENCE, planted=False),
            pair(Verdict.FASTER, planted=False),
            pair(Verdict.SLOWER, planted=False),
            pair(Verdict.INCONCLUSIVE, planted=False),
            pair(Verdict.SLOWER, planted=True, ratio=1.1, basis=Basis.CPU),
            pair(Verdict.FASTER, planted=True, ratio=0.9),
            pair(Verdict.NO_DIFFERENCE, planted=True, ratio=1.05),
        ]
    )
    assert (got.equal, got.false_claims) == (4, 2)
    assert (got.planted, got.found) == (3, 1)
    assert (got.inconclusive, got.by_cpu, got.median_ratio) == (1, 1, 1.05)
    assert "2 of 4 equal pairs claim a difference" in got.sentence
    assert "1 of 3 slow-downs of 10 % are found" in got.sentence


def test_the_other_process_ends_with_the_block():
    with suppress(ZeroDivisionError), loaded() as process:
        os.kill(process, 0)  # it is there
        raise ZeroDivisionError
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_no_pairs_are_refused():
    with pytest.raises(UsageError):
        self_test(0)


@pytest.mark.slow
def test_this_machine_is_told_apart_from_a_slow_down():
    """Rates of 5 % and 95 % over 20 pairs each: beyond one miss, chance no longer explains it."""
    pytest.importorskip("onnxruntime")
    trial = self_test(20)
    assert trial.all.false_claims <= 2
    assert trial.all.found + trial.all.inconclusive >= 18
