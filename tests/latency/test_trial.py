"""The self-test: its plumbing and its model; its rates are measured, not tested."""

from __future__ import annotations

import onnx
import pytest

from bnfold.errors import UsageError
from bnfold.latency import self_test
from bnfold.latency.trial import chain


def test_a_tenth_more_work_of_the_same_kind():
    ten, eleven = chain(10), chain(11)
    onnx.checker.check_model(ten, full_check=True)
    assert len(eleven.graph.node) * 10 == len(ten.graph.node) * 11


def test_it_counts_pairs():
    pytest.importorskip("onnxruntime")
    seen = []
    trial = self_test(1, quick=True, on_pair=seen.append)
    assert seen == [0, 1]
    assert trial.n == 1
    assert trial.false_claims + trial.found + trial.inconclusive <= 3
    assert trial.to_dict()["planted_ratio"] > 0


def test_no_pairs_are_refused():
    with pytest.raises(UsageError):
        self_test(0)
