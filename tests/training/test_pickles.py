"""Pickles of data sets: what CIFAR needs is read, everything else is refused unrun."""

from __future__ import annotations

import collections
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bnfold.errors import DataError, UsageError
from bnfold.training import pickles

DATA = np.arange(24, dtype=np.uint8).reshape(2, 12)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("dtype", ["u1", "<f4", ">i8", "c16", "?"])
def test_plain_data_is_read(protocol: int, dtype: str) -> None:
    want = {
        "data": DATA.astype(dtype),
        b"labels": [3, 2**40, -1],
        "names": ("é", b"\0\xff", 1.5, None, True),
    }
    got = pickles.loads(pickle.dumps(want, protocol=protocol))
    assert got.keys() == want.keys()
    assert got[b"labels"] == want[b"labels"]
    assert got["names"] == want["names"]
    assert got["data"].dtype.newbyteorder("=") == np.dtype(dtype).newbyteorder("=")
    assert np.array_equal(got["data"], want["data"])


def test_fortran_order() -> None:
    got = pickles.loads(pickle.dumps(np.asfortranarray(DATA), protocol=2))
    assert np.array_equal(got, DATA)


# as Python 2 wrote CIFAR's batches: text is bytes, the array's data a STRING
PYTHON_2 = (
    b"\x80\x02}q\x01(U\x04dataq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq"
    b"\x04K\x00\x85U\x01b\x87Rq\x05(K\x01K\x01K\x04\x86cnumpy\ndtype\nq\x06U\x02u1K\x00K\x01\x87R"
    b"q\x07(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x04\x01\x02\xfe\xfftb"
    b"U\x06labels](K\x06K\x09eu."
)


def test_as_python_2_wrote_it(tmp_path: Path) -> None:
    (tmp_path / "data_batch_1").write_bytes(PYTHON_2)
    got = pickles.load(tmp_path / "data_batch_1")
    assert got[b"labels"] == [6, 9]
    assert np.array_equal(got[b"data"], np.array([[1, 2, 254, 255]], np.uint8))


class Runs:
    def __reduce__(self) -> Any:
        return (os.system, ("touch ran",))


def _of(*instructions: bytes) -> bytes:
    return b"\x80\x02" + b"".join(instructions) + b"."


REFUSED = {
    "system": pickle.dumps(Runs()),
    "system, protocol 0": pickle.dumps(Runs(), protocol=0),
    "builtins": _of(b"cbuiltins\neval\n", b"U\x011\x85R"),
    "a class": pickle.dumps(collections.OrderedDict(a=1)),
    "dotted name": _of(b"cnumpy\nndarray.__class__\n"),
    "array of objects": pickle.dumps(np.array([Runs()], dtype=object)),
    "array of records": pickle.dumps(np.zeros(2, dtype=[("a", "i4")])),
    "array of text": pickle.dumps(np.array(["a"])),
    "attributes of a name": _of(b"cnumpy\ndtype\n", b"N}U\x01aK\x01s\x86b"),
    "attributes of ndarray": _of(b"cnumpy\nndarray\n", b"N}U\x01aK\x01s\x86b"),
    "call of ndarray": _of(b"cnumpy\nndarray\n", b"K\x09\x85R"),
    "codec": _of(b"c_codecs\nencode\n", b"X\x01\x00\x00\x00aX\x05\x00\x00\x00rot13\x86R"),
    "extension": _of(b"\x82\x01"),
    "persistent": _of(b"Pname\n"),
    "memo bomb": _of(b"Nr", struct.pack("<I", 2**31)),
    "length bomb": _of(b"\x8e", struct.pack("<Q", 2**62)),
    "cut": PYTHON_2[:-30],
    "text": b"no pickle at all",
    "empty": b"",
    "shape beyond its data": PYTHON_2.replace(b"K\x01K\x04\x86", b"K\x01K\x64\x86"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("p").write_bytes(REFUSED[case])
    with pytest.raises(DataError) as caught:
        pickles.load("p")
    assert caught.value.where == "p"
    assert os.listdir() == ["p"], "it ran"


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        pickles.load(tmp_path / "none")
    with pytest.raises(DataError):
        pickles.load(tmp_path)
