"""`verify` on CUDA: TF32 off in what decides, its own effect shown, every node's provider read."""

from __future__ import annotations

import pytest

from bnfold.verification import verify
from tests.verification import nets

pytestmark = pytest.mark.gpu
ort = pytest.importorskip("onnxruntime")
if "CUDAExecutionProvider" not in ort.get_available_providers():
    pytest.skip("ONNX Runtime has no CUDA provider here", allow_module_level=True)


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
