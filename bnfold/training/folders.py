"""Image folders in ImageNet's layout: train/CLASS/x.jpg and val/CLASS/x.jpg."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import torch

from bnfold.errors import DataError
from bnfold.training.dataset import Dataset
from bnfold.training.decoding import EXTENSIONS, MEAN, STD, refuse_large
from bnfold.training.encoded import EncodedSplit

PARTS = (("train", ("train",)), ("val", ("val", "test")))


@dataclass(frozen=True, slots=True)
class FolderImages:
    """One file an image."""

    paths: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def shards(self) -> tuple[int, ...]:
        """(N,)."""
        return (len(self),)

    def where(self, index: int) -> str:
        """The path."""
        return str(self.paths[index])

    def open(self, index: int) -> BinaryIO:
        """The file.

        Raises:
            DataError: it is too large to be read.
        """
        refuse_large(self.paths[index].stat().st_size, self.where(index))
        return self.paths[index].open("rb")


@dataclass(frozen=True, slots=True)
class Labelled:
    """Files and their labels; a label is the rank of the folder's name."""

    paths: tuple[Path, ...]
    labels: tuple[int, ...]


def has_folders(root: Path) -> bool:
    """Is there a folder of one of the parts, or are there images in folders without a part?"""
    if any((root / s).is_dir() for _, spellings in PARTS for s in spellings):
        return True
    inside = (folder for folder in root.iterdir() if folder.is_dir()) if root.is_dir() else ()
    return any(p.suffix.lower() in EXTENSIONS for folder in inside for p in folder.iterdir())


def image_folders(name: str, root: Path, *, size: int, binarize: bool = False) -> Dataset:
    """The data set below `root`; a class's index is its folder's rank by name.

    Raises:
        DataError: a part is missing or empty, or a class is not in training.
    """
    names, *parts = labelled(root)
    train, val = (
        EncodedSplit(FolderImages(part.paths), torch.tensor(part.labels), size) for part in parts
    )
    return Dataset(name, train, val, len(names), 255, MEAN, STD, binarize)


def labelled(root: Path) -> tuple[list[str], Labelled, Labelled]:
    """The classes, and the files of both parts.

    Raises:
        DataError: a part is missing or empty, or a class is not in training.
    """
    train, val = (_folder(root, *spelt) for spelt in PARTS)
    names = _classes(train)
    return names, _part(train, names), _part(val, names)


def _folder(root: Path, part: str, spellings: tuple[str, ...]) -> Path:
    folder = next((root / s for s in spellings if (root / s).is_dir()), None)
    if folder is None:
        raise DataError(f"no folder '{part}'", where=str(root), hint=f"{root}/{part}/CLASS/x.jpg")
    return folder


def _part(folder: Path, names: list[str]) -> Labelled:
    unknown = sorted(set(_classes(folder)) - set(names))
    if unknown:
        raise DataError(f"class '{unknown[0]}' is not in train", where=str(folder))
    found = [(p, names.index(c)) for c in _classes(folder) for p in _images(folder / c)]
    if not found:
        raise DataError("no images", where=str(folder))
    return Labelled(*zip(*found, strict=True))


def _classes(folder: Path) -> list[str]:
    try:
        return sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    except OSError as cause:
        raise DataError(f"cannot be read: {cause.strerror}", where=str(folder)) from cause


def _images(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in EXTENSIONS and p.is_file())
