"""`bnfold bench`: every option by its effect, every bad input by its line and exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from tests.cli.conftest import Answer

pytest.importorskip("onnxruntime")
Call = Callable[..., Answer]


@pytest.fixture
def folded(bnfold: Call, model: Path) -> Path:
    bnfold("-q", "fold", model)
    return model.with_name("m.folded.onnx")


@pytest.fixture
def baseline(bnfold: Call, model: Path, tmp_path: Path) -> Path:
    path = tmp_path / "then.json"
    path.write_text(bnfold("bench", model, "--quick", "--json").out)
    return path


def test_page_and_json_tell_the_same(bnfold: Call, model: Path, folded: Path) -> None:
    asked = ("bench", model, folded, "--quick", "--optimization", "basic", "--threads", "2")
    answer = bnfold(*asked, "--seed", "3", "--batch", "1,2", "--json")
    assert answer.code == 0, answer.err
    told = answer.json
    assert (told["optimization"], told["threads"], told["seed"]) == ("basic", 2, 3)
    assert [row["case"] for row in told["rows"]] == ["batch 1"] * 3 + ["batch 2"] * 3
    assert told["controls"][0]["sentence"].startswith("A/A check")
    page = bnfold(*asked).out
    for words in (
        "m.folded.onnx",
        "A/A check",
        "nodes left",
        "spinning",
        "optimisation basic",
    ):
        assert words in page


def test_shapes_are_a_list(bnfold: Call, model: Path) -> None:
    value = onnx.load(model).graph.input[0]
    dims = [d.dim_value or 1 for d in value.type.tensor_type.shape.dim][1:]
    size = "x".join(map(str, dims))
    asked = ("bench", model, "--quick", "--json", "--shape", f"{value.name}={size}")
    assert {row["case"] for row in bnfold(*asked).json["rows"]} == {"batch 1"}
    again = bnfold(*asked, "--shape", f"{value.name}=1x{size}").json
    cases = {f"batch 1, {value.name} {size}", f"batch 1, {value.name} 1x{size}"}
    assert {row["case"] for row in again["rows"]} == cases


def test_report_is_a_page(bnfold: Call, model: Path, tmp_path: Path) -> None:
    path = tmp_path / "r.html"
    assert bnfold("bench", model, "--quick", "--report", path).code == 0
    assert path.read_text().startswith("<!doctype html>")


def test_baseline_of_itself_is_no_regression(bnfold: Call, model: Path, baseline: Path) -> None:
    asked = ("bench", model, "--quick", "--baseline", baseline, "--max-regress", "900%")
    answer = bnfold(*asked, "--json")
    if answer.code == 5:
        pytest.skip("this machine is too noisy now")
    assert answer.code == 0, answer.err
    assert answer.json["regression"]["max_regress"] == 9.0
    assert answer.json["regression"]["changes"][0]["label"] == "m.onnx"


def test_a_proven_regression_is_exit_4(bnfold: Call, model: Path, baseline: Path) -> None:
    """The stored runs are made a thousandfold faster than they were."""
    told = json.loads(baseline.read_text())
    for row in told["rows"]:
        row["cpu_ms"] = [[run / 1000 for run in runs] for runs in row["cpu_ms"]]
    baseline.write_text(json.dumps(told))
    answer = bnfold("bench", model, "--quick", "--baseline", baseline, "--json")
    if answer.code == 5:
        pytest.skip("this machine is too noisy now")
    assert answer.code == 4
    assert "slower, proven" in answer.json["error"]["message"]
    assert not answer.json["regression"]["ok"]


def test_a_baseline_of_another_machine(bnfold: Call, model: Path, baseline: Path) -> None:
    told = json.loads(baseline.read_text())
    told["machine"]["cpu"] = "abacus"
    baseline.write_text(json.dumps(told))
    answer = bnfold("bench", model, "--quick", "--baseline", baseline)
    assert answer.code == 6
    assert "another machine or setting: cpu" in answer.err
    assert bnfold("bench", model, "--quick", "--baseline", baseline, "--force").code in (0, 4, 5)


def test_self_test(bnfold: Call) -> None:
    answer = bnfold("bench", "--self-test", "1", "--quick", "--json")
    assert answer.code == 0, answer.err
    assert answer.json["all"]["equal"] == answer.json["all"]["planted"] == 1


REFUSED = {
    "no model": ([], 2, "no model"),
    "missing file": (["none.onnx"], 2, "none.onnx"),
    "not a model": (["broken.onnx"], 3, "broken.onnx"),
    "self-test of a model": (["m.onnx", "--self-test", "2"], 2, "--self-test takes no model"),
    "self-test on cuda": (["--self-test", "2", "--provider", "cuda"], 2, "CPU"),
    "self-test of none": (["--self-test", "0"], 2, "--self-test"),
    "share alone": (["m.onnx", "--max-regress", "3%"], 2, "goes with --baseline"),
    "force alone": (["m.onnx", "--force"], 2, "goes with --baseline"),
    "share in words": (["m.onnx", "--max-regress", "3"], 2, "3% or 0.03"),
    "page that is none": (["m.onnx", "--report", "r.txt"], 2, "FILE.html"),
    "page nowhere": (["m.onnx", "--report", "no/r.html"], 6, "no/r.html"),
    "option without value": (["m.onnx", "--provider-option", "use_tf32"], 2, "KEY=VALUE"),
    "missing baseline": (["m.onnx", "--baseline", "none.json"], 2, "none.json"),
    "damaged baseline": (["m.onnx", "--baseline", "broken.onnx"], 6, "broken.onnx"),
    "foreign baseline": (["m.onnx", "--baseline", "other.json"], 6, "bnfold.verify/1"),
    "no threads": (["m.onnx", "--threads", "0"], 2, "--threads"),
    "no such level": (["m.onnx", "--optimization", "max"], 2, "--optimization"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(
    bnfold: Call, case: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(model.parent)
    Path("broken.onnx").write_bytes(b"\x08\x07")
    Path("other.json").write_text('{"schema": "bnfold.verify/1"}')
    arguments, code, words = REFUSED[case]
    answer = bnfold("bench", *arguments)
    assert answer.code == code, answer.err
    assert words in answer.err
    assert answer.out == ""
