"""bench on the CUDA provider: it really runs there, and folded is not proven slower."""

from __future__ import annotations

import pytest

from bnfold.latency import Verdict, bench
from tests.latency.test_bench import conv_model, cuda_loads

pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module", autouse=True)
def _needs_cuda():
    if not cuda_loads():
        pytest.skip("ONNX Runtime's CUDA provider does not load here")


def test_options_are_read_back_and_copies_timed_apart():
    report = bench([conv_model(norm=True)], provider="cuda", quick=True)
    assert report.provider_options["use_tf32"] == "1"
    assert report.provider_options["cudnn_conv_algo_search"] == "EXHAUSTIVE"
    assert all(row.with_copies_ms for row in report.rows)


def test_folded_is_not_proven_slower():
    models = [conv_model(norm=True), conv_model(norm=False)]
    assert bench(models, provider="cuda").verdict is not Verdict.SLOWER
