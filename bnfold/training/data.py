"""Images and labels: the embedded digits, MNIST and Fashion-MNIST from idx files in a folder."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bnfold.errors import DataError, UsageError
from bnfold.extras import require
from bnfold.training import idx

NAMES = ("digits", "mnist", "fashion-mnist")
PARTS = {"train": "train", "test": "t10k"}
SPLIT_SEED = 0  # the held-out digits are the same for every seed of a run
HELD_OUT = 360


@dataclass(frozen=True, slots=True)
class Split:
    """`images` (N, C, H, W) uint8, `labels` (N,) int64."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> Split:
        """The same on a device."""
        return Split(self.images.to(device), self.labels.to(device))


@dataclass(frozen=True, slots=True)
class Dataset:
    """A training and a held-out split, and how pixels become inputs: (x / top - mean) / std."""

    name: str
    train: Split
    test: Split
    classes: int
    top: int
    mean: float
    std: float
    binarize: bool = False

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        channels, height, width = self.train.images.shape[1:]
        return channels, height, width

    def inputs(self, images: Tensor) -> Tensor:
        """Pixels (N, C, H, W) uint8 as the network's float32 inputs."""
        if self.binarize:
            return (images >= (self.top + 1) // 2).float()  # x / top >= 1/2, in whole numbers
        return (images.float() / self.top - self.mean) / self.std

    def to(self, device: torch.device) -> Dataset:
        """The same with both splits on a device: sets of this size fit it."""
        moved = self.train.to(device), self.test.to(device)
        return Dataset(
            self.name, *moved, self.classes, self.top, self.mean, self.std, self.binarize
        )

    def describe(self) -> dict[str, object]:
        """What a checkpoint records of the data: plain JSON."""
        return {
            "name": self.name, "classes": self.classes, "shape": list(self.shape),
            "top": self.top, "mean": self.mean, "std": self.std, "binarize": self.binarize,
        }  # fmt: skip


def load(name: str, *, binarize: bool = False) -> Dataset:
    """The data set of a name, or of a folder that holds the four idx files.

    Raises:
        UsageError: neither a known name nor a path.
        DataError: files are missing or corrupt, with what to put where.
        EnvironmentLacks: scikit-learn, which brings the digits, is not installed.
    """
    if name == "digits":
        return _digits(binarize)
    if name in NAMES:
        return _idx(name, _home(name), binarize)
    if Path(name).exists() or os.sep in name:
        return _idx(Path(name).name, Path(name), binarize)
    near = difflib.get_close_matches(name, NAMES, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]}?" if near else f"one of {', '.join(NAMES)}, or a folder"
    raise UsageError(f"unknown data '{name}'", hint=hint)


def _digits(binarize: bool) -> Dataset:  # noqa: FBT001
    """The 1,797 handwritten digits of scikit-learn, 8x8 with 17 grey levels; 360 held out."""
    bunch = require("sklearn.datasets", "train").load_digits()
    images = bunch.images.astype(np.uint8)[:, None]
    labels = bunch.target.astype(np.int64)
    held = _held_out(labels)
    train, test = _split(images[~held], labels[~held]), _split(images[held], labels[held])
    return _dataset("digits", train, test, top=16, binarize=binarize)


def _held_out(labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """A stratified choice of HELD_OUT samples: the classes take turns."""
    order = np.random.default_rng(SPLIT_SEED).permutation(len(labels))
    rank = np.empty(len(labels), np.int64)  # how many of its class came before it
    for label in np.unique(labels):
        own = order[labels[order] == label]
        rank[own] = np.arange(len(own))
    chosen = order[np.argsort(rank[order], kind="stable")][:HELD_OUT]
    mask = np.zeros(len(labels), bool)
    mask[chosen] = True
    return mask


def _home(name: str) -> Path:
    """Where a named set lies: $BNFOLD_DATA (default: data) / NAME, or torchvision's layout."""
    root = Path(os.environ.get("BNFOLD_DATA", "data"))
    torchvision = root / {"mnist": "MNIST", "fashion-mnist": "FashionMNIST"}[name] / "raw"
    return torchvision if torchvision.is_dir() else root / name


def _idx(name: str, folder: Path, binarize: bool) -> Dataset:  # noqa: FBT001
    if not folder.is_dir():
        raise _missing(folder, "no such folder")
    splits = []
    for part in PARTS.values():
        arrays = []
        for kind, dimensions in (("images", 3), ("labels", 1)):
            path = idx.find(folder, f"{part}-{kind}", dimensions)
            if path is None:
                raise _missing(folder, f"no {part}-{kind}-idx{dimensions}-ubyte[.gz]")
            arrays.append(idx.read(path, dimensions))
        images, labels = arrays
        if len(images) != len(labels):
            raise DataError(
                f"{len(images)} images but {len(labels)} labels in {part}-*", where=str(folder)
            )
        splits.append(_split(images[:, None], labels.astype(np.int64)))
    train, test = splits
    if not (len(train) and len(test)) or train.images.shape[1:] != test.images.shape[1:]:
        raise DataError(
            "the training and test images are empty or differ in size", where=str(folder)
        )
    return _dataset(name, train, test, top=255, binarize=binarize)


def _missing(folder: Path, what: str) -> DataError:
    return DataError(
        f"data set not found: {what}",
        where=str(folder),
        hint=f"put train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and "
        f"t10k-labels-idx1-ubyte (or their .gz) into {folder}, or give --data FOLDER",
    )


def _split(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> Split:
    return Split(torch.from_numpy(images.copy()), torch.from_numpy(labels.copy()))


def _dataset(name: str, train: Split, test: Split, *, top: int, binarize: bool) -> Dataset:
    """Mean and deviation are the training pixels'; classes run from 0 to the largest label."""
    pixels = train.images.double() / top
    classes = int(train.labels.max()) + 1
    if int(test.labels.max()) >= classes:
        raise DataError(f"test label {int(test.labels.max())} is in no training image", where=name)
    std = float(pixels.std(correction=0)) or 1.0
    return Dataset(name, train, test, classes, top, float(pixels.mean()), std, binarize)
