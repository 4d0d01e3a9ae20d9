"""`bnfold deploy` and `bnfold check` as CI calls them, and what check imports."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bnfold.deployment import smoke, standalone
from bnfold_cli.main import run
from tests.deployment.nets import net


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("commands")
    model = net(place / "m.onnx")
    assert run(["-q", "deploy", str(model), "--to", str(place / "d"), "--target", "ort:1.18"]) == 0
    return place / "d"


def test_json_and_junit(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", str(folder), "--json", "--junit", str(tmp_path / "j.xml")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["schema"] == "bnfold.check/1"
    assert told["ok"]
    suite = ElementTree.parse(tmp_path / "j.xml").getroot()
    assert suite.attrib["failures"] == "0"
    assert int(suite.attrib["tests"]) == len(told["findings"])


def test_one_line_of_latency(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("cold start ")
    assert "CPUExecutionProvider, onnxruntime " in lines[-1]


def test_exit_codes(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(folder.parent / "m.onnx")
    cases = [
        (["check", str(tmp_path / "none")], 2),
        (["check", str(tmp_path)], 4),
        (["check", str(folder), "--provider", "tensorrt"], 5),
        (["check", str(folder), "--provider", "abacus"], 2),
        (["deploy", model, "--to", str(tmp_path / "x"), "--target", "ort:0.1"], 2),
        (["deploy", model, "--to", str(tmp_path / "no" / "x")], 6),
        (["deploy", str(tmp_path / "none.onnx"), "--to", str(tmp_path / "x")], 2),
        (["deploy", model, "--to", model], 2),
        (["deploy", model, "--to", str(folder.parent)], 2),
    ]
    for words, code in cases:
        assert run(words) == code, words
        told = capsys.readouterr()
        assert told.err.startswith("error: "), words
        assert told.out == ""
    assert not (tmp_path / "x").exists()


def test_check_writes_over_no_deployed_file(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (folder / "model.onnx").read_bytes()
    assert run(["check", str(folder), "--junit", str(folder / "model.onnx")]) == 2
    assert "file of the deployment" in capsys.readouterr().err
    assert (folder / "model.onnx").read_bytes() == before


def test_check_imports_little(folder: Path) -> None:
    """It starts in what onnxruntime's import takes: no onnx, no console, no protobuf."""
    code = (
        "import sys; from bnfold_cli.main import run; run(sys.argv[1:]);"
        "print(sorted({'onnx', 'rich', 'google.protobuf', 'torch'} & set(sys.modules)))"
    )
    words = [sys.executable, "-c", code, "-q", "check", str(folder)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_stand_alone_file_needs_nothing_of_bnfold(tmp_path: Path) -> None:
    """Every module is in it, and it runs where only the standard library is."""
    modules = {path.stem for path in Path(smoke.__file__).parent.glob("*.py")} - {"__init__"}
    assert modules == set(standalone.ORDER)
    text = standalone.text()
    assert "import bnfold" not in text
    assert "from bnfold" not in text
    (tmp_path / "check.py").write_text(text, "utf-8")
    words = [sys.executable, "-I", "-S", str(tmp_path / "check.py"), str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 4
    assert "manifest.json is missing" in done.stderr
