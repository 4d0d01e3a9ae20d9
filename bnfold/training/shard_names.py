"""Which tar shards a pattern means, and which of them are for training: by their names."""

from __future__ import annotations

import glob
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

from bnfold.errors import DataError, UsageError

BRACES = re.compile(r"\{([^{}]*)\}")
RANGE = re.compile(r"(\d+)\.\.(\d+)")
LARGEST_RANGE = 1_000_000
TRAIN, HELD_OUT = "train|training", "val|valid|validation|test|eval"


def shard_paths(pattern: str) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Training and held-out shards of a folder, or of a pattern as bash takes it: *, {a,b}, {0..9}.

    Raises:
        UsageError: a range of far too many names.
        DataError: a shard is missing, is for neither part, or a part has none.
    """
    if Path(pattern).is_dir():
        found = sorted({*_matching(f"{pattern}/*.tar"), *_matching(f"{pattern}/*/*.tar")})
    else:
        found = sorted({path for name in _expanded(pattern) for path in _matching(name)})
    parts: dict[str, list[Path]] = {"train": [], "val": []}
    for path in found:
        parts[_part(path)].append(path)
    for part, paths in parts.items():
        if not paths:
            raise DataError(
                f"no shard for '{part}'", where=pattern, hint="names like train-000000.tar"
            )
    return tuple(parts["train"]), tuple(parts["val"])


def _expanded(pattern: str) -> Iterator[str]:
    """Every name that the braces stand for."""
    pieces = BRACES.split(pattern)  # text and what was in braces take turns
    choices = [[p] if i % 2 == 0 else _choices(p) for i, p in enumerate(pieces)]
    for chosen in itertools.product(*choices):
        yield "".join(chosen)


def _choices(inside: str) -> list[str]:
    between = RANGE.fullmatch(inside)
    if between is None:
        return inside.split(",")
    first, last = between.groups()
    if not 0 <= int(last) - int(first) < LARGEST_RANGE:
        raise UsageError(f"'{{{inside}}}' is no range of shards")
    return [str(n).zfill(len(first)) for n in range(int(first), int(last) + 1)]


def _matching(name: str) -> list[Path]:
    """The files of a name with stars; a name without has to be there."""
    if glob.has_magic(name):
        return [Path(path) for path in glob.glob(name) if Path(path).is_file()]
    if not Path(name).is_file():
        raise DataError("no such shard", where=name)
    return [Path(name)]


def _part(path: Path) -> str:
    """By a word in the file's name, else by its folder's whole name."""
    for pattern, text in ((r"(?<![a-z])({})(?![a-z])", path.name), (r"^({})$", path.parent.name)):
        parts = [
            part
            for part, words in (("train", TRAIN), ("val", HELD_OUT))
            if re.search(pattern.format(words), text, re.IGNORECASE)
        ]
        if len(parts) == 1:
            return parts[0]
    raise DataError(
        "neither train nor val in the name of a shard", where=str(path),
        hint="names like train-000000.tar, or folders train and val",
    )  # fmt: skip
