"""Inputs of many cases in one .npz: an array is called CASE/INPUT, or INPUT where there is one."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np

from bnfold import onnxfile
from bnfold.verification.cases import Array, Case


def save(path: str | os.PathLike[str], cases: Sequence[Case]) -> None:
    """Write the cases so that `inputs=path` asks the same question again.

    Raises:
        DataError: it cannot be written.
    """
    arrays = {
        f"{case.name.replace('/', '_')}/{name}": _storable(value)
        for case in cases
        for name, value in case.feeds.items()
    }
    with onnxfile.replacing(path) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def _storable(value: Array) -> Array:
    """Strings as unicode, bfloat16 as float32: numpy pickles objects and forgets the other's name.

    What is pickled is never read.
    """
    if value.dtype.kind == "V":
        return value.astype(np.float32)
    return value.astype(str) if value.dtype.kind == "O" else value


def split(
    file: str, arrays: Mapping[str, Array], names: Sequence[str]
) -> dict[str, dict[str, Array]]:
    """The cases of an archive; one, called by the file, where arrays are named as the inputs."""
    parts = [name.partition("/") for name in arrays]
    if set(arrays) == set(names) or not all(sep and rest in names for _, sep, rest in parts):
        return {file: dict(arrays)}
    found: dict[str, dict[str, Array]] = {}
    for (case, _, name), value in zip(parts, arrays.values(), strict=True):
        found.setdefault(case, {})[name] = value
    return found
