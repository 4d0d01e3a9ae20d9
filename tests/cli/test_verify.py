"""`bnfold verify`, `bench` and `doctor`: what they print, and their exit codes."""

from __future__ import annotations

import sys
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


def test_files(bnfold: Call, model: Path, wrong: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are written though the verdict is bad: that is when they are read."""
    monkeypatch.chdir(model.parent)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    options = "--junit", "v.xml", "--report", "v.html", "--save-inputs", "in.npz", "--layers"
    answer = bnfold("verify", model, wrong, *options, "--json")
    assert answer.code == 4
    assert answer.json["written"] == ["v.xml", "v.html", "in.npz"]
    assert "<failure" in Path("v.xml").read_text()
    assert Path("v.html").read_text().startswith("<!doctype html>")
    assert "::error title=bnfold verify::" in answer.err
    again = bnfold("verify", model, wrong, "--inputs", "in.npz", "--json")
    assert again.json["outputs"] == answer.json["outputs"]
    assert bnfold("verify", model, wrong, "--inputs", "in.npz", "--max-bytes", "100").code == 6
    assert bnfold("verify", model, wrong, "--report", model).code == 2
    assert bnfold("verify", model, wrong, "--report", "nowhere/v.html").code == 6


@pytest.mark.parametrize(
    ("metric", "code", "said"),
    [
        ("tasks:zero", 0, "metric: 0 original, 0 candidate"),
        ("tasks:absent", 2, "has no 'absent'"),
        ("nothing:zero", 2, "cannot import 'nothing'"),
        ("tasks", 2, "is not package.module:callable"),
        ("tasks:fails", 2, "the metric fails: ZeroDivisionError"),
    ],
)
def test_metric(
    bnfold: Call,
    model: Path,
    folded: Path,
    monkeypatch: pytest.MonkeyPatch,
    metric: str,
    code: int,
    said: str,
) -> None:
    monkeypatch.chdir(model.parent)
    monkeypatch.setattr("sys.path", [*sys.path])
    Path("tasks.py").write_text("def zero(run):\n    return 0\ndef fails(run):\n    return 1 / 0\n")
    answer = bnfold("verify", model, folded, "--batch", "1", "--metric", metric)
    sys.modules.pop("tasks", None)
    assert answer.code == code
    assert said in answer.out + answer.err


def test_bisect(bnfold: Call, model: Path, folded: Path, wrong: Path) -> None:
    assert bnfold("bisect", model, "--batch", "1").code == 0
    assert bnfold("bisect", model, folded).code == 0
    answer = bnfold("bisect", model, wrong, "--json")
    assert answer.code == 4
    assert answer.json["schema"] == "bnfold.bisect/1"
    assert answer.json["node"].startswith("Conv")
    assert answer.json["tensor"] in answer.json["error"]["message"]
