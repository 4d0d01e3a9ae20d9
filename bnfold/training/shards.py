"""Tar shards in WebDataset's layout, read by index: members that share a stem are one sample.

The headers are read once; images are then read from where they lie. So an epoch's order is
arithmetic (`order`), what a rank or a thread reads is its own, and going on in the middle of a
shard needs no state.
"""

from __future__ import annotations

import io
import itertools
import os
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from tarfile import TarFile, TarInfo
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray

from bnfold.errors import BnfoldError, DataError
from bnfold.training.dataset import Dataset
from bnfold.training.decoding import EXTENSIONS, MEAN, STD, refuse_large
from bnfold.training.encoded import THREADS, EncodedSplit
from bnfold.training.shard_names import shard_paths

LABEL = "cls"
LARGEST_LABEL = 1 << 20  # classes: a slip of the pen would ask for a layer of any size
BLOCK = tarfile.BLOCKSIZE
OPEN = 64  # shards that are open at a time, far from a process's limit


class _Descriptor:
    """An open file, closed when the last reader has let go of it."""

    def __init__(self, path: Path) -> None:
        self.number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def read(self, size: int, offset: int) -> bytes:
        """Bytes from a place; whoever calls holds the file while it reads."""
        return os.pread(self.number, size, offset)

    def __del__(self) -> None:
        if hasattr(self, "number"):
            os.close(self.number)


def _opening() -> Any:
    return lru_cache(OPEN)(_Descriptor)


@dataclass(frozen=True, slots=True)
class ShardImages:
    """Images by shard, offset and size (N, 3) int64."""

    paths: tuple[Path, ...]
    shards: tuple[int, ...]
    entries: NDArray[np.int64]
    _descriptor: Any = field(default_factory=_opening)

    def __len__(self) -> int:
        return len(self.entries)

    def where(self, index: int) -> str:
        """The shard and the member, whose header stands before its bytes."""
        shard, offset, _ = map(int, self.entries[index])
        header = self._descriptor(self.paths[shard]).read(BLOCK, offset - BLOCK)
        name = header[:100].rstrip(b"\0").decode("utf-8", "replace")
        return f"{self.paths[shard]}: {name}"

    def open(self, index: int) -> BinaryIO:
        """The bytes of one image.

        Raises:
            DataError: the shard is shorter than it was.
        """
        shard, offset, size = map(int, self.entries[index])
        found = self._descriptor(self.paths[shard]).read(size, offset)
        if len(found) < size:
            raise DataError("shorter than when its headers were read", where=self.where(index))
        return io.BytesIO(found)


def image_shards(pattern: str, *, size: int, binarize: bool = False) -> Dataset:
    """The data set in the shards of a folder or a pattern; labels are those of `.cls` members.

    Raises:
        UsageError: the pattern is none.
        DataError: a shard is missing or damaged, a sample lacks its image or its label, or a
            held-out label is unknown to training.
    """
    train, val = (_split(paths, size) for paths in shard_paths(pattern))
    classes = int(train.labels.max()) + 1
    if int(val.labels.max()) >= classes:
        raise DataError(f"held-out label {int(val.labels.max())} is in no training shard",
                        where=pattern)  # fmt: skip
    return Dataset(pattern, train, val, classes, 255, MEAN, STD, binarize)


def _split(paths: tuple[Path, ...], size: int) -> EncodedSplit:
    with ThreadPoolExecutor(THREADS) as pool:
        shards = list(pool.map(indexed, paths))
    lengths = tuple(map(len, shards))
    numbers = np.repeat(np.arange(len(paths)), lengths)
    entries = np.concatenate(shards)
    files = ShardImages(paths, lengths, np.column_stack([numbers, entries[:, :2]]))
    return EncodedSplit(files, torch.from_numpy(entries[:, 2].copy()), size)


def indexed(path: Path) -> NDArray[np.int64]:
    """(N, 3): offset and size in bytes of each sample's image, and its label.

    Raises:
        DataError: it is no plain tar, is truncated or damaged, or a sample is not whole.
    """
    try:
        with tarfile.open(path, "r:") as archive:
            grouped = itertools.groupby(_files(archive, path), key=lambda m: _name(m)[0])
            found = [_entry(archive, f"{path}: {key}", list(members)) for key, members in grouped]
            _refuse_cut_off(archive, path)
    except BnfoldError:
        raise
    except (tarfile.TarError, OSError, ValueError, OverflowError) as cause:
        raise DataError(
            f"no readable shard: {cause}", where=str(path),
            hint="plain tar files, whole and not compressed, in WebDataset's layout",
        ) from cause  # fmt: skip
    if not found:
        raise DataError("a shard without samples", where=str(path))
    return np.array(found, np.int64)


def _files(archive: TarFile, path: Path) -> Iterator[TarInfo]:
    """Its members, but for folders and names that WebDataset passes over."""
    for member in archive:
        stem, kind = _name(member)
        base = stem.rpartition("/")[2]
        if member.isdir() or not kind or not base or base.startswith("__"):
            continue
        if not member.isreg() or member.issparse():
            raise DataError("a member that is no plain file", where=f"{path}: {member.name}")
        yield member


def _name(member: TarInfo) -> tuple[str, str]:
    """The stem up to the first dot of the base name, and what comes after it."""
    folder, slash, base = member.name.rpartition("/")
    stem, _, kind = base.partition(".")
    return f"{folder}{slash}{stem}", kind.lower()


def _entry(archive: TarFile, where: str, members: list[TarInfo]) -> tuple[int, int, int]:
    images = [m for m in members if f".{_name(m)[1]}" in EXTENSIONS]
    labels = [m for m in members if _name(m)[1] == LABEL]
    for what, found in (("image", images), (f"label (.{LABEL})", labels)):
        if len(found) != 1:
            count = f"{len(found)} of them" if found else "none"
            raise DataError(f"a sample needs one {what}: {count}", where=where)
    refuse_large(images[0].size, where)
    return images[0].offset_data, images[0].size, _label(archive, labels[0], where)


def _label(archive: TarFile, member: TarInfo, where: str) -> int:
    file = archive.extractfile(member)
    text = file.read(BLOCK).decode("ascii", "replace").strip() if file else ""
    if not text.isdecimal() or len(text) > 9 or int(text) >= LARGEST_LABEL:
        raise DataError(f"label {text[:30]!r} is no class number", where=where)
    return int(text)


def _refuse_cut_off(archive: TarFile, path: Path) -> None:
    """Python takes a damaged header, and the file's end, for the archive's: that is zeros."""
    assert archive.fileobj is not None
    archive.fileobj.seek(archive.offset)
    block = archive.fileobj.read(BLOCK)
    if len(block) < BLOCK:
        raise DataError("a truncated shard: it has no end mark", where=str(path))
    if block.strip(b"\0"):
        raise DataError(f"a damaged header at byte {archive.offset}", where=str(path))
