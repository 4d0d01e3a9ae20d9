"""What a process has lying about on the disk, noted for the one that watches it.

A process that is killed removes nothing. So one that may be lost notes the name of each temporary
file and folder in a ledger that its watcher holds open too, and the watcher removes what is left.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress

_LEDGER: list[int] = []  # the open file: this process and its fork share it


def open_ledger() -> None:
    """In the watcher, before the fork: from here on `note` is remembered."""
    if hasattr(os, "memfd_create"):  # in memory: a full disk is no reason to have none
        _LEDGER[:] = [os.memfd_create("bnfold-leftovers")]


def note(path: str | os.PathLike[str]) -> None:
    """Say that `path` is temporary: should this process be lost, it goes."""
    if _LEDGER:
        os.write(_LEDGER[0], os.fsencode(os.path.abspath(path)) + b"\0")


def clear() -> None:
    """In the watcher, once the process is lost: remove what it noted and left."""
    if not _LEDGER:
        return
    noted = os.pread(_LEDGER[0], os.fstat(_LEDGER[0]).st_size, 0)
    for path in noted.split(b"\0")[:-1]:
        shutil.rmtree(path, ignore_errors=True)
        with suppress(OSError):
            os.unlink(path)
