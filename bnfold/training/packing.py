"""An image folder as tar shards in WebDataset's layout: the same bytes in, the same bytes out."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import torch

from bnfold.errors import DataError, UsageError
from bnfold.onnxfile import replacing_folder
from bnfold.training.folders import FolderImages, Labelled, labelled
from bnfold.training.seeds import Purpose, stream
from bnfold.training.shards import LABEL

CLASSES = "classes.txt"  # also what marks the folder as one of ours


def pack(
    folder: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    per_shard: int = 10_000,
    seed: int = 0,
) -> tuple[Path, ...]:
    """The shards of `folder`/train and `folder`/val, as train-000000.tar ... in `out`.

    Images are mixed before they are written, since a buffer reaches only as far as its size;
    their files go in as they are. `classes.txt` names class 0 first. Same files, same bytes.

    Raises:
        DataError: `folder` is no image folder or cannot be read, or `out` cannot be written.
        UsageError: `out` holds something else, or `per_shard` is not positive.
    """
    if per_shard < 1:
        raise UsageError(f"per_shard={per_shard} is not positive")
    names, train, val = labelled(Path(folder))
    written: list[str] = []
    with replacing_folder(out, mark=CLASSES) as fresh:
        for part, images in (("train", train), ("val", val)):
            order = torch.randperm(len(images.paths), generator=stream(seed, Purpose.ORDER))
            for number, chosen in enumerate(torch.split(order, per_shard)):
                written.append(f"{part}-{number:06d}.tar")
                _write(fresh / written[-1], images, chosen.tolist(), number * per_shard)
        (fresh / CLASSES).write_text("".join(f"{name}\n" for name in names), "utf-8")
    return tuple(Path(out) / name for name in written)


def _write(path: Path, images: Labelled, chosen: list[int], first: int) -> None:
    """One shard; no times, owners or folders' names go into it."""
    files = FolderImages(images.paths)
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for number, index in enumerate(chosen, first):
            suffix = images.paths[index].suffix.lower()
            _add(archive, f"{number:08d}{suffix}", _content(files, index))
            _add(archive, f"{number:08d}.{LABEL}", str(images.labels[index]).encode())


def _content(files: FolderImages, index: int) -> bytes:
    try:
        with files.open(index) as file:
            return file.read()
    except OSError as cause:
        raise DataError(f"cannot be read: {cause.strerror}", where=files.where(index)) from cause


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))
