"""Several views of one image, whose class probabilities are averaged.

GoogLeNet's 144 (Szegedy et al. 2014, section 7; the paper's Figure 4): the shorter side at 4 scales
(256, 288, 320, 352 for inputs of 224), of each the 3 squares along the longer side, of each the 4
corners, the centre and the whole square, each mirrored too. Other inputs: the same in proportion.

Images of 28 or 32 pixels have no margin to cut from. Their analogue is what training does to them:
moved by a fourteenth of their size in the 8 directions, zeros coming in, and mirrored. A fourteenth
is how far the corners of GoogLeNet's smallest scale lie from its centre: 16 of 224.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

import torch
from torch import Tensor
from torch.nn.functional import pad

from bnfold.errors import UsageError
from bnfold.training.dataset import Images
from bnfold.training.decoding import Box
from bnfold.training.encoded import EncodedSplit

SCALES = (256 / 224, 288 / 224, 320 / 224, 352 / 224)  # the shorter side over the input's
PLACES = (0.0, 0.5, 1.0)  # of a square along the longer side: left or top, centre, right or bottom
CORNERS = ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (0.5, 0.5))  # of the margin; the centre
MOVED = 1 / 14  # of the size


class Crops(StrEnum):
    """Which views of an image are judged."""

    SINGLE = "single"
    SHIFTED = "shifted"
    SHIFTED_FLIPPED = "shifted-flipped"
    GOOGLENET = "googlenet"

    @property
    def number(self) -> int:
        """How many an image."""
        return NUMBERS[self]


NUMBERS = {Crops.SINGLE: 1, Crops.SHIFTED: 9, Crops.SHIFTED_FLIPPED: 18, Crops.GOOGLENET: 144}


def views(images: Images, chosen: Tensor, crops: Crops) -> Tensor:
    """Pixels (n, crops.number, C, H, W) of the images with these indices.

    Raises:
        UsageError: GoogLeNet's crops of images that are not files.
        DataError: naming the file that is no readable image.
    """
    match crops:
        case Crops.SINGLE:
            return images.take(chosen)[0][:, None]
        case Crops.SHIFTED:
            return moved(images.take(chosen)[0])
        case Crops.SHIFTED_FLIPPED:
            return mirrored(moved(images.take(chosen)[0]))
        case Crops.GOOGLENET:
            if not isinstance(images, EncodedSplit):
                raise UsageError(
                    "GoogLeNet's crops are cut from image files, which have a margin",
                    hint=f"--crops {Crops.SHIFTED_FLIPPED} for images in memory",
                )
            return mirrored(torch.stack([images.cut(int(i), boxes) for i in chosen]))


def moved(pixels: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, 9, C, H, W): up, down, left, right and between, and where it was."""
    height, width = pixels.shape[2:]
    down, right = (max(1, round(MOVED * side)) for side in (height, width))
    padded = pad(pixels, (right, right, down, down))
    return torch.stack(
        [
            padded[:, :, y : y + height, x : x + width]
            for y in (0, down, 2 * down)
            for x in (0, right, 2 * right)
        ],
        dim=1,
    )


def mirrored(several: Tensor) -> Tensor:
    """(N, V, C, H, W) -> (N, 2V, C, H, W): as they are, then left to right."""
    return torch.cat([several, several.flip(4)], dim=1)


def boxes(size: tuple[int, int]) -> Iterator[Box]:
    """GoogLeNet's 72 (left, top, right, bottom) of an image of (width, height), in its pixels.

    What is cut out of an enlarged image is as well cut out of the image itself, then enlarged.
    """
    width, height = size
    short = min(size)
    for scale in SCALES:
        side = short / scale
        for place in PLACES:
            left, top = place * (width - short), place * (height - short)
            for right, down in CORNERS:
                x, y = left + right * (short - side), top + down * (short - side)
                yield x, y, x + side, y + side
            yield left, top, left + short, top + short
