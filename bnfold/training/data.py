"""The data set that a name, a path or package.module:callable means."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from bnfold.errors import DataError, UsageError
from bnfold.training import arrays, callables
from bnfold.training.cifar import Found, cifar, find_cifar, missing
from bnfold.training.dataset import Dataset, Split
from bnfold.training.digits import digits
from bnfold.training.folders import has_folders, image_folders
from bnfold.training.idx import has_idx, idx_set
from bnfold.training.shards import image_shards

NAMES = ("digits", "mnist", "fashion-mnist", "cifar10", "cifar100", "fake")
TORCHVISION = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST"}
SHARDS = "shards:"  # a folder or a pattern of tar shards
SIZE = 224  # of images that come out of files, unless another is asked for

__all__ = ["NAMES", "Dataset", "Split", "load"]


def load(name: str, *, binarize: bool = False, size: int = SIZE) -> Dataset:
    """The data set of a name, a folder or file, or what package.module:callable returns.

    `size` is that of images read from image folders and tar shards, in pixels.

    Raises:
        UsageError: neither a known name nor a path, or no such callable.
        DataError: files are missing or corrupt, with what to put where.
        EnvironmentLacks: scikit-learn or pillow is needed and not installed.
    """
    if name == "digits":
        return digits(binarize=binarize)
    if name.partition(":")[0] == "fake":
        return arrays.fake(name)
    if name.startswith(SHARDS) or name.endswith(".tar"):
        return image_shards(name.removeprefix(SHARDS), size=size, binarize=binarize)
    if name in TORCHVISION:
        return idx_set(name, _home(name), binarize=binarize)
    if name in NAMES:
        return _cifar(name, binarize=binarize)
    if os.path.exists(name) or os.sep in name:
        return _at(Path(name), binarize=binarize, size=size)
    if ":" in name:
        return arrays.from_callable(name, callables.called(name), binarize=binarize)
    near = difflib.get_close_matches(name, NAMES, n=1, cutoff=0.4)
    hint = (
        f"did you mean {near[0]}?"
        if near
        else f"one of {', '.join(NAMES)}, a folder, shards:PATTERN"
    )
    raise UsageError(f"unknown data '{name}'", hint=hint)


def _at(path: Path, *, binarize: bool, size: int) -> Dataset:
    """What lies there: an npz file, idx files, CIFAR, tar shards, or image folders."""
    name = path.resolve().name
    if path.is_file():
        return arrays.npz(path, binarize=binarize)
    found = None if has_idx(path) else _find(path)
    if found is not None:
        return cifar(found[1], found[0], found[2], binarize=binarize)
    if any(path.glob("*.tar")):
        return image_shards(os.fspath(path), size=size, binarize=binarize)
    if has_folders(path):
        return image_folders(name, path, size=size, binarize=binarize)
    return idx_set(name, path, binarize=binarize)


def _find(path: Path) -> Found | None:
    try:
        return find_cifar(path)
    except OSError as cause:
        raise DataError(f"cannot be read: {cause.strerror}", where=str(path)) from cause


def _cifar(name: str, *, binarize: bool) -> Dataset:
    root = _root()
    for place in (root, root / name):
        found = find_cifar(place, (name,)) if place.is_dir() else None
        if found is not None:
            return cifar(name, found[0], found[2], binarize=binarize)
    raise missing(name, root)


def _root() -> Path:
    """$BNFOLD_DATA, or `data`."""
    return Path(os.environ.get("BNFOLD_DATA", "data"))


def _home(name: str) -> Path:
    """$BNFOLD_DATA / NAME, or torchvision's layout."""
    torchvision = _root() / TORCHVISION[name] / "raw"
    return torchvision if torchvision.is_dir() else _root() / name
