"""Networks by name with weights, a normalisation in front, and the type of the whole graph."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from onnx import TensorProto
from safetensors.torch import save_file

from bnfold.errors import DataError, ModelError, UsageError
from bnfold.exporting import export
from bnfold.exporting.named import Normalized, cast, normalized
from bnfold.latency import runtime
from bnfold_models import create


def small(seed: int = 0):
    torch.manual_seed(seed)
    return create("mnist-mlp-bn", classes=4, channels=1, size=(6, 6)).eval()


def run(model, x):
    ort = runtime.onnxruntime()
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"input": x})[0]


def test_a_callable_with_weights_and_a_normalisation(tmp_path, monkeypatch):
    wanted = small(3)
    save_file(wanted.state_dict(), tmp_path / "w.safetensors")
    (tmp_path / "nets.py").write_text(
        "from bnfold_models import create\n"
        "def net():\n    return create('mnist-mlp-bn', classes=4, channels=1, size=(6, 6))\n"
    )
    monkeypatch.chdir(tmp_path)
    model = export("nets:net", (1, 6, 6), weights=tmp_path / "w.safetensors", classes=4,
                   normalize=((0.5,), (0.25,)))  # fmt: skip
    assert sum(node.op_type == "BatchNormalization" for node in model.graph.node) == 3
    pixels = np.random.default_rng(0).random((3, 1, 6, 6), np.float32)
    with torch.inference_mode():
        truth = wanted((torch.from_numpy(pixels) - 0.5) / 0.25).numpy()
    np.testing.assert_allclose(run(model, pixels), truth, atol=1e-5)


def test_float16_graph(tmp_path):
    network = small()
    model = export(network, (1, 6, 6), dtype="float16")
    assert model.graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT16
    assert model.graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT16
    assert next(network.parameters()).dtype is torch.float32  # the caller's own stays


REFUSED = [
    ({"source": "mnist-mlp-bn", "example_shape": None}, UsageError),
    ({"source": "no.such:net", "example_shape": (1, 6, 6)}, UsageError),
    ({"source": "mnist-mlp-bn", "example_shape": (1, 6)}, UsageError),
    ({"source": "mnist-mlp-bn", "example_shape": (1, 6, 6), "weights": "none.pt"}, UsageError),
]


@pytest.mark.parametrize(("given", "error"), REFUSED, ids=lambda v: str(v)[:60])
def test_refused(given, error):
    with pytest.raises(error):
        export(**given)


@pytest.mark.parametrize(("classes", "error", "told"), [
    (7, UsageError, "--classes 4"), (4, DataError, "do not fit"),
], ids=["other-classes", "other-size"])  # fmt: skip
def test_weights_that_do_not_fit(tmp_path, classes, error, told):
    save_file(small().state_dict(), tmp_path / "w.safetensors")
    shape = (1, 6, 6) if error is UsageError else (1, 8, 8)
    with pytest.raises(error) as caught:
        export("mnist-mlp-bn", shape, weights=tmp_path / "w.safetensors", classes=classes)
    assert told in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize(
    "given", [((0.1, 0.2), (1.0,)), ((0.1,), (0.0,)), ((0.1,), (float("nan"),))]
)
def test_no_normalisation(given):
    with pytest.raises(UsageError):
        normalized(small(), given, 1)


def test_normalisation_a_channel():
    made = Normalized(torch.nn.Identity(), (0.0, 1.0), (1.0, 2.0))
    out = made(torch.ones(1, 2, 1, 1) * 5)
    assert out.flatten().tolist() == [5.0, 2.0]


def test_a_type_that_overflows():
    network = small()
    with torch.no_grad():
        network.logits.bias.fill_(1e6)
    with pytest.raises(ModelError, match=r"logits\.bias"):
        cast(network, "float16")
