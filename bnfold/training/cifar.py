"""CIFAR-10 and CIFAR-100: the python layout (pickles, read without running them) and the binary."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnfold.errors import DataError, UsageError
from bnfold.training import pickles
from bnfold.training.dataset import Dataset, Split, in_memory, split

PIXELS = 3 * 32 * 32
Part = tuple[NDArray[np.uint8], NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a set's training and test files lie, and where in them the labels are."""

    folder: str
    train: str  # regular expressions
    test: str
    key: bytes = b""  # of the labels in a pickle
    label_bytes: int = 0  # in front of each binary record; the last one counts


LAYOUTS = {
    "cifar10": (
        Layout("cifar-10-batches-py", r"data_batch_[1-5]", r"test_batch", key=b"labels"),
        Layout("cifar-10-batches-bin", r"data_batch_[1-5]\.bin", r"test_batch\.bin", label_bytes=1),
    ),
    "cifar100": (
        Layout("cifar-100-python", r"train", r"test", key=b"fine_labels"),
        Layout("cifar-100-binary", r"train\.bin", r"test\.bin", label_bytes=2),
    ),
}


Found = tuple[Path, str, Layout]


def find_cifar(root: Path, names: Sequence[str] = tuple(LAYOUTS)) -> Found | None:
    """The folder of a CIFAR set at or right below `root`, its name and layout, if there is one."""
    for name in names:
        for layout in LAYOUTS[name]:
            for folder in (root, root / layout.folder):
                named = folder.name == layout.folder
                if folder.is_dir() and (named or _files(folder, layout.test)):
                    return folder, name, layout
    return None


def cifar(name: str, folder: Path, layout: Layout, *, binarize: bool = False) -> Dataset:
    """The data set in a folder of this layout; batches that are not there are left out.

    Raises:
        DataError: a file is damaged, or holds a pickle that asks for code.
    """
    parts = []
    for pattern in (layout.train, layout.test):
        files = _files(folder, pattern)
        if not files:
            raise missing(name, folder)
        parts.append(_joined([_read(path, layout) for path in files]))
    return in_memory(name, *parts, binarize=binarize)


def missing(name: str, folder: Path) -> DataError:
    """What to put where."""
    names = " or ".join(layout.folder for layout in LAYOUTS[name])
    return DataError(
        f"data set not found: no {names}",
        where=str(folder),
        hint=f"unpack the {name} archive into {folder}, or give --data FOLDER",
    )


def _files(folder: Path, pattern: str) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_file() and re.fullmatch(pattern, p.name))


def _read(path: Path, layout: Layout) -> Part:
    return _binary(path, layout.label_bytes) if layout.label_bytes else _pickled(path, layout.key)


def _pickled(path: Path, key: bytes) -> Part:
    try:
        found = pickles.load(path)
    except UsageError as cause:
        raise DataError(cause.message, where=str(path)) from cause
    if not isinstance(found, dict):
        raise DataError("not a CIFAR batch: no dictionary", where=str(path))
    data, labels = _entry(found, b"data", path), _entry(found, key, path)
    try:
        images = np.asarray(data)
        numbers = np.asarray(labels, np.int64)
    except (TypeError, ValueError, OverflowError) as cause:
        raise DataError(f"not a CIFAR batch: {cause}", where=str(path)) from cause
    if images.dtype != np.uint8 or images.shape != (len(numbers), PIXELS) or numbers.ndim != 1:
        raise DataError(
            f"not a CIFAR batch: data {images.dtype} {images.shape}, {numbers.shape} labels",
            where=str(path),
        )
    return images.reshape(-1, 3, 32, 32), numbers


def _entry(found: dict[Any, Any], key: bytes, path: Path) -> Any:
    for name in (key, key.decode()):
        if name in found:
            return found[name]
    raise DataError(f"not a CIFAR batch: no '{key.decode()}'", where=str(path))


def _binary(path: Path, label_bytes: int) -> Part:
    try:
        raw = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as cause:
        raise DataError(f"cannot be read: {cause.strerror}", where=str(path)) from cause
    record = label_bytes + PIXELS
    if not len(raw) or len(raw) % record:
        raise DataError(f"{len(raw)} bytes are not records of {record}", where=str(path))
    rows = raw.reshape(-1, record)
    images = rows[:, label_bytes:].reshape(-1, 3, 32, 32)
    return images, rows[:, label_bytes - 1].astype(np.int64)


def _joined(parts: Sequence[Part]) -> Split:
    return split(np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts]))
