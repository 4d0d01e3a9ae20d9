"""Signals and closed pipes: the contract's exit codes, and no half-written file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

# fold, held up at the moment between the temporary file and its rename
HELD = """
import os, sys, time
real = os.replace
def held(*paths):
    print("ready", flush=True)
    time.sleep(30)
    real(*paths)
os.replace = held
from bnfold_cli.main import main
main(["fold", *sys.argv[1:]])
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_leaves_the_old_file(model: Path, number: signal.Signals, code: int) -> None:
    target = model.with_name("out.onnx")
    target.write_bytes(b"old")
    command = [sys.executable, "-c", HELD, str(model), "-o", str(target)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        assert [p for p in model.parent.iterdir() if p.suffix == ".tmp"]
        process.send_signal(number)
        _, err = process.communicate(timeout=20)
    assert process.returncode == code, err
    assert err.startswith("error: ")
    assert "Traceback" not in err
    assert target.read_bytes() == b"old"
    assert {path.name for path in model.parent.iterdir()} == {"m.onnx", "out.onnx"}


def test_a_closed_pipe_is_no_error_to_talk_about(model: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "bnfold_cli", "inspect", "--json", str(model)]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert done.returncode == 141
    assert done.stderr == ""
