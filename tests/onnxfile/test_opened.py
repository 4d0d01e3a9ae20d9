"""A model that stands open: its large initializers stay in files that were looked at once."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from bnfold import onnxfile
from bnfold.errors import ModelError
from tests.build import tensor
from tests.net import Net

LARGE, SMALL = np.ones((64, 64, 3, 3), np.float32), np.ones(64, np.float32)


def model_with_three() -> onnx.ModelProto:
    """A large and a small initializer, and a large Constant."""
    net = Net("three")
    x = net.op("Conv", net.input(("N", 64, 6, 6)), net.init(LARGE, "w"), net.init(SMALL, "b"))
    x = net.op("Conv", x, net.op("Constant", value=tensor("c", LARGE)))
    return net.out(x).model()


def all_external(model: onnx.ModelProto, folder: Path) -> Path:
    """Every tensor of the model in a file of its own."""
    light = onnx.ModelProto()
    light.CopyFrom(model)
    constants = (n.attribute[0].t for n in light.graph.node if n.op_type == "Constant")
    for i, one in enumerate([*light.graph.initializer, *constants]):
        (folder / f"{i}.data").write_bytes(one.raw_data)
        one.ClearField("raw_data")
        one.data_location = TensorProto.EXTERNAL
        one.external_data.add(key="location", value=f"{i}.data")
    (folder / "m.onnx").write_bytes(light.SerializeToString())
    return folder / "m.onnx"


def test_large_initializers_alone_stay(tmp_path: Path) -> None:
    path = all_external(model_with_three(), tmp_path)
    with onnxfile.opened(path) as file:
        weight, bias = file.model.graph.initializer
        assert not weight.HasField("raw_data")
        np.testing.assert_array_equal(file.data.array(weight), LARGE)
        assert bias.raw_data == SMALL.tobytes()
        assert file.whole() == onnxfile.read(path).model == model_with_three()


@pytest.mark.parametrize("name", ["int64", "float16", "bfloat16", "bool", "complex64"])
def test_every_plain_type(tmp_path: Path, name: str) -> None:
    made = model_with_three()
    kind = getattr(TensorProto, name.upper())
    values = np.arange(40_000).reshape(400, 100) % 2
    array = values.astype(onnx.helper.tensor_dtype_to_np_dtype(kind))
    made.graph.initializer.append(numpy_helper.from_array(array, "t"))
    with onnxfile.opened(all_external(made, tmp_path)) as file:
        kept = file.model.graph.initializer[2]
        assert file.data.keep(kept) == (len(array.tobytes()) > 1 << 16)
        assert file.data.array(kept).tobytes() == array.tobytes()


def test_file_that_shrinks_is_seen(tmp_path: Path) -> None:
    with onnxfile.opened(all_external(model_with_three(), tmp_path)) as file:
        os.truncate(tmp_path / "0.data", 1000)
        with pytest.raises(ModelError, match="became shorter"):
            file.whole()


def test_file_that_is_exchanged_is_not_read(tmp_path: Path) -> None:
    """What was looked at is what is read, whatever takes its name later."""
    path = all_external(model_with_three(), tmp_path)
    with onnxfile.opened(path) as file:
        (tmp_path / "0.data").rename(tmp_path / "old.data")
        (tmp_path / "0.data").symlink_to("/etc/passwd")
        assert file.whole() == model_with_three()


def test_model_alone_is_refused(tmp_path: Path) -> None:
    """Without its files a light model is no model."""
    with (
        onnxfile.opened(all_external(model_with_three(), tmp_path)) as file,
        pytest.raises(ModelError, match="lies in another file"),
    ):
        onnxfile.validate(file.model)


def test_nested_tensor_of_a_kept_name_is_looked_at(tmp_path: Path) -> None:
    """A body's tensor that bears the name of a kept one is no kept one."""
    made = model_with_three()
    path = all_external(made, tmp_path)
    light = onnx.load(path, load_external_data=False)
    constant = next(n for n in light.graph.node if n.op_type == "Constant").attribute[0].t
    constant.name = "w"
    del constant.external_data[:]
    path.write_bytes(light.SerializeToString())
    with pytest.raises(ModelError, match="not the name of a file"):
        onnxfile.read(path)
