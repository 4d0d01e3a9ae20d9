"""The idx format of MNIST: big-endian sizes, then bytes; plain or gzipped."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bnfold.errors import DataError

UINT8 = 0x08


def read(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """The array that an idx file of unsigned bytes holds.

    Raises:
        DataError: it cannot be read, is truncated, or is not such a file.
    """
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as cause:
        raise _corrupt(path, str(cause) or "truncated") from cause
    head = 4 + 4 * dimensions
    if len(raw) < head or raw[:4] != bytes((0, 0, UINT8, dimensions)):
        raise _corrupt(path, f"not an idx file of unsigned bytes with {dimensions} dimensions")
    shape = tuple(int(n) for n in np.frombuffer(raw, ">i4", dimensions, 4))
    if min(shape) < 0 or len(raw) - head != math.prod(shape):
        raise _corrupt(path, f"sizes {shape} want {math.prod(shape)} bytes, not {len(raw) - head}")
    return np.frombuffer(raw, np.uint8, offset=head).reshape(shape)


def find(folder: Path, stem: str, dimensions: int) -> Path | None:
    """The file of this part, under the spellings in use: `-idx3-ubyte` or `.idx3-ubyte`, `.gz`."""
    for separator in "-.":
        for suffix in ("", ".gz"):
            path = folder / f"{stem}{separator}idx{dimensions}-ubyte{suffix}"
            if path.is_file():
                return path
    return None


def _corrupt(path: Path, cause: str) -> DataError:
    return DataError(f"corrupt idx file: {cause}", where=str(path), hint="fetch the file again")
