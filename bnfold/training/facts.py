"""What a checkpoint's manifest says of its network and data: of the kinds and sizes it must be."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from bnfold.errors import DataError

MOST_CLASSES = 1 << 20
MOST_LETTERS = 4096
MOST_PIXELS = 1 << 24  # of an image, all channels: what a stranger may ask a layer to take


def _is_whole(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_name(value: object) -> bool:
    """Of a network, a data set or a path: longer ones keep the system's own search busy."""
    return isinstance(value, str) and len(value) <= MOST_LETTERS


def _is_shape(value: object) -> bool:
    sizes = value if isinstance(value, list) and len(value) == 3 else [0]
    return all(_is_whole(n, 1, MOST_PIXELS) for n in sizes) and math.prod(sizes) <= MOST_PIXELS


def _are_numbers(value: object) -> bool:
    """One a channel, or one for all: the first version wrote a plain number."""
    listed = value if isinstance(value, list) else [value]
    return all(isinstance(n, int | float) and not isinstance(n, bool) for n in listed)


FACTS: Mapping[str, Mapping[str, Callable[[Any], bool]]] = {  # beside its files
    "model": {"name": _is_name},
    "data": {
        "name": _is_name,
        "classes": lambda value: _is_whole(value, 1, MOST_CLASSES),
        "shape": _is_shape,
        "top": lambda value: _is_whole(value, 1, 1 << 16),
        "mean": _are_numbers,
        "std": _are_numbers,
        "binarize": lambda value: isinstance(value, bool),
    },
    "config": {"data": _is_name},
}


def check(manifest: Mapping[str, Any], where: str) -> None:
    """Refuse a manifest that lacks a fact, or in which one is of another kind.

    Raises:
        DataError: naming the first such part.
    """
    if not _is_whole(manifest.get("step"), 0, 1 << 62):
        raise DataError("the manifest's step is no number of steps", where=where)
    for part, wanted in FACTS.items():
        facts = manifest.get(part)
        if not isinstance(facts, dict) or not facts.keys() >= wanted.keys():
            raise DataError(f"manifest lacks {part}: {', '.join(sorted(wanted))}", where=where)
        for key, holds in wanted.items():
            if not holds(facts[key]):
                raise DataError(f"the manifest's {part}.{key} is not one", where=where)
