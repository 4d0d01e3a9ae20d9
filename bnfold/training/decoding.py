"""One image of a file, by pillow: capped, upright, cut and resized.

What an index and a seed give does not depend on who decodes it or when, so that threads and
resuming cannot change a run.
"""

from __future__ import annotations

import math
import random
from typing import Any, BinaryIO, Protocol

import numpy as np

from bnfold.errors import BnfoldError, DataError
from bnfold.extras import require

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"})
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, as published weights want
RESIZE = 256 / 224  # the shorter side over the crop, in evaluation
AREA, ASPECT = (0.08, 1.0), (3 / 4, 4 / 3)  # of random crops (Szegedy et al. 2014)
LARGEST_FILE, LARGEST_IMAGE = 256 << 20, 100_000_000  # bytes, pixels


class Stored(Protocol):
    """Where encoded images lie."""

    @property
    def shards(self) -> tuple[int, ...]:
        """How many lie in each shard; (N,) where there are no shards."""

    def __len__(self) -> int: ...

    def where(self, index: int) -> str:
        """What an error says."""

    def open(self, index: int) -> BinaryIO:
        """The bytes of one."""


Box = tuple[float, float, float, float]  # left, top, right, bottom


def decoded(files: Stored, index: int, size: int, seed: int | None) -> np.ndarray[Any, Any]:
    """(3, size, size) uint8: a random crop by the seed and resized, or the centre without one.

    Raises:
        DataError: it is no readable image, or too large.
    """
    image = upright(files, index, size)
    return resized(image, size, _centre(image.size) if seed is None else _random(image.size, seed))


def upright(files: Stored, index: int, size: int) -> Any:
    """An image as pillow has it, in RGB, turned as its camera says; crops are `size` wide.

    Raises:
        DataError: it is no readable image, or too large.
    """
    image_module = require("PIL.Image", "train")
    try:
        with files.open(index) as file, image_module.open(file) as image:
            if math.prod(image.size) > LARGEST_IMAGE:
                raise DataError(f"{image.size} pixels are too many", where=files.where(index))
            image.draft("RGB", (2 * size, 2 * size))  # JPEG: decode at a fraction of the size
            turned = require("PIL.ImageOps", "train").exif_transpose(image)
            return _eight_bits(turned, str(image.format), files.where(index)).convert("RGB")
    except BnfoldError:
        raise
    except image_module.UnidentifiedImageError as cause:
        raise DataError("corrupt image: of no known kind", where=files.where(index)) from cause
    except Exception as cause:  # pillow's decoders raise what a damaged file makes of them
        raise DataError(f"corrupt image: {cause}", where=files.where(index)) from cause


def _eight_bits(image: Any, kind: str, where: str) -> Any:
    """65535 becomes 255: pillow cuts off at 255 when it converts, and leaves a white image.

    Raises:
        DataError: the pixels are of 32 bits, which have no scale of their own.
    """
    if image.mode.startswith("I;16") or (image.mode == "I" and kind == "PPM"):
        wide = np.asarray(image).astype(np.uint32)
        return require("PIL.Image", "train").fromarray(((wide + 128) // 257).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise DataError("pixels of 32 bits: save them with 8 or 16", where=where)
    return image


def resized(image: Any, size: int, box: Box) -> np.ndarray[Any, Any]:
    """(3, size, size) uint8: what lies in the box."""
    bilinear = require("PIL.Image", "train").Resampling.BILINEAR
    return np.moveaxis(np.asarray(image.resize((size, size), bilinear, box), np.uint8), 2, 0)


def refuse_large(count: int, where: str) -> None:
    """No file of so many bytes is read for one image.

    Raises:
        DataError: it is larger than LARGEST_FILE.
    """
    if count > LARGEST_FILE:
        raise DataError(f"larger than {LARGEST_FILE} bytes", where=where)


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
