"""How parent and child talk: one JSON header and plain .npy arrays a message; never pickles."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Mapping
from typing import IO, Any

import numpy as np

_LENGTH = struct.Struct("<Q")


def send(stream: IO[bytes], header: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
    """Write one message. Arrays of strings travel in the header."""
    texts = {name: [a.tolist(), a.shape] for name, a in arrays.items() if a.dtype.kind in "OUS"}
    plain = {name: array for name, array in arrays.items() if name not in texts}
    whole = {**header, "arrays": list(plain), "texts": texts}
    _block(stream, json.dumps(whole).encode())
    for array in plain.values():
        buffer = io.BytesIO()
        np.save(buffer, array, allow_pickle=False)
        _block(stream, buffer.getbuffer())
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read one message.

    Raises:
        EOFError: the other side is gone.
    """
    header = json.loads(_read(stream))
    arrays: dict[str, Any] = {}
    for name in header.pop("arrays"):
        arrays[name] = np.load(io.BytesIO(_read(stream)), allow_pickle=False)
    for name, (values, shape) in header.pop("texts").items():
        arrays[name] = np.array(values, dtype=object).reshape(shape)
    return header, arrays


def _block(stream: IO[bytes], data: bytes | memoryview) -> None:
    stream.write(_LENGTH.pack(len(data)))
    stream.write(data)


def _read(stream: IO[bytes]) -> bytes:
    (size,) = _LENGTH.unpack(_exactly(stream, _LENGTH.size))
    return _exactly(stream, size)


def _exactly(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data
