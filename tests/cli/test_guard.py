"""A command whose process is lost to native code still answers, in one line and in time."""

from __future__ import annotations

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


def test_under_a_limit_from_outside(model: Path) -> None:
    limited = ["bash", "-c", 'ulimit -v 4000000; exec "$@"', "_", sys.executable, "-m"]
    command = [*limited, "bnfold_cli", "inspect", str(model)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
