"""Half precision and int8 after folding: what fits, what is kept, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto

import bnfold
from bnfold.deployment.halves import narrowed
from bnfold.deployment.int8 import spreads
from bnfold.errors import CheckFailed, DataError, EnvironmentLacks, UsageError
from bnfold.verification.cases import Case
from tests.build import make_model, node, randn, tensor, value
from tests.deployment.nets import net, saved

RNG = np.random.default_rng(0)
W = randn(RNG, 4, 3, 3, 3, scale=0.2)
X = RNG.standard_normal((2, 3, 8, 8)).astype(np.float32)


def conv(*, weight: np.ndarray = W, scale: float = 1.0, back: float = 1.0) -> onnx.ModelProto:
    """Mul by a constant, Conv, Mul by a constant, Sigmoid."""
    nodes = [
        node("Mul", ["x", "k"], "m"),
        node("Conv", ["m", "w"], "c"),
        node("Mul", ["c", "b"], "d"),
        node("Sigmoid", ["d"], "y"),
    ]
    scales = {"k": scale, "b": back}
    weights = [tensor(name, np.float32(value)) for name, value in scales.items()]
    weights.append(tensor("w", weight))
    return make_model(nodes, [value("x", ["n", 3, 8, 8])], ["y"], weights, opset=17, ir=8)


def run(model: onnx.ModelProto) -> np.ndarray:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": X})[0]  # type: ignore[no-any-return]


def dead_channel() -> np.ndarray:
    weight = W.copy()
    weight[1] *= 1e-8
    return weight


# model, the tensor that does not fit, how
KEPT = {
    "fits": (conv(), "", ""),
    "weight-overflows": (conv(weight=W * np.float32(1e6), scale=1e-6), "w", "overflows"),
    "activation-overflows": (conv(scale=3e4, back=1 / 3e4), "m", "overflows"),
    "channel-vanishes": (conv(weight=dead_channel()), "w", "vanishes"),
    "constant-vanishes": (conv(weight=W * np.float32(1e3), scale=1e-9, back=1e6), "k", "vanishes"),
}


@pytest.mark.parametrize(("model", "tensor_name", "word"), KEPT.values(), ids=KEPT)
def test_what_does_not_fit_stays_float32(
    model: onnx.ModelProto, tensor_name: str, word: str
) -> None:
    made = narrowed(model, "float16", [Case("x", {"x": X})])
    assert bool(made.kept) == bool(word)
    assert not word or any(f"{tensor_name} {word}" in kept for kept in made.kept)
    onnx.checker.check_model(made.model, full_check=True)
    exact = run(model)
    error = np.sqrt(np.mean((run(made.model) - exact) ** 2)) / np.sqrt(np.mean(exact**2))
    assert error < 4 * 2.0**-11
    assert [i.type.tensor_type.elem_type for i in made.model.graph.input] == [TensorProto.FLOAT]


def test_nothing_left_is_refused() -> None:
    model = conv(weight=W * np.float32(1e9), scale=1e9, back=1e9)
    with pytest.raises(CheckFailed, match="nothing of this model can be float16"):
        narrowed(model, "float16", [Case("x", {"x": X})])


def test_a_kept_tensor_passes_through_no_half() -> None:
    """Between two nodes in float32 there is no cast: it would overflow there."""
    nodes = [node("Mul", ["x", "k"], "m"), node("Mul", ["m", "j"], "p"), node("Relu", ["p"], "y")]
    weights = [tensor("k", np.float32(1e5)), tensor("j", np.float32(1e-5))]
    model = make_model(nodes, [value("x", ["n", 3, 8, 8])], ["y"], weights, opset=17, ir=8)
    made = narrowed(model, "float16", [Case("x", {"x": X})])
    np.testing.assert_allclose(run(made.model), run(model), rtol=2e-3)


def test_float16_from_end_to_end(tmp_path: Path) -> None:
    made = bnfold.deploy(net(tmp_path / "m.onnx"), tmp_path / "d", dtype="float16")
    told = json.loads((tmp_path / "d" / "ranges.json").read_text())["tensors"]
    assert {row["verdict"] for row in told} == {"fits"}
    assert all(row["max_abs"] >= row["max_abs_after"] * 0.99 for row in told)
    assert made.manifest["precision"]["agreement"][0]["rms_relative"] < 1e-2
    assert bnfold.check(tmp_path / "d").ok
    kinds = {t.data_type for t in onnx.load(tmp_path / "d" / "model.onnx").graph.initializer}
    assert TensorProto.FLOAT16 in kinds


def test_bfloat16_is_for_cuda(tmp_path: Path) -> None:
    model = net(tmp_path / "m.onnx")
    with pytest.raises(EnvironmentLacks, match="Conv"):
        bnfold.deploy(model, tmp_path / "d", dtype="bfloat16", target="ort:1.22")
    with pytest.raises(CheckFailed, match="opset 22"):
        bnfold.deploy(model, tmp_path / "d", dtype="bfloat16", target="ort:1.18", provider="cuda")
    assert not (tmp_path / "d").exists()
    made = bnfold.deploy(
        model, tmp_path / "d", dtype="bfloat16", target="ort:1.22", provider="cuda"
    )
    assert made.check is None
    assert made.manifest["runtime"]["provider"] == "CUDAExecutionProvider"
    onnx.checker.check_model(onnx.load(tmp_path / "d" / "model.onnx"), full_check=True)


def test_int8_from_end_to_end(tmp_path: Path) -> None:
    np.savez(tmp_path / "c.npz", x=RNG.standard_normal((20, 3, 8, 8)).astype(np.float32))
    made = bnfold.deploy(
        net(tmp_path / "m.onnx"), tmp_path / "d", quantize="int8", calibration=tmp_path / "c.npz"
    )
    told = made.manifest["precision"]
    assert told["quantised"] > 0
    assert told["agreement"][0]["top1"] >= 0.9
    assert [row["op"] for row in told["before"]] == [row["op"] for row in told["after"]]
    model = onnx.load(tmp_path / "d" / "model.onnx")
    assert "DequantizeLinear" in {made.op_type for made in model.graph.node}
    assert bnfold.check(tmp_path / "d").ok


def test_spread_is_the_largest_channel_over_the_median() -> None:
    weight = np.ones((4, 3, 3, 3), np.float32) * np.float32([1, 1, 1, 8]).reshape(-1, 1, 1, 1)
    assert spreads(conv(weight=weight))[0]["spread"] == 8.0


CALIBRATION = {
    "wrong-shape": (np.zeros((4, 3, 8, 7), np.float32), DataError),
    "wrong-rank": (np.zeros((4, 8), np.float32), DataError),
    "empty": (np.zeros((0, 3, 8, 8), np.float32), DataError),
    "nan": (np.full((4, 3, 8, 8), np.nan, np.float32), DataError),
    "absent": (None, UsageError),
}


@pytest.mark.parametrize(("array", "kind"), CALIBRATION.values(), ids=CALIBRATION)
def test_bad_calibration(tmp_path: Path, array: np.ndarray | None, kind: type[Exception]) -> None:
    if array is not None:
        np.savez(tmp_path / "c.npz", x=array)
    with pytest.raises(kind):
        bnfold.deploy(
            net(tmp_path / "m.onnx"),
            tmp_path / "d",
            quantize="int8",
            calibration=tmp_path / "c.npz",
        )
    assert not (tmp_path / "d").exists()


def test_words_that_exclude_each_other(tmp_path: Path) -> None:
    model = saved([node("Relu", ["x"], "y")], [], tmp_path / "m.onnx")
    for asked in ({"quantize": "int8"}, {"quantize": "int8", "dtype": "float16"}, {"dtype": "f8"}):
        with pytest.raises(UsageError):
            bnfold.deploy(model, tmp_path / "d", **asked)
