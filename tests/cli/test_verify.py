"""`bnfold verify`, `bench` and `doctor`: what they print, and their exit codes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.cli.conftest import Answer

Call = Callable[..., Answer]


@pytest.fixture
def folded(bnfold: Call, model: Path) -> Path:
    bnfold("-q", "fold", model)
    return model.with_name("m.folded.onnx")


@pytest.fixture
def wrong(folded: Path) -> Path:
    """One channel's bias is off by a thousandth."""
    model = onnx.load(folded)
    (bias,) = (tensor for tensor in model.graph.initializer if len(tensor.dims) == 1)
    values = np.array(onnx.numpy_helper.to_array(bias))
    values[1] += 1e-3
    bias.raw_data = values.tobytes()
    onnx.save(model, folded.with_name("wrong.onnx"))
    return folded.with_name("wrong.onnx")


def test_equivalent(bnfold: Call, model: Path, folded: Path) -> None:
    answer = bnfold("verify", model, folded, "--batch", "1,2", "--layers")
    assert answer.code == 0, answer.err
    assert answer.out.startswith("equivalent")
    data = bnfold("verify", model, folded, "--json").json
    assert data["schema"] == "bnfold.verify/1"
    assert data["ok"]
    assert data["outputs"][0]["name"] == "y"


def test_not_equivalent(bnfold: Call, model: Path, wrong: Path) -> None:
    answer = bnfold("verify", model, wrong)
    assert answer.code == 4
    assert answer.err.startswith("error: ")
    answer = bnfold("verify", model, wrong, "--json")
    assert answer.json["error"]["exit"] == answer.code == 4
    assert not answer.json["ok"]


def test_a_tolerance_of_ones_own(bnfold: Call, model: Path, wrong: Path) -> None:
    assert bnfold("verify", model, wrong, "--rtol", "0", "--atol", "0.1").code == 0
    assert bnfold("verify", model, wrong, "--rtol", "0", "--atol", "1e-9").code == 4


def test_cuda_is_never_replaced_silently(bnfold: Call, model: Path, folded: Path) -> None:
    answer = bnfold("verify", model, folded, "--provider", "cuda")
    assert answer.code in (0, 5)  # 0 only where a CUDA device is


def test_bench(bnfold: Call, model: Path, folded: Path) -> None:
    answer = bnfold("bench", model, folded, "--quick", "--json")
    assert answer.code == 0, answer.err
    assert answer.json["schema"] == "bnfold.bench/1"
    assert {"m.onnx", "m.folded.onnx"} <= {row["label"] for row in answer.json["rows"]}
    assert answer.json["comparisons"][0]["sentence"]


def test_doctor(bnfold: Call) -> None:
    answer = bnfold("doctor", "--json")
    assert answer.json["schema"] == "bnfold.doctor/1"
    assert answer.code == (0 if answer.json["ok"] else 5)
    assert "numpy" in bnfold("doctor").out
