"""The command line, in this process and in one of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bnfold import onnxfile
from bnfold_cli.main import run
from tests.onnxfile.small import conv_norm


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def bnfold(capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Run a command in this process."""

    def call(*arguments: object) -> Answer:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        told = capsys.readouterr()
        assert "Traceback" not in told.err or code == 1
        return Answer(code, told.out, told.err)

    return call


@pytest.fixture
def process(tmp_path: Path) -> Callable[..., Answer]:
    """Run a command as a user would, in `tmp_path`."""

    def call(*arguments: object, **environment: str) -> Answer:
        done = subprocess.run(
            [sys.executable, "-m", "bnfold_cli", *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, **environment},
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Conv -> BatchNormalization -> Relu in `m.onnx`."""
    onnxfile.write(conv_norm(), tmp_path / "m.onnx")
    return tmp_path / "m.onnx"
