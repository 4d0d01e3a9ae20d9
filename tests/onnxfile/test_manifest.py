"""A manifest sees every changed bit of a tensor, and no change of how the file is laid out."""

from __future__ import annotations

import random
from pathlib import Path

import onnx
import pytest

from bnfold import onnxfile
from bnfold.errors import CheckFailed, DataError, UsageError
from tests.onnxfile.small import conv_norm


def test_every_bit_shows(tmp_path: Path) -> None:
    onnxfile.write_manifest(conv_norm(), tmp_path / "m.json")
    onnxfile.check_manifest(conv_norm(), tmp_path / "m.json")
    rng = random.Random(0)
    for _ in range(200):
        model = conv_norm()
        weight = rng.choice(model.graph.initializer)
        data = bytearray(weight.raw_data)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        weight.raw_data = bytes(data)
        with pytest.raises(CheckFailed, match=weight.name):
            onnxfile.check_manifest(model, tmp_path / "m.json")


def test_layout_does_not_matter(tmp_path: Path) -> None:
    onnxfile.write_manifest(conv_norm(16), tmp_path / "m.json")
    onnxfile.write(conv_norm(16), tmp_path / "m.onnx", external=True)
    onnxfile.check_manifest(onnxfile.read(tmp_path / "m.onnx").model, tmp_path / "m.json")


def _shape(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [4, 27]


def _less(model: onnx.ModelProto) -> None:
    del model.graph.initializer[-1]


def _typed(model: onnx.ModelProto) -> None:
    model.graph.initializer.add(name="f", data_type=1, dims=[1], float_data=[1.0])


@pytest.mark.parametrize("change", [_shape, _less, _typed])
def test_other_changes_show(tmp_path: Path, change) -> None:  # type: ignore[no-untyped-def]
    onnxfile.write_manifest(conv_norm(), tmp_path / "m.json")
    model = conv_norm()
    change(model)
    with pytest.raises(CheckFailed):
        onnxfile.check_manifest(model, tmp_path / "m.json")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"schema": "bnfold.manifest/1"}', "\xff"])
def test_no_manifest(tmp_path: Path, text: str) -> None:
    (tmp_path / "m.json").write_bytes(text.encode("latin1"))
    with pytest.raises(DataError):
        onnxfile.check_manifest(conv_norm(), tmp_path / "m.json")
    with pytest.raises(UsageError):
        onnxfile.check_manifest(conv_norm(), tmp_path / "none.json")
