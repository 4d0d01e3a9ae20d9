"""A copy to edit takes its large weights from the original, and changes nothing of it."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto

import bnfold
from bnfold import onnxfile
from bnfold.onnxfile import ModelFile
from tests.onnxfile.test_opened import LARGE, all_external, model_with_three


def in_memory(model: onnx.ModelProto) -> ModelFile:
    return ModelFile(model, Path(), onnxfile.sha256_of(model))


def test_large_weights_are_not_copied() -> None:
    original = model_with_three()
    original.graph.initializer[0].doc_string = "kept"
    before = original.SerializeToString()
    lent = onnxfile.borrowing(in_memory(original))
    assert lent.model.ByteSize() < original.ByteSize() - LARGE.nbytes + 100
    assert lent.whole() == original
    lent.model.graph.initializer[0].raw_data = b""
    assert original.SerializeToString() == before


def stated_location(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].data_location = TensorProto.DEFAULT


def typed_data(model: onnx.ModelProto) -> None:
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.float_data.extend(LARGE.ravel())


def unknown_field(model: onnx.ModelProto) -> None:
    model.MergeFromString(b"\xfa\x7f\x01x")  # field 2047


def unknown_field_of_a_weight(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].MergeFromString(b"\xfa\x7f\x01x")


@pytest.mark.parametrize(
    "change", [stated_location, typed_data, unknown_field, unknown_field_of_a_weight]
)
def test_what_a_shell_cannot_say_is_copied(change) -> None:  # type: ignore[no-untyped-def]
    original = model_with_three()
    change(original)
    lent = onnxfile.borrowing(in_memory(original))
    assert lent.whole().SerializeToString() == original.SerializeToString()


def test_of_a_model_whose_weights_lie_in_files(tmp_path: Path) -> None:
    with onnxfile.opened(all_external(model_with_three(), tmp_path)) as file:
        assert onnxfile.borrowing(file).whole() == model_with_three()
        assert not file.model.graph.initializer[0].HasField("raw_data")


def test_a_fold_of_a_file_that_stands_open_is_that_of_its_path(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(model_with_three().SerializeToString())
    with onnxfile.opened(path) as file:
        before = file.model.SerializeToString()
        assert bnfold.fold(file).model == bnfold.fold(path).model
        assert file.model.SerializeToString() == before
