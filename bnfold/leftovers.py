"""What lies about on the disk while a process works, and who clears it away.

A process that is killed removes nothing. So one that may be lost notes the name of each temporary
file and folder in a ledger that its watcher holds open too, and the watcher removes what is left.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bnfold.show import show

logger = logging.getLogger(__name__)

_A_DAY = 86_400.0
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


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder where the system keeps temporary ones, which goes when the block ends.

    One that a killed run left goes a day later.
    """
    import tempfile  # only here: `--help` needs none

    place = Path(tempfile.gettempdir(), "bnfold")
    sweep(place)
    with tempfile.TemporaryDirectory(".tmp", prefix_of(place)) as folder:
        note(folder)
        yield Path(folder)


def prefix_of(target: Path) -> str:
    """How the temporary names for `target` begin; cut, since a name ends at 255 bytes."""
    stem = target.name.encode("utf-8", "surrogateescape")[:100].decode("utf-8", "ignore")
    return f".{stem}."


def sweep(target: Path) -> None:
    """Remove what killed runs left for `target` more than a day ago, files and folders."""
    left = re.compile(re.escape(prefix_of(target)) + r"[a-z0-9_]{8}\.tmp")  # as mkstemp names them
    try:
        for entry in os.scandir(target.parent):
            if not left.fullmatch(entry.name):
                continue
            if time.time() - entry.stat(follow_symlinks=False).st_mtime > _A_DAY:
                folder = entry.is_dir(follow_symlinks=False)
                shutil.rmtree(entry.path) if folder else os.unlink(entry.path)
                logger.warning("removed %s, left by an interrupted run", show(entry.path, 300))
    except OSError as error:
        logger.debug("no sweep: %s", error)
