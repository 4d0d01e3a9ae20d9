"""What training reads: splits of images that answer to indices, and how pixels become inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bnfold.errors import DataError

Seeds = Sequence[int] | None  # one an image for random crops; None: the centre


class Images(Protocol):
    """A split: `labels` (N,) int64, and images by index."""

    @property
    def labels(self) -> Tensor:
        """(N,) int64."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""

    @property
    def crops(self) -> bool:
        """Does it cut images by the seeds?"""

    @property
    def shards(self) -> tuple[int, ...]:
        """How many images lie in each shard, in their order; (N,) where there are no shards."""

    def __len__(self) -> int: ...

    def take(self, chosen: Tensor, seeds: Seeds = None) -> tuple[Tensor, Tensor]:
        """Images (n, C, H, W) uint8 and labels (n,) of these indices."""

    def expect(self, chosen: Tensor, seeds: Seeds = None) -> None:
        """Say what will be taken next, so that it can be read meanwhile."""

    def to(self, device: torch.device) -> Images:
        """The same, answering on a device."""


@dataclass(frozen=True, slots=True)
class Split:
    """A split in memory: `images` (N, C, H, W) uint8, `labels` (N,) int64."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    @property
    def crops(self) -> bool:
        """No: `shift` and `flip` work on the device."""
        return False

    @property
    def shards(self) -> tuple[int, ...]:
        """(N,)."""
        return (len(self),)

    def take(self, chosen: Tensor, seeds: Seeds = None) -> tuple[Tensor, Tensor]:
        """Images and labels of these indices; crops are made on the device, not here."""
        del seeds
        return self.images[chosen], self.labels[chosen]

    def expect(self, chosen: Tensor, seeds: Seeds = None) -> None:
        """Everything is there already."""

    def to(self, device: torch.device) -> Split:
        """The same on a device."""
        return Split(self.images.to(device), self.labels.to(device))


@dataclass(frozen=True, slots=True)
class Dataset:
    """A training and a held-out split, and how pixels become inputs: (x / top - mean) / std.

    `mean` and `std` have one entry, or one a channel.
    """

    name: str
    train: Images
    test: Images
    classes: int
    top: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    binarize: bool = False

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        return self.train.shape

    def inputs(self, images: Tensor) -> Tensor:
        """Pixels (N, C, H, W) uint8 as the network's float32 inputs."""
        if self.binarize:
            return (images >= (self.top + 1) // 2).float()  # x / top >= 1/2, in whole numbers
        scaled = images.float() / self.top
        if len(self.mean) == 1:
            return (scaled - self.mean[0]) / self.std[0]
        mean, std = (
            torch.tensor(v, device=images.device).view(1, -1, 1, 1) for v in (self.mean, self.std)
        )
        return (scaled - mean) / std

    def to(self, device: torch.device) -> Dataset:
        """The same with both splits on a device."""
        return replace(self, train=self.train.to(device), test=self.test.to(device))

    def describe(self) -> dict[str, object]:
        """What a checkpoint records of the data: plain JSON."""
        return {
            "name": self.name, "classes": self.classes, "shape": list(self.shape),
            "top": self.top, "mean": list(self.mean), "std": list(self.std),
            "binarize": self.binarize,
        }  # fmt: skip


def split(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> Split:
    """Arrays as tensors of their own: (N, C, H, W) and (N,)."""
    return Split(torch.from_numpy(images.copy()), torch.from_numpy(labels.astype(np.int64)))


def in_memory(
    name: str, train: Split, test: Split, *, top: int = 255, binarize: bool = False
) -> Dataset:
    """Mean and deviation are the training pixels'; classes run from 0 to the largest label.

    Raises:
        DataError: a split is empty, sizes differ, or a label is negative or unknown to training.
    """
    if not (len(train) and len(test)) or train.shape != test.shape:
        raise DataError("training and test images are empty or differ in size", where=name)
    if min(int(train.labels.min()), int(test.labels.min())) < 0:
        raise DataError("a label is negative", where=name)
    classes = int(train.labels.max()) + 1
    if int(test.labels.max()) >= classes:
        raise DataError(f"test label {int(test.labels.max())} is in no training image", where=name)
    mean, std = _moments(train.images, top)
    return Dataset(name, train, test, classes, top, mean, std, binarize)


def _moments(images: Tensor, top: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and population deviation a channel, exact: counts of 256 values in float64."""
    means, stds = [], []
    for channel in range(images.shape[1]):
        counts = torch.bincount(images[:, channel].flatten(), minlength=256).double()
        levels = torch.arange(len(counts), dtype=torch.float64) / top
        mean = float((counts * levels).sum() / counts.sum())
        means.append(mean)
        stds.append(float((counts * (levels - mean).square()).sum() / counts.sum()) ** 0.5 or 1.0)
    return tuple(means), tuple(stds)
