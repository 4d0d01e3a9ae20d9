"""kill -9 at a random moment, and a disk that is full: what stands is the old or the new, whole."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bnfold import onnxfile
from bnfold_cli.main import run
from tests.onnxfile.small import conv_norm

KINDS = ("file", "pair", "folder")


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
@pytest.mark.parametrize(
    ("kind", "rounds"),
    [(kind, 5) for kind in KINDS]
    + [pytest.param(kind, 40, marks=pytest.mark.slow) for kind in KINDS],
)
def test_killed_at_any_moment(tmp_path: Path, kind: str, rounds: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.onnxfile.killed", kind, str(rounds), str(tmp_path / "p")],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["unreadable"] == 0, done.stderr


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def _on_a_full_disk(folder: Path, kilobytes: int, *words: str) -> subprocess.CompletedProcess[str]:
    limited = f'ulimit -f {kilobytes}; exec "$@"'
    return subprocess.run(
        ["bash", "-c", limited, "_", sys.executable, "-m", "bnfold_cli", *words],
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=120,
    )


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_FSIZE stands for a full disk")
@pytest.mark.parametrize("kind", KINDS)
def test_full_disk(tmp_path: Path, kind: str) -> None:
    words = ["fold", "m.onnx", "-o", "out.onnx"]
    if kind == "folder":
        words = ["deploy", "m.onnx", "--to", "out"]
    for channels in (63, 64):
        onnxfile.write(conv_norm(channels), tmp_path / "m.onnx", external=kind == "pair")
        if channels == 63:  # what stood there before
            place = [
                str(tmp_path / word) if word.startswith(("m.", "out")) else word for word in words
            ]
            assert run(["-q", *place]) == 0
    before = _contents(tmp_path)
    done = _on_a_full_disk(tmp_path, 1, *words)
    assert done.returncode == 6, done.stderr
    assert done.stderr.startswith("error: cannot write: File too large")
    assert len(done.stderr.splitlines()) <= 2
    assert _contents(tmp_path) == before
