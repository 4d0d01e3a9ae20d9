"""What a command writes is none of what it reads: nothing of the user's is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.corpus.making import refer
from tests.onnxfile.small import conv_norm

Call = Callable[..., Any]
FOLD, VERIFY = "fold m.onnx -o o.onnx ", "verify m.onnx m.onnx --batch 1 "
WRONG = [
    *(
        FOLD + f"--{what} {file}"
        for what in ("report", "manifest")
        for file in ("m.onnx", "m.data")
    ),
    FOLD + "--report o.onnx",
    FOLD + "--manifest ./o.onnx",
    FOLD + "--manifest r.json --report r.json",
    "fold m.onnx -o m.data",
    "fold m.onnx --in-place --report m.onnx",
    "fold m.onnx --in-place --report m.data",
    "fold m.onnx --dry-run --report m.onnx",
    VERIFY + "--junit m.data",
    VERIFY + "--report m.data",
    VERIFY + "--save-inputs m.data",
    VERIFY + "--junit m.onnx",
    VERIFY + "--junit r.xml --report r.xml",
    "bench --quick m.onnx --report m.onnx",
    "bench --quick m.onnx --report m.data",
    "fold /",
]


@pytest.mark.parametrize("words", WRONG)
def test_refused_before_any_work(
    bnfold: Call, tmp_path: Path, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = conv_norm()
    refer(tmp_path / "m.onnx", model.graph.initializer[0])
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    answer = bnfold(*words.split())
    assert answer.code == 2, answer.err
    assert len(answer.err.splitlines()) <= 2
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_devices_are_no_files(
    bnfold: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.onnx").write_bytes(conv_norm().SerializeToString())
    words = "fold m.onnx -o o.onnx --report /dev/null --manifest /dev/null"
    assert bnfold(*words.split()).code == 0
    assert bnfold(*words.split()).code == 0  # an earlier answer is replaced
