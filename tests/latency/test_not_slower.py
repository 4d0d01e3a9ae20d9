"""`bnfold.testing.assert_not_slower`: fails on a proven slow-down at any size, and only there."""

from __future__ import annotations

import pytest

from bnfold.latency import Verdict
from bnfold.testing import assert_not_slower
from tests.latency.test_baseline import comparison, report, row


@pytest.fixture
def measured(monkeypatch):
    """`bench` answers with these ratios, one a batch size; what it was asked is kept."""

    def answering(*ratios, floor=0.03):
        asked = []
        a, b = row("a.onnx"), row("b.onnx")

        def bench(models, **how):
            asked.append((models, how))
            return report(a, b, comparisons=[comparison(a, b, r) for r in ratios], floor=floor)

        monkeypatch.setattr("bnfold.latency.bench", bench)
        return asked

    return answering


@pytest.mark.parametrize("ratios", [(1.2,), (0.9, 1.2)])
def test_a_proven_slow_down_fails_with_its_interval(measured, ratios):
    measured(*ratios)
    with pytest.raises(AssertionError, match=r"slower: b.onnx takes 1\.200 \[1\.188, 1\.212\]"):
        assert_not_slower("a.onnx", "b.onnx")


@pytest.mark.parametrize("ratios", [(1.0,), (0.5,), (1.01, 0.98)])
def test_what_is_not_proven_passes_and_is_given_back(measured, ratios):
    asked = measured(*ratios)
    found = assert_not_slower("a.onnx", "b.onnx", batches=(1, 8), quick=True)
    assert asked == [(["a.onnx", "b.onnx"], {"batches": (1, 8), "quick": True})]
    assert found.verdict is not Verdict.SLOWER
