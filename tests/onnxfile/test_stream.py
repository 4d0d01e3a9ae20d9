"""Piece by piece, the bytes are those that protobuf writes in one go."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from bnfold import onnxfile
from bnfold.onnxfile import stream
from tests.onnxfile.small import conv_norm


def _plain(_: onnx.ModelProto) -> None:
    pass


def _every_field(model: onnx.ModelProto) -> None:
    model.doc_string, model.domain, model.model_version = "doc", "dom", 7
    model.metadata_props.add(key="a", value="b")
    model.graph.doc_string = "graph"
    model.graph.metadata_props.add(key="c", value="d")
    model.graph.value_info.add(name="conv")
    model.graph.quantization_annotation.add(tensor_name="conv")
    model.graph.sparse_initializer.add().values.name = "sparse"
    model.functions.add(name="f", domain="local")
    model.training_info.add()


def _no_graph(model: onnx.ModelProto) -> None:
    model.ClearField("graph")


def _no_weights(model: onnx.ModelProto) -> None:
    del model.graph.initializer[:]


def _unknown_field(model: onnx.ModelProto) -> None:
    model.graph.MergeFromString(b"\xfa\x3f\x03new")  # field 1023


def _large(model: onnx.ModelProto) -> None:
    for power in (7, 14, 21):
        model.graph.initializer.add(name="w", data_type=2, raw_data=bytes(2**power + 1))


@pytest.mark.parametrize(
    "change", [_plain, _every_field, _no_graph, _no_weights, _unknown_field, _large]
)
def test_same_bytes(change: Callable[[onnx.ModelProto], None], tmp_path: Path) -> None:
    model = conv_norm()
    change(model)
    assert b"".join(stream.pieces(model)) == model.SerializeToString(deterministic=True)
    onnxfile.write(model, tmp_path / "m.onnx")
    assert (tmp_path / "m.onnx").read_bytes() == model.SerializeToString(deterministic=True)


def test_too_large_for_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above the limit the weights go to a data file by themselves."""
    monkeypatch.setattr(stream, "LARGEST_MESSAGE", 10_000)
    model = conv_norm(256)
    written = onnxfile.write(model, tmp_path / "m.onnx")
    assert [path.suffix for path in written] == [".onnx", ".data"]
    assert onnxfile.read(tmp_path / "m.onnx").model == model
    assert len(list(tmp_path.iterdir())) == 2
    assert len(onnxfile.sha256_of(model)) == 64
