"""A command whose process is lost to native code still answers, in one line and in time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# `inspect`, with onnx's shape inference replaced by what a hostile file makes of it
LOST = """
import ctypes, os, sys, time
import onnx.shape_inference
from bnfold import child
def abort(*_, **__):
    os.abort()
def hang(*_, **__):  # holds the lock of the interpreter, as native code does
    ctypes.PyDLL(None).sleep(60)
def hungry(*_, **__):
    bytearray(1 << 60)
onnx.shape_inference.infer_shapes = {"abort": abort, "hang": hang, "hungry": hungry}[sys.argv[1]]
if sys.argv[1] == "hang":
    real = child.native_call
    child.native_call = lambda: real(1.0)
from bnfold_cli.main import main
main(["--color", "never", "inspect", *sys.argv[2:]])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
@pytest.mark.parametrize(
    ("how", "code", "words"),
    [("abort", 3, "SIGABRT"), ("hang", 3, "no answer within"), ("hungry", 0, "")],
)
def test_lost_to_native_code(model: Path, how: str, code: int, words: str) -> None:
    command = [sys.executable, "-c", LOST, how, str(model)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == bool(words)


def test_a_lost_command_answers_in_json(model: Path) -> None:
    command = [sys.executable, "-c", LOST, "abort", "--json", str(model)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50)
    assert done.returncode == 3
    assert '"exit": 3' in done.stdout


# a command that is lost while temporary files and folders lie about
LOST_AT_WORK = """
import ctypes, os, sys
from bnfold import child
from bnfold.deployment import rollout
from bnfold.verification import judge
def hang(*_, **__):
    with child.native_call(1.0):
        ctypes.PyDLL(None).sleep(60)
rollout.check_apart = judge.fitting = hang
if sys.argv[1] == "write":
    os.replace = hang
from bnfold_cli.main import main
main(["--color", "never", *sys.argv[2:]])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the ledger of what lies about is Linux's")
@pytest.mark.parametrize(
    "words", ["write fold {m}", "run verify {m} {m}", "run deploy {m} --to {d}/new"]
)
def test_nothing_lies_about_when_it_is_lost(model: Path, tmp_path: Path, words: str) -> None:
    scratch, place = tmp_path / "scratch", tmp_path / "place"
    scratch.mkdir(), place.mkdir()
    here = sorted(os.listdir(model.parent))
    done = subprocess.run(
        [sys.executable, "-c", LOST_AT_WORK, *words.format(m=model, d=place).split()],
        capture_output=True,
        text=True,
        timeout=50,
        env={**os.environ, "TMPDIR": str(scratch)},
    )
    assert done.returncode == 3, done.stderr
    assert "no answer within" in done.stderr
    ours = [name for name in os.listdir(scratch) if name != ".ses"]  # ONNX Runtime's own
    assert not ours
    assert not os.listdir(place)
    assert sorted(os.listdir(model.parent)) == here


def test_under_a_limit_from_outside(model: Path) -> None:
    limited = ["bash", "-c", 'ulimit -v 4000000; exec "$@"', "_", sys.executable, "-m"]
    command = [*limited, "bnfold_cli", "inspect", str(model)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
