"""Image folders in ImageNet's layout: train/CLASS/x.jpg and val/CLASS/x.jpg, read by pillow.

What an index and a seed give does not depend on who decodes it or when, so that threads and
resuming cannot change a run.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bnfold.errors import DataError
from bnfold.extras import require
from bnfold.training.dataset import Dataset, Seeds

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"})
PARTS = (("train", ("train",)), ("val", ("val", "test")))
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, as published weights want
RESIZE = 256 / 224  # the shorter side over the crop, in evaluation
AREA, ASPECT = (0.08, 1.0), (3 / 4, 4 / 3)  # of random crops (Szegedy et al. 2014)
LARGEST_FILE, LARGEST_IMAGE = 256 << 20, 100_000_000  # bytes, pixels
CPU = torch.device("cpu")
THREADS = 8  # pillow decodes outside of the interpreter's lock


@dataclass(frozen=True, slots=True)
class FolderSplit:
    """Files and labels; images are decoded when taken, the expected ones in the background."""

    paths: tuple[Path, ...]
    labels: Tensor
    size: int
    device: torch.device = CPU
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(THREADS))
    _waiting: dict[tuple[int, int | None], Future[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(3, size, size)."""
        return 3, self.size, self.size

    @property
    def crops(self) -> bool:
        """Yes: where there are seeds."""
        return True

    @property
    def shards(self) -> tuple[int, ...]:
        """(N,)."""
        return (len(self),)

    def take(self, chosen: Tensor, seeds: Seeds = None) -> tuple[Tensor, Tensor]:
        """Decoded images and their labels.

        Raises:
            DataError: naming the file that is no readable image.
        """
        self.expect(chosen, seeds)
        keys = list(self._keys(chosen, seeds))
        found = {key: self._waiting.pop(key).result() for key in dict.fromkeys(keys)}
        images = torch.from_numpy(np.stack([found[key] for key in keys])).to(self.device)
        return images, self.labels[chosen.to(self.labels.device)]

    def expect(self, chosen: Tensor, seeds: Seeds = None) -> None:
        """Begin to decode what is not being decoded yet."""
        for index, seed in self._keys(chosen, seeds):
            if (index, seed) not in self._waiting:
                self._waiting[index, seed] = self._pool.submit(
                    decoded, self.paths[index], self.size, seed
                )

    def to(self, device: torch.device) -> FolderSplit:
        """The same, answering on a device; files stay where they are."""
        return FolderSplit(self.paths, self.labels.to(device), self.size, device, self._pool)

    def _keys(self, chosen: Tensor, seeds: Seeds) -> Iterator[tuple[int, int | None]]:
        for place, index in enumerate(chosen.tolist()):
            yield int(index), None if seeds is None else seeds[place]


def has_folders(root: Path) -> bool:
    """Is there a training folder?"""
    return (root / "train").is_dir()


def image_folders(name: str, root: Path, *, size: int, binarize: bool = False) -> Dataset:
    """The data set below `root`; a class's index is its folder's rank by name.

    Raises:
        DataError: a part is missing or empty, or a class is not in training.
    """
    names = _classes(root / "train")
    splits = []
    for part, spellings in PARTS:
        folder = next((root / s for s in spellings if (root / s).is_dir()), None)
        if folder is None:
            raise DataError(
                f"no folder '{part}'", where=str(root), hint=f"{root}/{part}/CLASS/x.jpg"
            )
        unknown = sorted(set(_classes(folder)) - set(names))
        if unknown:
            raise DataError(f"class '{unknown[0]}' is not in train", where=str(folder))
        found = [(p, names.index(c)) for c in _classes(folder) for p in _images(folder / c)]
        if not found:
            raise DataError("no images", where=str(folder))
        paths, labels = zip(*found, strict=True)
        splits.append(FolderSplit(paths, torch.tensor(labels), size))
    return Dataset(name, splits[0], splits[1], len(names), 255, MEAN, STD, binarize)


def decoded(path: Path, size: int, seed: int | None) -> np.ndarray[Any, Any]:
    """(3, size, size) uint8: a random crop by the seed and resized, or the centre without one.

    Raises:
        DataError: it is no readable image, or too large.
    """
    image_module = require("PIL.Image", "train")
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise DataError(f"larger than {LARGEST_FILE} bytes", where=str(path))
        with image_module.open(path) as image:
            if math.prod(image.size) > LARGEST_IMAGE:
                raise DataError(f"{image.size} pixels are too many", where=str(path))
            image.draft("RGB", (2 * size, 2 * size))  # JPEG: decode at a fraction of the size
            upright = require("PIL.ImageOps", "train").exif_transpose(image).convert("RGB")
            box = _centre(upright.size) if seed is None else _random(upright.size, seed)
            cut = upright.resize((size, size), image_module.Resampling.BILINEAR, box)
            return np.moveaxis(np.asarray(cut, np.uint8), 2, 0)
    except DataError:
        raise
    except Exception as cause:  # pillow's decoders raise what a damaged file makes of them
        raise DataError(f"corrupt image: {cause}", where=str(path)) from cause


Box = tuple[float, float, float, float]


def _centre(size: tuple[int, int]) -> Box:
    """The middle square that a resize of the shorter side and a centre crop leave."""
    width, height = size
    side = min(size) / RESIZE
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def _random(size: tuple[int, int], seed: int) -> Box:
    """A part of the area and a ratio of sides, both at random; the middle square if none fits."""
    width, height = size
    draw = random.Random(seed)
    for _ in range(10):
        area = width * height * draw.uniform(*AREA)
        ratio = math.exp(draw.uniform(*map(math.log, ASPECT)))
        w, h = math.sqrt(area * ratio), math.sqrt(area / ratio)
        if 1 <= w <= width and 1 <= h <= height:
            left, top = draw.uniform(0, width - w), draw.uniform(0, height - h)
            return left, top, left + w, top + h
    return _centre(size)


def _classes(folder: Path) -> list[str]:
    try:
        return sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    except OSError as cause:
        raise DataError(f"cannot be read: {cause.strerror}", where=str(folder)) from cause


def _images(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in EXTENSIONS and p.is_file())
