"""What a command writes is none of what it reads, and no two of its files are one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path

import bnfold
from bnfold.errors import BnfoldError, UsageError
from bnfold.show import show

Name = str | os.PathLike[str]


def spare(
    written: Sequence[Name],
    read: Iterable[Name],
    models: Iterable[Name] = (),
    data: Iterable[Name] = (),
) -> None:
    """Refuse to write over what is read, its external data included, before any work begins.

    `data` are the known data files of a model; those of `models` are looked up.

    Raises:
        UsageError: an output is an input, a data file of one, or another output.
        DataError: an output cannot be written.
    """
    for a, b in combinations(written, 2):
        if not _is_device(a) and _same(a, b):
            raise UsageError("two outputs are one file", where=show(os.fspath(a), 300))
    models, inputs, data = list(models), list(read), list(data)
    for file in written:
        where = show(os.fspath(file), 300)
        if any(Path(one).exists() and _same(one, file) for one in (*inputs, *models)):
            raise UsageError("the output is an input", where=where)
        if any(_same(one, file) for one in data) or any(_holds(one, file) for one in models):
            raise UsageError("the output is a data file of the input", where=where)
        bnfold.onnxfile.check_writable(file)


def _is_device(file: Name) -> bool:
    """What holds nothing that could be lost: /dev/null, a pipe."""
    return Path(file).exists() and not Path(file).is_file()


def _same(a: Name, b: Name) -> bool:
    return bnfold.onnxfile.same_file(a, b)


def _holds(model: Name, file: Name) -> bool:
    """Whether weights of the model lie in that file; one that cannot be read has none."""
    if not Path(file).is_file():
        return False
    try:
        with bnfold.onnxfile.opened(model) as source:
            return any(_same(file, data) for data in source.data_files)
    except BnfoldError:
        return False
