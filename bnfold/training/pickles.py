"""Pickled data sets (CIFAR) read without letting them run code.

A pickle is a program. This one may build dicts, lists, tuples, text, bytes, numbers and numpy
arrays of numbers; any other name that it asks for is refused before anything is called.
"""

from __future__ import annotations

import io
import os
import pickle
import pickletools
import stat
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnfold.errors import DataError, UsageError
from bnfold.show import show

LARGEST = 1 << 30  # bytes of a file; CIFAR's largest has 155 MB
_NDARRAY = object()  # stands for `numpy.ndarray`, which a pickle names and hands on


def load(path: str | os.PathLike[str]) -> Any:
    """What a pickle file holds: plain containers, text, bytes, numbers, numpy arrays of numbers.

    Python 2's text comes as bytes, as CIFAR's own page reads it.

    Raises:
        UsageError: there is no such file.
        DataError: it is no pickle, is damaged, or asks for anything else.
    """
    file = Path(path)
    where = show(file, 300)
    try:
        if not stat.S_ISREG((found := file.stat()).st_mode):
            raise DataError("no regular file", where=where)
        if found.st_size > LARGEST:
            raise DataError(f"larger than {LARGEST} bytes", where=where)
        data = file.read_bytes()
    except FileNotFoundError as error:
        raise UsageError("there is no such file", where=where) from error
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=where) from error
    return loads(data, where)


def loads(data: bytes, where: str | None = None) -> Any:
    """What the bytes of a pickle hold, under the same rules as `load`.

    Raises:
        DataError: they are no pickle, are damaged, or ask for anything else.
    """
    try:
        _look_over(data)
        return _Plain(io.BytesIO(data), encoding="bytes").load()
    except _Refused as error:
        raise DataError(f"a pickle that asks for {error}: refused", where=where) from error
    except Exception as error:  # a damaged pickle raises whatever its damage makes of it
        raise DataError(f"not a readable pickle: {show(error)}", where=where) from error


class _Refused(Exception):
    """What no data set needs."""


def _look_over(data: bytes) -> None:
    """Refuse a memo larger than the file: the unpickler would reserve it, up to 32 GB."""
    for instruction, argument, _ in pickletools.genops(data):
        place = argument or 0
        if instruction.name.endswith("PUT") and place > len(data):
            raise _Refused(f"{place} places in its memo")


class _Plain(pickle.Unpickler):
    """An unpickler that knows five names.

    They lead to bound methods and to an empty object, none of which takes an attribute: so what a
    pickle sets on them (BUILD) fails, too.
    """

    def find_class(self, module: str, name: str) -> Any:
        """What stands for a name that numpy's arrays need, in old modules or new."""
        known = {
            ("numpy", "ndarray"): _NDARRAY,
            ("numpy", "dtype"): self._dtype,
            ("numpy.core.multiarray", "_reconstruct"): self._reconstruct,
            ("numpy.core.numeric", "_frombuffer"): self._frombuffer,
            ("_codecs", "encode"): self._encode,
        }
        wanted = (module.replace("numpy._core", "numpy.core"), name)
        if wanted not in known:
            raise _Refused(show(f"{module}.{name}"))
        return known[wanted]

    def _dtype(self, code: Any, *_: Any) -> _Dtype:
        return _Dtype(code)

    def _reconstruct(self, kind: object, *_: Any) -> NDArray[Any]:
        """An empty array, filled by its state: how protocols up to 4 write arrays."""
        if kind is not _NDARRAY:
            raise _Refused("a subclass of numpy's array")
        return np.ndarray.__new__(_Array, (0,), "b")

    def _frombuffer(self, raw: bytes, dtype: _Dtype, shape: Any, order: Any) -> NDArray[Any]:
        """How protocol 5 writes arrays."""
        return np.frombuffer(bytes(raw), dtype.plain()).reshape(shape, order=order).copy()

    def _encode(self, text: str, encoding: str) -> bytes:
        """How Python 3 writes bytes in protocol 2."""
        if encoding != "latin1":
            raise _Refused("a codec")
        return text.encode("latin1")


class _Array(np.ndarray[Any, Any]):
    """An array whose state is looked at before numpy sees it."""

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, raw = state
        if not isinstance(dtype, _Dtype) or not isinstance(raw, bytes):
            raise _Refused("an array of objects")
        plain: Any = (1, tuple(map(int, shape)), dtype.plain(), bool(fortran), raw)
        super().__setstate__(plain)


class _Dtype:
    """Stands for `numpy.dtype`: a code of a number, and a byte order set afterwards."""

    def __init__(self, code: Any) -> None:
        self._code = _text(code)
        self._order = "="

    def __setstate__(self, state: Any) -> None:
        self._order = _text(state[1])

    def plain(self) -> np.dtype[Any]:
        """The dtype itself: a number, neither objects nor records."""
        dtype = np.dtype(self._code)
        if dtype.kind not in "biufc":
            raise _Refused(show(f"an array of {dtype}"))
        return dtype.newbyteorder("<" if self._order == "<" else ">" if self._order == ">" else "=")


def _text(value: Any) -> str:
    return value.decode("ascii") if isinstance(value, bytes) else str(value)
