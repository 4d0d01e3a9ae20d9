"""External data: what lies plainly beside the model is read, everything else is refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from bnfold import onnxfile
from bnfold.errors import ModelError
from tests.onnxfile.small import conv_norm


def with_external(folder: Path, **entries: str) -> Path:
    """A model whose conv weight lies in `w.data`, with `entries` set over the right ones."""
    model = conv_norm()
    weight = model.graph.initializer[0]
    data = weight.raw_data
    (folder / "w.data").write_bytes(b"\0" * 16 + data)
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    right = {"location": "w.data", "offset": "16", "length": str(len(data))}
    for key, text in {**right, **entries}.items():
        weight.external_data.add(key=key, value=text)
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    return folder / "m.onnx"


def test_read_into_memory(tmp_path: Path) -> None:
    file = onnxfile.read(with_external(tmp_path))
    assert file.external
    assert file.data_files == (tmp_path.resolve() / "w.data",)
    assert file.model == conv_norm()


def test_length_may_be_absent(tmp_path: Path) -> None:
    path = with_external(tmp_path)
    model = onnx.load(path, load_external_data=False)
    del model.graph.initializer[0].external_data[2]
    path.write_bytes(model.SerializeToString())
    assert onnxfile.read(path).model == conv_norm()


@pytest.mark.parametrize(
    "entries",
    [
        {"location": "/etc/passwd"},
        {"location": "../w.data"},
        {"location": "a/../../w.data"},
        {"location": ""},
        {"location": "."},
        {"location": "none.data"},
        {"location": "w.data\0"},
        {"location": "*/_ORT_MEM_ADDR_/*"},
        {"offset": "17"},
        {"offset": "-1"},
        {"offset": "abc"},
        {"offset": "9" * 30},
        {"length": "8"},
        {"length": "99999999"},
    ],
    ids=str,
)
def test_bad_entry_refused(tmp_path: Path, entries: dict[str, str]) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "w.data").write_bytes(bytes(4096))
    with pytest.raises(ModelError) as caught:
        onnxfile.read(with_external(tmp_path / "sub", **entries))
    assert caught.value.where


def _symlink(folder: Path) -> None:
    (folder / "w.data").rename(folder.parent / "outside.data")
    (folder / "w.data").symlink_to(folder.parent / "outside.data")


def _hard_link(folder: Path) -> None:
    os.link(folder / "w.data", folder.parent / "outside.data")


def _fifo(folder: Path) -> None:
    (folder / "w.data").unlink()
    os.mkfifo(folder / "w.data")


def _short(folder: Path) -> None:
    os.truncate(folder / "w.data", 100)


def _folder(folder: Path) -> None:
    (folder / "w.data").unlink()
    (folder / "w.data").mkdir()


@pytest.mark.parametrize(
    "change", [_symlink, _hard_link, _fifo, _short, _folder], ids=lambda function: function.__name__
)
def test_bad_file_refused(tmp_path: Path, change: Callable[[Path], None]) -> None:
    (tmp_path / "sub").mkdir()
    path = with_external(tmp_path / "sub")
    change(tmp_path / "sub")
    with pytest.raises(ModelError):
        onnxfile.read(path)


def test_linked_folder_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    path = with_external(tmp_path, location="sub/w.data")
    (tmp_path / "w.data").rename(tmp_path / "elsewhere" / "w.data")
    (tmp_path / "sub").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ModelError, match="link"):
        onnxfile.read(path)


def test_model_behind_a_link(tmp_path: Path) -> None:
    """A linked model finds its data beside the file that the link leads to."""
    path = with_external(tmp_path)
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "latest.onnx").symlink_to(path)
    assert onnxfile.read(tmp_path / "links" / "latest.onnx").model == conv_norm()


def test_from_any_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_external(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert onnxfile.read("m.onnx").model == conv_norm()
    monkeypatch.chdir("/")
    assert onnxfile.read(tmp_path / "m.onnx").model == conv_norm()


def test_write_pair_and_replace_it(tmp_path: Path) -> None:
    model, path = conv_norm(16), tmp_path / "out.onnx"
    model.doc_string = "kept"
    before = model.SerializeToString()
    first = onnxfile.write(model, path, external=True)
    assert model.SerializeToString() == before
    assert first[0] == path
    assert first[1].name.startswith("out-")
    assert onnxfile.read(path).model == model
    onnx.checker.check_model(str(path))

    model.graph.initializer[0].raw_data = bytes(len(model.graph.initializer[0].raw_data))
    second = onnxfile.write(model, path, external=True)
    assert second[1] != first[1]
    assert not first[1].exists(), "the old model named it, and nothing does now"
    assert onnxfile.read(path).model == model

    onnxfile.write(model, path)
    assert sorted(tmp_path.iterdir()) == [path]


def test_foreign_data_files_stay(tmp_path: Path) -> None:
    with_external(tmp_path)
    (tmp_path / "m-0123456789ab.data").write_bytes(b"not named by m.onnx")
    onnxfile.write(conv_norm(), tmp_path / "m.onnx")
    assert (tmp_path / "w.data").exists()
    assert (tmp_path / "m-0123456789ab.data").exists()


def test_same_bytes_each_time(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        onnxfile.write(conv_norm(16), tmp_path / folder / "m.onnx", external=True)
    files = {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()}
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "b").iterdir()}
    assert len(files) == 2
