"""On the CUDA provider: folded equals original, is not proven slower, and the numbers are whole."""

from __future__ import annotations

import pytest

from bnfold.latency import bench
from bnfold.testing import assert_equivalent, assert_folded, assert_not_slower
from tests.latency.test_bench import conv_model, cuda_loads

pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.gpu
SETTINGS = {
    "float32": {"use_tf32": "0"},
    "TF32": {"use_tf32": "1"},
    "NHWC": {"use_tf32": "1", "prefer_nhwc": "1"},
    "graph": {"use_tf32": "0", "enable_cuda_graph": "1"},
}


@pytest.fixture(scope="module", autouse=True)
def _needs_cuda():
    if not cuda_loads():
        pytest.skip("ONNX Runtime's CUDA provider does not load here")


@pytest.fixture(scope="module")
def pair():
    """A model whose BatchNorm no runtime folds by itself (Relu in between), and what we make."""
    from bnfold.road import fold
    from tests.gpu.models import relu_norm_conv

    original = relu_norm_conv()
    folded = fold(original).model
    assert_folded(folded)
    return original, folded


def test_folded_equals_original(pair):
    assert_equivalent(*pair, provider="cuda")


@pytest.mark.parametrize("name", SETTINGS)
def test_folded_is_not_proven_slower(pair, name):
    report = assert_not_slower(
        *pair, provider="cuda", provider_options=SETTINGS[name], batches=(1, 32)
    )
    told = report.provider_options
    assert {key: told[key] for key in SETTINGS[name]} == SETTINGS[name]


def test_a_row_on_the_device_is_whole():
    report = bench([conv_model(norm=True)], provider="cuda", quick=True)
    assert report.provider_options["cudnn_conv_algo_search"] == "EXHAUSTIVE"
    assert report.cudnn
    assert report.machine.device
    assert report.device_after
    for row in report.rows:
        assert row.with_copies_ms
        assert row.device_median_ms
        assert row.device_median_ms <= row.median_ms * 1.2  # events lie within the wall's span
        assert row.device_mib is not None
        assert row.least_ms is None or row.wrong is None
        assert row.placed is None or row.placed["CUDAExecutionProvider"] > 0
