"""Data sets that come as arrays: .npz files, a callable of the user's, random ones."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bnfold.errors import DataError, UsageError
from bnfold.training.dataset import Dataset, Split, in_memory, split

KEYS = ("x_train", "y_train", "x_test", "y_test")
FAKE = re.compile(r"fake(:(?P<c>\d+)x(?P<h>\d+)x(?P<w>\d+)(:(?P<classes>\d+))?)?")
FAKE_IMAGES = (1024, 128)
LARGEST_INFLATED, MOST_TIMES = 4 << 30, 4  # bytes, or so many times the file's own
LARGEST_FAKE = 1 << 31  # bytes


def npz(path: Path, *, binarize: bool = False) -> Dataset:
    """A file with x_train, y_train, x_test, y_test: uint8 (N, H, W), NHWC or NCHW.

    Raises:
        DataError: it cannot be read, holds objects, or its arrays do not fit.
    """
    try:
        _refuse_bomb(path)
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in KEYS}
    except (
        OSError,
        ValueError,
        KeyError,
        EOFError,
        RuntimeError,
        zipfile.BadZipFile,
        zlib.error,
    ) as cause:
        raise DataError(f"not a data set: {cause}", where=str(path)) from cause
    return from_arrays(path.stem, arrays, where=str(path), binarize=binarize)


def _refuse_bomb(path: Path) -> None:
    """Two gigabytes of zeros fit into two megabytes: the directory says so before they are read."""
    with zipfile.ZipFile(path) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
    most = max(LARGEST_INFLATED, MOST_TIMES * path.stat().st_size)
    if size > most:
        raise DataError(f"it inflates to {size} bytes, more than {most}", where=str(path))


def from_callable(name: str, made: Any, *, binarize: bool = False) -> Dataset:
    """What the user's callable returned: a Dataset, or a mapping with the keys of an npz file.

    Raises:
        UsageError: it is neither.
        DataError: its arrays do not fit.
    """
    if isinstance(made, Dataset):
        return made
    if not isinstance(made, Mapping) or not made.keys() >= set(KEYS):
        raise UsageError(
            f"{name} returned {type(made).__name__}, not a Dataset or a mapping with "
            f"{', '.join(KEYS)}"
        )
    arrays = {key: np.asarray(made[key]) for key in KEYS}
    return from_arrays(name, arrays, where=name, binarize=binarize)


def fake(name: str, *, seed: int = 0) -> Dataset:
    """`fake[:CxHxW[:CLASSES]]`: random pixels, to measure throughput; 3x224x224 of 1000 classes.

    Raises:
        UsageError: sizes that are none, or too large.
    """
    found = FAKE.fullmatch(name)
    if found is None:
        raise UsageError(f"'{name}' is not fake:CxHxW:CLASSES, like fake:3x224x224:1000")
    shape = tuple(int(found[key] or default) for key, default in (("c", 3), ("h", 224), ("w", 224)))
    classes = int(found["classes"] or 1000)
    size = int(np.prod(shape, dtype=object)) * sum(FAKE_IMAGES)
    if min(*shape, classes) < 1 or size > LARGEST_FAKE:
        raise UsageError(f"'{name}': sizes must be at least 1, and all of it within 2 GB")
    rng = np.random.default_rng(seed)

    def part(count: int) -> Split:
        labels = np.arange(count, dtype=np.int64) % classes
        return split(rng.integers(0, 256, (count, *shape), np.uint8), labels)

    train, test = part(FAKE_IMAGES[0]), part(FAKE_IMAGES[1])
    return Dataset("fake", train, test, classes, 255, (0.5,), (0.29,))


def from_arrays(
    name: str, arrays: Mapping[str, Any], *, where: str, binarize: bool = False
) -> Dataset:
    """The four arrays as a data set.

    Raises:
        DataError: a shape or a type does not fit, or a value is no pixel.
    """
    parts = []
    for part in ("train", "test"):
        images, labels = np.asarray(arrays[f"x_{part}"]), np.asarray(arrays[f"y_{part}"])
        labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
        images = images[..., None] if images.ndim == 3 else images
        if images.dtype != np.uint8 or images.ndim != 4 or 0 in images.shape:
            what = f"{images.dtype} {images.shape}"
            raise DataError(f"x_{part} is {what}, not uint8 images", where=where)
        if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
            raise DataError(
                f"y_{part} is {labels.dtype} {labels.shape} for {len(images)} images", where=where
            )
        channels_last = images.shape[3] in (1, 3) and images.shape[1] not in (1, 3)
        parts.append(split(np.moveaxis(images, 3, 1) if channels_last else images, labels))
    return in_memory(name, *parts, binarize=binarize)
