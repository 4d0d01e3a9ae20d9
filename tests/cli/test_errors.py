"""Bad input: one clear line, the contract's exit code, nothing overwritten."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bnfold_cli.main import run
from tests.cli.conftest import Answer

Call = Callable[..., Answer]


def told(answer: Answer) -> str:
    """The one error line; under it at most a hint."""
    lines = answer.err.splitlines()
    assert lines[0].startswith("error: ")
    assert all(line.startswith("hint: ") for line in lines[1:])
    assert len(lines) <= 2
    assert answer.out == ""
    return lines[0]


READERS = ("fold", "inspect")


@pytest.mark.parametrize("command", READERS)
def test_missing_file(bnfold: Call, command: str, tmp_path: Path) -> None:
    answer = bnfold(command, tmp_path / "none.onnx")
    assert answer.code == 2
    assert "no such file" in told(answer)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", READERS)
def test_folder_in_place_of_a_file(bnfold: Call, command: str, tmp_path: Path) -> None:
    answer = bnfold(command, tmp_path)
    assert answer.code == 2
    assert "folder" in told(answer)


@pytest.mark.parametrize("command", READERS)
@pytest.mark.parametrize("bad", ["empty", "text", "truncated"])
def test_no_model(bnfold: Call, command: str, bad: str, model: Path) -> None:
    sound = model.read_bytes()
    bytes_of = {"empty": b"", "text": b"no model at all\n" * 9, "truncated": sound[:-9]}
    model.write_bytes(bytes_of[bad])
    model.with_name("m.folded.onnx").write_bytes(b"an older result")
    answer = bnfold(command, model)
    assert answer.code == 3
    assert str(model) in told(answer)
    assert model.with_name("m.folded.onnx").read_bytes() == b"an older result"


def test_unwritable_output(bnfold: Call, model: Path, tmp_path: Path) -> None:
    (tmp_path / "protected.onnx").write_bytes(b"old")
    (tmp_path / "protected.onnx").chmod(0o444)
    for target in (tmp_path / "none" / "out.onnx", tmp_path / "protected.onnx"):
        answer = bnfold("fold", model, "-o", target)
        assert answer.code == 6
        assert "cannot write" in told(answer)
    assert (tmp_path / "protected.onnx").read_bytes() == b"old"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become someone who may not write")
def test_folder_without_the_right_to_write(model: Path, tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o555)
    model.chmod(0o644)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    code = (  # the first runs load every module: python itself may lie where only root can read
        "import os, sys; from bnfold_cli.main import run\n"
        "run(['fold', sys.argv[1]]); run(['fold', sys.argv[1], '-o', '/none/o.onnx'])\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "sys.exit(run(['fold', sys.argv[1], '-o', sys.argv[2]]))"
    )
    command = [sys.executable, "-c", code, str(model), str(tmp_path / "closed" / "o.onnx")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 6, done.stderr
    assert "cannot write" in done.stderr


def test_output_is_a_folder(bnfold: Call, model: Path, tmp_path: Path) -> None:
    answer = bnfold("fold", model, "-o", tmp_path)
    assert answer.code == 2
    assert "folder" in told(answer)


USAGE = {
    "unknown command": (["flod"], "flod"),
    "unknown option": (["fold", "m.onnx", "--fast"], "--fast"),
    "no argument": (["fold"], "IN.onnx"),
    "two outputs": (["fold", "m.onnx", "-o", "o.onnx", "--in-place"], "exclude"),
    "require": (["fold", "m.onnx", "--require", "some"], "all"),
    "batch": (["bench", "m.onnx", "--batch", "0"], "1,4"),
    "shape": (["bench", "m.onnx", "--shape", "3x4"], "NAME=DIMS"),
    "shape size": (["verify", "m.onnx", "m.onnx", "--shape", "x=big"], "sizes"),
    "one tolerance": (["verify", "m.onnx", "m.onnx", "--rtol", "1"], "--atol"),
    "opset": (["export", "run", "--opset", "9"], "9"),
    "nothing to train": (["train"], "--model"),
    "unknown model": (["train", "--model", "resnet80", "--data", "digits"], "resnet80"),
    "unknown data": (["train", "--model", "digits", "--data", "digist"], "digist"),
    "unknown preset": (["train", "--preset", "mnits"], "mnits"),
    "unknown key": (["train", "--preset", "mnist", "--set", "speed=3"], "speed"),
    "no such run": (["export", "no-run"], "no such run"),
    "no such run to calibrate": (["calibrate", "no-run"], "no such run"),
}


@pytest.mark.parametrize("case", USAGE)
def test_usage(bnfold: Call, case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    arguments, words = USAGE[case]
    answer = bnfold(*arguments)
    assert answer.code == 2
    assert words in answer.err
    told(answer)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("torch", ["train", "--model", "digits", "--data", "digits"]),
        ("torch", ["quickstart"]),
        ("torch", ["export", "run", "-o", "x.onnx"]),
        ("onnxruntime", ["verify", "m.onnx", "m.onnx"]),
        ("onnxruntime", ["bench", "m.onnx"]),
        ("onnxruntime", ["quickstart"]),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_something_is_not_installed(
    process: Call, model: Path, module: str, arguments: list[str], tmp_path_factory: Any
) -> None:
    hidden = tmp_path_factory.mktemp("hidden")
    (hidden / f"{module}.py").write_text(f"raise ModuleNotFoundError({module!r}, name={module!r})")
    answer = process(*arguments, PYTHONPATH=str(hidden))
    assert answer.code == 5, answer.err
    assert "bnfold[" in answer.err
    assert "Traceback" not in answer.err
    assert list(model.parent.iterdir()) == [model]


def test_a_bug_of_ours(bnfold: Call, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import bnfold as library

    def broken(*_: object) -> None:
        raise ZeroDivisionError("really\x1b[31m")

    monkeypatch.setattr(library, "inspect", broken)
    answer = bnfold("inspect", model)
    assert answer.code == 1
    assert "Traceback" in answer.err
    assert "error: a bug in bnfold: ZeroDivisionError" in answer.err
    assert "hint: please report it" in answer.err


def test_errors_as_json(bnfold: Call, tmp_path: Path) -> None:
    answer = bnfold("fold", "--json", tmp_path / "none.onnx")
    assert answer.json["schema"] == "bnfold.fold/1"
    assert answer.json["error"]["exit"] == answer.code == 2
    assert answer.json["error"]["code"] == "usage"
    assert answer.err.startswith("error: ")
    answer = bnfold("fold", "--json", "--no-such-option")
    assert answer.json["error"]["exit"] == answer.code == 2


def test_names_out_of_models_are_escaped(capsys: pytest.CaptureFixture[str], model: Path) -> None:
    data = model.read_bytes().replace(b"weight", b"w\x1b[31m")
    model.write_bytes(data)
    run(["--color", "never", "inspect", str(model)])
    told = capsys.readouterr()
    assert "\x1b" not in told.out + told.err


def test_traceback_only_with_vv(process: Call, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"no")
    assert "Traceback" not in process("inspect", "m.onnx").err
    assert "DecodeError" in process("-vv", "inspect", "m.onnx").err


def test_one_json_object_and_nothing_else(process: Call, model: Path) -> None:
    answer = process("-vv", "inspect", "--json", model)
    assert json.loads(answer.out)["schema"] == "bnfold.inspect/1"


def test_quiet_ends_with_its_command(tmp_path):
    """In a process that goes on, -q must not silence the library for good."""
    before = logging.getLogger("bnfold").level
    assert run(["-q", "inspect", str(tmp_path / "absent.onnx")]) == 2
    assert logging.getLogger("bnfold").level == before
