"""Files that are not ours, read whole: regular ones alone, and no further than they were long.

A pipe would keep a reader waiting for ever, a device never ends, and a file may grow meanwhile.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any

_WITHOUT_SIZE = 1 << 26  # bytes read of a file that says it is empty, as those of /proc do


def read_plain(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a regular file.

    Raises:
        OSError: it cannot be read, or is no regular file.
    """
    _refuse_others(os.stat(path), path)  # before it is opened: to open a device may do something
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(handle)  # another file may have its name by now
        _refuse_others(found, path)
        return file.read(found.st_size or _WITHOUT_SIZE)


def parse_json(data: bytes | str) -> Any:
    """What the text says.

    Raises:
        ValueError: it is no UTF-8 or no JSON, or nested too deep.
    """
    try:
        return json.loads(data)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def read_json(path: str | os.PathLike[str]) -> Any:
    """What a regular file of JSON says.

    Raises:
        OSError: it cannot be read, or is no regular file.
        ValueError: it is no JSON.
    """
    return parse_json(read_plain(Path(path)))


def _refuse_others(found: os.stat_result, path: str | os.PathLike[str]) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is no regular file", os.fspath(path))
