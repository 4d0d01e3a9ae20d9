"""Inputs and data sets from strangers: what they inflate to, where they lead, what they are."""

from __future__ import annotations

import gzip
import io
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from bnfold import onnxfile
from bnfold_cli.main import run
from tests.corpus.test_commands import assert_plain
from tests.onnxfile.small import conv_norm

ESCAPES = "\x1b]0;own\x07\x1b[31m\u202e"
GOOD = np.zeros((1, 3, 8, 8), np.float32)
Maker = Callable[[Path], Path]


def _archive(entries: dict[str, bytes], claimed: int | None = None, flags: int = 0) -> bytes:
    """A zip file; its directory may claim another size of the last entry, or other flags."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    raw = bytearray(data.getvalue())
    at = raw.rindex(b"PK\x01\x02")
    if claimed is not None:
        raw[at + 24 : at + 28] = claimed.to_bytes(4, "little")
    raw[at + 8] |= flags
    return bytes(raw)


def _damaged() -> bytes:
    """A bit of the payload is another one: its CRC does not hold."""
    raw = bytearray(_archive({"x.npy": _npy(np.arange(192, dtype=np.float32).reshape(GOOD.shape))}))
    raw[120] ^= 0x10
    return bytes(raw)


def _npy(array: np.ndarray | None = None, header: bytes = b"") -> bytes:  # type: ignore[type-arg]
    buffer = io.BytesIO()
    np.save(buffer, GOOD if array is None else array, allow_pickle=True)
    data = buffer.getvalue()
    if not header:
        return data
    return data[:8] + struct.pack("<H", len(header)) + header


def _file(name: str, content: Callable[[], bytes]) -> Maker:
    def make(place: Path) -> Path:
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content())
        return path if path.parent == place else path.parent

    return make


def _png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(10_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def _tensor(**entries: str) -> bytes:
    """An input that says its data lie elsewhere."""
    tensor = onnx.numpy_helper.from_array(GOOD, "x")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    return bytes(tensor.SerializeToString())


def _short_tensor() -> bytes:
    tensor = onnx.numpy_helper.from_array(GOOD, "x")
    tensor.dims[0] = 2**40
    return bytes(tensor.SerializeToString())


def _placed(name: str, put: Callable[[Path], object]) -> Maker:
    def make(place: Path) -> Path:
        put(place / name)
        return place / name

    return make


HUGE = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776,), }\n"
INPUTS: dict[str, tuple[Maker, int]] = {
    "npz that inflates": (_file("x.npz", lambda: _archive({"x.npy": _npy()}, 4_294_967_294)), 6),
    "npz of objects": (
        _file("x.npz", lambda: _archive({"x.npy": _npy(np.array([{}], object))})),
        6,
    ),
    "npz encrypted": (_file("x.npz", lambda: _archive({"x.npy": _npy()}, flags=1)), 6),
    "npz truncated": (_file("x.npz", lambda: _archive({"x.npy": _npy()})[:-30]), 6),
    "npz empty": (_file("x.npz", lambda: b""), 6),
    "npz of nothing": (_file("x.npz", lambda: b"PK\x05\x06" + bytes(18)), 6),
    "npz of text": (_file("x.npz", lambda: b"text"), 6),
    "npz of others": (_file("x.npz", lambda: _archive({f"{ESCAPES}.npy": _npy()})), 6),
    "npz damaged": (_file("x.npz", _damaged), 6),
    "npy of four terabytes": (_file("x.npy", lambda: _npy(header=HUGE)), 6),
    "npy with a bad header": (_file("x.npy", lambda: _npy(header=b"__import__('os')\n")), 6),
    "npy of objects": (_file("x.npy", lambda: _npy(np.array([{}], object))), 6),
    "npy of records": (
        _file("x.npy", lambda: _npy(np.zeros(2, [(ESCAPES.replace("\x07", ""), "f4")]))),
        6,
    ),
    "npy with NaN": (_file("x.npy", lambda: _npy(GOOD * np.float32("nan"))), 6),
    "image that inflates": (_file("pictures/x.png", lambda: _png(60_000, 60_000)), 6),
    "image truncated": (_file("pictures/x.png", lambda: _png(64, 64)[:60]), 6),
    "image short of rows": (_file("pictures/x.png", lambda: _png(4000, 4000)), 6),
    "image of text": (_file(f"pictures/{ESCAPES}.jpg", lambda: b"text"), 6),
    "tensor elsewhere": (
        _file("set/input_0.pb", lambda: _tensor(location="../../etc/hostname")),
        6,
    ),
    "tensor without an end": (_file("set/input_0.pb", _short_tensor), 6),
    "tensor of text": (_file("set/input_0.pb", lambda: b"text"), 6),
    "a pipe": (_placed("x.npz", os.mkfifo), 2),
    "a pipe among images": (
        lambda place: (place / "p").mkdir() or os.mkfifo(place / "p" / "x.png") or place / "p",
        6,
    ),
    "missing": (_placed(f"{ESCAPES}.npz", lambda path: None), 2),
    "endless": (_placed("x.npz", lambda path: path.symlink_to("/dev/zero")), 2),
    "an empty folder": (_placed("e", Path.mkdir), 6),
}


@pytest.mark.parametrize("name", INPUTS)
def test_inputs_of_verify(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    make, code = INPUTS[name]
    onnxfile.write(conv_norm(), tmp_path / "m.onnx")
    (tmp_path / "brought").mkdir()
    model, given = str(tmp_path / "m.onnx"), str(make(tmp_path / "brought"))
    assert run(["verify", model, model, "--inputs", given, "--max-bytes", "4000000000"]) == code
    _assert_refused(capsys)


def _assert_refused(capsys: pytest.CaptureFixture[str]) -> None:
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("error: "), told.err
    assert all(line.startswith("hint: ") for line in told.err.splitlines()[1:]), told.err
    assert_plain(told.err)


def _idx(place: Path, images: bytes) -> Path:
    labels = struct.pack(">HBBI", 0, 8, 1, 1) + b"\0"
    for part in ("train", "t10k"):
        (place / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(images))
        (place / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))
    return place


def _picture_folder(place: Path) -> Path:
    for part, count in (("train", 64), ("val", 2)):
        (place / part / "a").mkdir(parents=True)
        for number in range(count):
            (place / part / "a" / f"{number}.png").write_bytes(_png(60_000, 60_000))
    return place


DATA: dict[str, Maker] = {
    "npz that inflates": _file("d.npz", lambda: _archive({"x_train.npy": _npy()}, 4_294_967_294)),
    "npz encrypted": _file("d.npz", lambda: _archive({"x_train.npy": _npy()}, flags=1)),
    "npz of objects": _file(
        "d.npz", lambda: _archive({"x_train.npy": _npy(np.array([{}], object))})
    ),
    "npz of text": _file("d.npz", lambda: b"text"),
    "idx that inflates": lambda place: _idx(
        place, struct.pack(">HBBIII", 0, 8, 3, 1, 8, 8) + bytes(1 << 20)
    ),
    "idx with huge sizes": lambda place: _idx(
        place, struct.pack(">HBBIII", 0, 8, 3, 2**31 - 1, 2**31 - 1, 2**31 - 1) + bytes(64)
    ),
    "idx with negative sizes": lambda place: _idx(
        place, struct.pack(">HBBiii", 0, 8, 3, -1, -8, 8) + bytes(64)
    ),
    "idx truncated": lambda place: _idx(place, b"\0\0\x08\x03"),
    "images that inflate": _picture_folder,
}


@pytest.mark.parametrize("name", DATA)
def test_data_sets(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from bnfold.training import arrays, idx

    monkeypatch.setattr(idx, "LARGEST", 1 << 19)
    monkeypatch.setattr(arrays, "LARGEST_INFLATED", 1 << 30)
    (tmp_path / "data").mkdir()
    data = str(DATA[name](tmp_path / "data"))
    words = ["train", "--model", "digits", "--data", data, "--out", str(tmp_path / "run")]
    assert run([*words, "--device", "cpu", "--set", "steps=2"]) == 6, capsys.readouterr().err
    _assert_refused(capsys)
