"""Files that are written whole or not at all.

A temporary file in the target's folder is filled, flushed to the disk and renamed. Until the
rename the old file stands as it was; on any error or signal the temporary file goes.
"""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from bnfold import leftovers
from bnfold.errors import DataError, UsageError
from bnfold.leftovers import prefix_of, sweep
from bnfold.show import show

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A binary file that takes the place of `path` when the block ends well.

    Raises:
        DataError: it cannot be written (no folder, no right, no space).
        UsageError: `path` is a folder.
    """
    where = show(os.fspath(path), 300)
    try:
        old = status(path)
        if old and stat.S_ISDIR(old.st_mode):
            raise UsageError("this is a folder, where a file is to be written", where=where)
        if old and not stat.S_ISREG(old.st_mode):  # /dev/null, a pipe: nothing to replace
            with open(path, "wb") as file:
                yield file
        else:
            yield from _through_temporary(Path(os.path.realpath(path)), old)
    except OSError as error:
        raise unwritable(error, where) from error


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` as UTF-8, whole or not at all.

    Raises:
        DataError: it cannot be written.
    """
    with replacing(path) as file:
        file.write(text.encode("utf-8"))


def check_writable(path: str | os.PathLike[str]) -> None:
    """Refuse early what `replacing` would refuse late, before long work begins.

    Raises:
        DataError: there is no folder, or no right to write.
        UsageError: `path` is a folder.
    """
    where = show(os.fspath(path), 300)
    try:
        old = status(path)
        if old and stat.S_ISDIR(old.st_mode):
            raise UsageError("this is a folder, where a file is to be written", where=where)
        if old and not stat.S_ISREG(old.st_mode):
            return
        target = Path(os.path.realpath(path))
        _check_right(target, old)
        if not target.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, "there is no such folder")
        if not os.access(target.parent, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, "the folder cannot be written")
    except OSError as error:
        raise unwritable(error, where) from error


def same_file(a: str | os.PathLike[str], b: str | os.PathLike[str]) -> bool:
    """Do both paths lead to one file, by links of either kind?"""
    with suppress(OSError, ValueError):  # a NUL in a name
        return os.path.samefile(a, b)
    return os.path.realpath(a) == os.path.realpath(b)


def _through_temporary(target: Path, old: os.stat_result | None) -> Iterator[BinaryIO]:
    _check_right(target, old)
    sweep(target)
    handle, temporary = tempfile.mkstemp(".tmp", prefix_of(target), target.parent)
    leftovers.note(temporary)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fchmod(file.fileno(), stat.S_IMODE(old.st_mode) if old else 0o666 & ~umask())
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    sync_folder(target.parent)


def _check_right(target: Path, old: os.stat_result | None) -> None:
    """A rename ignores the mode of what it replaces, and root ignores every mode: ask here."""
    if old and not (old.st_mode & 0o222 and os.access(target, os.W_OK)):
        raise PermissionError(errno.EACCES, "the file is write-protected")


def sync_folder(folder: Path) -> None:
    """Flush a folder's list of names to the disk."""
    with suppress(OSError):  # some file systems have no fsync for folders
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def status(path: str | os.PathLike[str]) -> os.stat_result | None:
    """What stands at `path`, links followed; None where nothing does."""
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None


def umask() -> int:
    """The bits that new files go without."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def unwritable(error: OSError, where: str) -> DataError:
    """What the system refused, as an error with a hint."""
    hint = "make room, or choose another folder" if error.errno in _FULL else None
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        hint = "make the folder first"
    reason = error.strerror or str(error)
    return DataError(f"cannot write: {reason}", where=where, hint=hint)
