"""MNIST and its kin: the idx format (big-endian sizes, then bytes), plain or gzipped."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bnfold.errors import DataError
from bnfold.training.dataset import Dataset, Split, in_memory, split

UINT8 = 0x08
LARGEST = 2 << 30  # bytes, inflated; MNIST's largest has 47 MB
PARTS = ("train", "t10k")


def idx_set(name: str, folder: Path, *, binarize: bool = False) -> Dataset:
    """The data set of the four files in a folder.

    Raises:
        DataError: a file is missing or corrupt, or they do not fit each other.
    """
    if not folder.is_dir():
        raise _missing(folder, "no such folder")
    train, test = (_part(folder, part) for part in PARTS)
    return in_memory(name, train, test, binarize=binarize)


def has_idx(folder: Path) -> bool:
    """Does the folder hold one of the four files?"""
    return find(folder, "train-images", 3) is not None or any(folder.glob("t*k*-idx*"))


def _part(folder: Path, part: str) -> Split:
    arrays = []
    for kind, dimensions in (("images", 3), ("labels", 1)):
        path = find(folder, f"{part}-{kind}", dimensions)
        if path is None:
            raise _missing(folder, f"no {part}-{kind}-idx{dimensions}-ubyte[.gz]")
        arrays.append(read(path, dimensions))
    images, labels = arrays
    if len(images) != len(labels):
        raise DataError(
            f"{len(images)} images but {len(labels)} labels in {part}-*", where=str(folder)
        )
    return split(images[:, None], labels.astype(np.int64))


def _missing(folder: Path, what: str) -> DataError:
    return DataError(
        f"data set not found: {what}",
        where=str(folder),
        hint=f"put train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and "
        f"t10k-labels-idx1-ubyte (or their .gz) into {folder}, or give --data FOLDER",
    )


def read(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """The array that an idx file of unsigned bytes holds.

    Raises:
        DataError: it cannot be read, is truncated, or is not such a file.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            raw = file.read(LARGEST + 1)
    except (OSError, EOFError, zlib.error) as cause:
        raise _corrupt(path, str(cause) or "truncated") from cause
    if len(raw) > LARGEST:
        raise _corrupt(path, f"more than {LARGEST} bytes")
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
