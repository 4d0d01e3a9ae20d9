"""`verify` on CUDA: TF32 off in what decides, its own effect shown, every node's provider read."""

from __future__ import annotations

import pytest

from bnfold.verification import verify
from tests.latency.test_bench import cuda_loads
from tests.verification import nets

pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module", autouse=True)
def _needs_cuda():
    if not cuda_loads():
        pytest.skip("ONNX Runtime's CUDA provider does not load here")


@pytest.mark.parametrize("fault", [None, "sqrt forgotten", "weights off by 1e-4"])
def test_the_gates_on_cuda(fault):
    pair = nets.pair()
    parameters = nets.faulty(fault, pair) if fault else pair.folded
    models = nets.model(pair.original, norms=True), nets.model(parameters, norms=False)
    verdict = verify(*models, provider="cuda")
    assert verdict.ok == (fault is None), verdict.sentence
    assert verdict.gate("tf32-candidate").value > verdict.gate("runtime-candidate-none").value
    assert any("CUDAExecutionProvider, TF32 off" in note for note in verdict.notes)
    assert any("TF32 on" in note for note in verdict.notes)
