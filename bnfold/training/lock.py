"""One run a folder: an advisory lock that dies with its process."""

from __future__ import annotations

import fcntl
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from bnfold.errors import DataError

logger = logging.getLogger(__name__)


class Locked(DataError):
    """Another process holds the folder."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the run folder, made if it is not there.

    Raises:
        Locked: another process holds it.
        DataError: it cannot be made, or its file system has no locks.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("a+")
    except OSError as cause:
        raise DataError(f"cannot use run folder: {cause.strerror}", where=str(folder)) from cause
    with file:
        _hold(file, folder)
        own = f"process {os.getpid()} on {socket.gethostname()}"
        _tell_of_another_host(file, folder)
        _write(file, f"{own}\n")
        try:
            yield
        finally:
            _write(file, "")


def _hold(file: TextIO, folder: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as cause:
        held = _said(file) or "another run"
        raise Locked(
            "run folder is locked", where=str(folder), hint=f"{held} writes into it"
        ) from cause
    except OSError as cause:
        raise DataError(
            f"run folder cannot be locked: {cause.strerror}", where=str(folder),
            hint="put --out on a file system with flock",
        ) from cause  # fmt: skip


def _tell_of_another_host(file: TextIO, folder: Path) -> None:
    """Killed there, or the lock does not reach there: on some shared file systems it is local."""
    left = _said(file)
    if left and not left.endswith(f" on {socket.gethostname()}"):
        logger.warning(
            "%s did not give %s back: if it still runs, stop it, for locks do not reach it", left,
            folder,
        )  # fmt: skip


def _said(file: TextIO) -> str:
    file.seek(0)
    return file.read(300).strip()


def _write(file: TextIO, text: str) -> None:
    file.truncate(0)
    file.write(text)
    file.flush()
