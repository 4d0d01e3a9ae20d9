"""Every hostile file meets every command: the contract's code, one line, nothing written."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bnfold_cli.main import run
from tests.corpus.build import MODELS, PLACES, build

LIMITED = 'ulimit -v 8000000; exec "$@"'
CODES = {**dict.fromkeys(MODELS, 3), **dict.fromkeys(PLACES, 2)}
COMMANDS: dict[str, Callable[[str, str], list[str]]] = {
    "inspect": lambda bad, _: ["inspect", bad],
    "fold": lambda bad, _: ["fold", bad],
    "verify": lambda bad, good: ["verify", good, bad],
    "bench": lambda bad, good: ["bench", "--quick", bad, good],
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus") / "files"
    build(folder)
    return folder


@pytest.mark.parametrize("name", CODES)
@pytest.mark.parametrize("command", ["inspect", "fold"])
def test_refused(corpus: Path, command: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    before, began = sorted(os.listdir(corpus)), time.monotonic()
    code = run(COMMANDS[command](str(corpus / f"{name}.onnx"), ""))
    told = capsys.readouterr()
    assert code == CODES[name], told.err
    _assert_plain(told.out, told.err)
    assert sorted(os.listdir(corpus)) == before
    assert time.monotonic() - began < 10


def _assert_plain(out: str, err: str) -> None:
    assert out == ""
    lines = err.splitlines()
    assert lines[0].startswith("error: ")
    assert all(line.startswith("hint: ") for line in lines[1:])
    assert not any((ord(c) < 32 and c != "\n") or 0x7F <= ord(c) < 0xA0 for c in err)
    assert "\u202e" not in err


@pytest.mark.slow
@pytest.mark.parametrize("name", CODES)
@pytest.mark.parametrize("command", COMMANDS)
def test_in_a_process_under_limits(corpus: Path, command: str, name: str) -> None:
    from bnfold import onnxfile
    from tests.onnxfile.small import conv_norm

    onnxfile.write(conv_norm(), corpus.parent / "good.onnx")
    arguments = COMMANDS[command](str(corpus / f"{name}.onnx"), str(corpus.parent / "good.onnx"))
    done = subprocess.run(
        ["bash", "-c", LIMITED, "_", sys.executable, "-m", "bnfold_cli", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == CODES[name], done.stderr
    _assert_plain(done.stdout, done.stderr)
