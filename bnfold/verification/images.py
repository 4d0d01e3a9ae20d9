"""A folder of images as inputs: what is done to each is fixed, and documented in one place.

Decoded and turned as its EXIF says; the shorter side resized (bilinear, antialiased) to the
model's size, the centre cut out; RGB, or grey where the model takes one channel; NCHW or NHWC as
the model's input has its channels. Values: 0-255 where the model takes bytes, else [0, 1], and
for RGB less ImageNet's mean over its deviation.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import onnx

from bnfold import extras
from bnfold.errors import DataError
from bnfold.show import show
from bnfold.verification.cases import Array
from bnfold.verification.subject import Dim, Port

ENDINGS = frozenset((".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"))
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
MOST_PIXELS = 50_000_000
MOST_FILES = 64
OPEN_SIDE = 224  # where the model leaves it open


def files_of(folder: Path) -> list[Path]:
    """The images in the folder and below, sorted; evenly spread ones of more than 64."""
    found = sorted(
        file for file in folder.rglob("*") if file.suffix.lower() in ENDINGS and file.is_file()
    )
    if len(found) <= MOST_FILES:
        return found
    return [found[k * len(found) // MOST_FILES] for k in range(MOST_FILES)]


def read(file: Path, port: Port) -> Array:
    """One image as the batch of one that the input takes.

    Raises:
        EnvironmentLacks: pillow is not installed.
        DataError: no readable image, one of more than 50 million pixels, or no input for images.
    """
    channels_last, channels, height, width = _layout(file, port)
    extras.require("PIL.Image", "train")
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings(), Image.open(file) as opened:
            warnings.simplefilter("ignore")  # of a damaged file; its size is looked at here
            if opened.width * opened.height > MOST_PIXELS:
                raise DataError(f"more than {MOST_PIXELS} pixels", where=show(file, 300))
            turned = ImageOps.exif_transpose(opened).convert("RGB" if channels == 3 else "L")
            fitted = ImageOps.fit(turned, (width, height), Image.Resampling.BILINEAR)
    except DataError:
        raise
    except Exception as cause:  # pillow's decoders raise what a damaged file makes of them
        raise DataError(f"not a readable image: {show(cause)}", where=show(file, 300)) from cause
    values = np.asarray(fitted).reshape(height, width, channels)
    values = _scaled(values, port, channels)
    return values[None] if channels_last else values.transpose(2, 0, 1)[None]


def _scaled(values: Array, port: Port, channels: int) -> Array:
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(port.elem_type))
    if dtype.kind != "f":
        return values.astype(dtype)
    shares = values / 255.0
    if channels == 3:
        shares = (shares - MEAN) / DEVIATION
    return shares.astype(dtype)


def _layout(file: Path, port: Port) -> tuple[bool, int, int, int]:
    """Whether channels come last; channels, height, width, open sizes being 64."""
    dims: tuple[Dim, ...] = port.dims or ()
    if len(dims) == 4 and (dims[0] == 1 or not isinstance(dims[0], int)):
        for axis, sides in ((1, dims[2:4]), (3, dims[1:3])):
            channels = dims[axis]
            if isinstance(channels, int) and channels in (1, 3):
                height, width = (d if isinstance(d, int) else OPEN_SIDE for d in sides)
                return axis == 3, channels, height, width
    raise DataError(
        f"input '{show(port.name)}' takes no batch of one image with 1 or 3 channels",
        where=show(file, 300),
        hint="give arrays: .npz, .npy",
    )
