"""Train, export, evaluate, calibrate, quickstart: the commands on a small real run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from bnfold import training
from bnfold.training import ensemble, evaluate_torch, load_data
from bnfold_cli.main import run as call
from tests.cli.conftest import Answer

Call = Callable[..., Answer]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two epochs on the digits."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    command = ["-q", "train", "--preset", "digits", "--set", "epochs=2", "--out", str(folder)]
    assert call(command) == 0
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of that run."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


def norms(path: Path) -> int:
    return sum(made.op_type == "BatchNormalization" for made in onnx.load(path).graph.node)


def test_a_run_is_not_overwritten(bnfold: Call, run: Path) -> None:
    before = (run / "metrics.jsonl").read_bytes()
    answer = bnfold("train", "--preset", "digits", "--out", run)
    assert answer.code == 2
    assert "--resume" in answer.err
    assert (run / "metrics.jsonl").read_bytes() == before


def test_resume_ends_where_it_ended(bnfold: Call, run: Path) -> None:
    answer = bnfold(
        "train", "--preset", "digits", "--set", "epochs=2", "--out", run, "--resume", "--json"
    )
    assert answer.code == 0
    assert answer.json["schema"] == "bnfold.train/1"
    assert answer.json["accuracy"] > 0.9


def test_export_keeps_the_norms(bnfold: Call, run: Path) -> None:
    assert bnfold("export", run).code == 0
    assert norms(run / "model.onnx") == 7
    answer = bnfold("export", run, "-o", run / "folded.onnx", "--fold", "--verify", "--json")
    assert answer.code == 0
    assert answer.json["verification"]["ok"]
    assert norms(run / "folded.onnx") == 0


def test_export_an_ensemble(bnfold: Call, run: Path, tmp_path: Path) -> None:
    """Two members in one graph: what it answers is the mean of what they do, folded or not."""
    other = tmp_path / "other"
    bnfold("train", "--preset", "digits", "--set", "epochs=1", "--set", "seed=1", "--out", other)
    out = tmp_path / "two.onnx"
    assert bnfold("export", run, other, "-o", out).code == 2
    assert bnfold("export", "--ensemble", run, other).code == 2
    assert not out.exists()
    answer = bnfold("export", "--ensemble", run, other, "-o", out, "--fold", "--verify", "--json")
    assert answer.code == 0, answer.err
    assert answer.json["source"] == [str(run), str(other)]
    assert answer.json["fold"]["before"]["batchnorms"] == 14
    assert norms(out) == 0
    share = bnfold("evaluate", out, "--data", "digits", "--json").json["accuracy"]
    assert share == pytest.approx(evaluate_torch(ensemble([run, other]).model, load_data("digits"),
                                                 device="cpu").accuracy, abs=1 / 360)  # fmt: skip


def test_members_that_disagree(bnfold: Call, run: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(run, tmp_path / "other"))
    (manifest,) = (other / "checkpoints").glob("step-*/manifest.json")
    manifest.write_text(manifest.read_text().replace('"top": 16', '"top": 255'))
    answer = bnfold("export", "--ensemble", run, other, "-o", tmp_path / "two.onnx")
    assert answer.code == 6
    assert "disagree on top: 16" in answer.err
    assert not (tmp_path / "two.onnx").exists()


def test_export_says_where_to_write_a_checkpoint(bnfold: Call, run: Path) -> None:
    (checkpoint,) = (run / "checkpoints").glob("step-*")
    answer = bnfold("export", checkpoint)
    assert answer.code == 2
    assert "-o OUT.onnx" in answer.err
    assert bnfold("export", checkpoint, "-o", run / "c.onnx").code == 0


@pytest.mark.parametrize("command", ["export", "evaluate", "calibrate"])
def test_damaged_checkpoint(bnfold: Call, run: Path, command: str) -> None:
    (weights,) = (run / "checkpoints").glob("step-*/weights.safetensors")
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    answer = bnfold(command, run)
    assert answer.code == 6
    assert answer.err.startswith("error: ")
    assert not (run / "model.onnx").exists()


def test_checkpoint_of_another_model(bnfold: Call, run: Path) -> None:
    (manifest,) = (run / "checkpoints").glob("step-*/manifest.json")
    told = json.loads(manifest.read_text())
    manifest.write_text(
        json.dumps(told).replace('"model": {"name": "digits"', '"model": {"name": "resnet8"')
    )
    answer = bnfold("export", run)
    assert answer.code == 6
    assert answer.err.startswith("error: ")


def test_evaluate_agrees(bnfold: Call, run: Path) -> None:
    """In torch, and in ONNX Runtime after folding."""
    bnfold("export", run, "-o", run / "f.onnx", "--fold")
    in_torch = bnfold("evaluate", run, "--json").json
    in_runtime = bnfold("evaluate", run / "f.onnx", "--data", "digits", "--json").json
    assert in_torch["accuracy"] == pytest.approx(in_runtime["accuracy"], abs=1 / 360)
    assert in_runtime["count"] == 360


def test_evaluate_crops(bnfold: Call, run: Path) -> None:
    """Nine views each: torch and ONNX Runtime agree, and it is not the single view's number."""
    bnfold("export", run, "-o", run / "f.onnx", "--fold")
    of_run = bnfold("evaluate", run, "--crops", "shifted", "--json").json
    of_file = bnfold(
        "evaluate", run / "f.onnx", "--data", "digits", "--crops", "shifted", "--json"
    ).json
    assert of_run["accuracy"] == pytest.approx(of_file["accuracy"], abs=1 / 360)
    assert of_run["top5"] == pytest.approx(of_file["top5"], abs=1 / 360)
    assert of_run["top5"] >= of_run["accuracy"]
    assert of_run["accuracy"] != bnfold("evaluate", run, "--json").json["accuracy"]
    assert "9 crops each" in bnfold("evaluate", run, "--crops", "shifted").out
    assert bnfold("evaluate", run, "--crops", "googlenet").code == 2


def test_evaluate_refuses_what_does_not_fit(bnfold: Call, run: Path, model: Path) -> None:
    assert bnfold("evaluate", model).code == 2
    answer = bnfold("evaluate", model, "--data", "digits")  # 3 channels of 8x8
    assert answer.code == 6
    assert "(64, 1, 8, 8)" in answer.err
    assert bnfold("evaluate", run / "none.onnx", "--data", "digits").code == 2


def test_calibrate_again(bnfold: Call, run: Path, tmp_path: Path) -> None:
    answer = bnfold("calibrate", run, "--batches", "5", "-o", tmp_path / "again", "--json")
    assert answer.code == 0
    assert answer.json["layers"] == 7
    assert bnfold("evaluate", tmp_path / "again").code == 0


def test_quickstart_twice(bnfold: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second tour starts over cleanly; what it prints names the files."""
    short = {"digits": replace(training.PRESETS["digits"], epochs=4)}
    monkeypatch.setattr(training, "preset", short.__getitem__)
    first = bnfold("quickstart", "--out", tmp_path / "q", "--device", "cpu", "--json")
    assert first.code == 0, first.err
    assert first.json["ok"]
    assert first.json["fold"]["before"]["batchnorms"] == 7
    assert first.json["fold"]["after"]["batchnorms"] == 0
    assert min(first.json["accuracy"].values()) >= 0.97
    files = {path: path.read_bytes() for path in (tmp_path / "q").glob("*.onnx")}
    assert len(files) == 2
    second = bnfold("quickstart", "--out", tmp_path / "q", "--device", "cpu")
    assert second.code == 0, second.err
    assert all(str(path) in second.out for path in files)
    assert "verifying" in second.err
    assert {path: path.read_bytes() for path in files} == files
    assert not list((tmp_path / "q").rglob("*.tmp"))
