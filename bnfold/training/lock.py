"""One run a folder: an advisory lock that dies with its process."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bnfold.errors import DataError


class Locked(DataError):
    """Another process holds the folder."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the run folder, made if it is not there.

    Raises:
        Locked: another process holds it.
        DataError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("a+")
    except OSError as cause:
        raise DataError(f"cannot use run folder: {cause.strerror}", where=str(folder)) from cause
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as cause:
            file.seek(0)
            held = file.read(300).strip() or "another run"
            raise Locked(
                "run folder is locked", where=str(folder), hint=f"{held} writes into it"
            ) from cause
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        yield
