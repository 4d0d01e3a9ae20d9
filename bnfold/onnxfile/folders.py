"""Folders that are written whole or not at all.

A new folder beside the target is filled, flushed to the disk and then put in the target's place
by one call of the system that exchanges the two names: at every moment a reader finds the old
folder or the new one, and never a mixture.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bnfold import leftovers
from bnfold.errors import BnfoldError, UsageError
from bnfold.leftovers import prefix_of, sweep
from bnfold.onnxfile.atomic import status, sync_folder, umask, unwritable
from bnfold.show import show

_AT_FDCWD = -100  # linux/fcntl.h: paths are relative to the working folder
_EXCHANGE = 2  # RENAME_EXCHANGE of linux/fs.h and RENAME_SWAP of macOS's sys/stdio.h
_NO_EXCHANGE = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}


@contextmanager
def replacing_folder(path: str | os.PathLike[str], *, mark: str) -> Iterator[Path]:
    """An empty folder to fill, which takes the place of `path` when the block ends well.

    On any error or signal it goes again and the old folder stands as it was. A folder that holds
    something, but no file called `mark`, is not one of ours and is never replaced. A symbolic link
    is followed; the old folder's mode is kept.

    Raises:
        DataError: it cannot be written (no folder above it, no right, no space).
        UsageError: `path` is a file, or a folder that something else fills.
    """
    where = show(os.fspath(path), 300)
    try:
        target = Path(os.path.realpath(path))
        if (_aside(target) / mark).exists():  # ours, of a run killed between two renames
            _put_back(target)
        old = _checked(target, mark, where)
        yield from _through_temporary(target, old)
    except OSError as error:
        raise unwritable(error, where) from error


def check_folder(path: str | os.PathLike[str], *, mark: str) -> None:
    """Refuse early what `replacing_folder` would refuse late, before long work begins.

    Raises:
        DataError: there is no folder above it, or no right to write.
        UsageError: `path` is a file, or a folder that something else fills.
    """
    where = show(os.fspath(path), 300)
    try:
        _checked(Path(os.path.realpath(path)), mark, where)
    except OSError as error:
        raise unwritable(error, where) from error


def _checked(target: Path, mark: str, where: str) -> os.stat_result | None:
    old = status(target)
    if old is not None:
        if not stat.S_ISDIR(old.st_mode):
            raise UsageError("this is a file, where a folder is to be written", where=where)
        names = os.listdir(target)
        if names and mark not in names:
            raise UsageError(
                f"the folder is not empty, and holds no {mark}: it stays as it is",
                where=where,
                hint="choose a new folder",
            )
        if not (old.st_mode & 0o222 and os.access(target, os.W_OK | os.X_OK)):
            raise PermissionError(errno.EACCES, "the folder is write-protected")
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "there is no such folder")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "the folder above it cannot be written")
    return old


def _through_temporary(target: Path, old: os.stat_result | None) -> Iterator[Path]:
    sweep(target)
    fresh = Path(tempfile.mkdtemp(".tmp", prefix_of(target), target.parent))
    leftovers.note(fresh)
    try:
        with _named(fresh, target):
            yield fresh
        os.chmod(fresh, stat.S_IMODE(old.st_mode) if old else 0o777 & ~umask())
        _sync(fresh)
        _put(fresh, target)
    finally:  # after an exchange this is the old folder
        shutil.rmtree(fresh, ignore_errors=True)
    sync_folder(target.parent)


@contextmanager
def _named(fresh: Path, target: Path) -> Iterator[None]:
    """An error about a file of `fresh` is told as one of `target`."""
    try:
        yield
    except BnfoldError as error:
        error.where = error.where and error.where.replace(str(fresh), str(target))
        raise


def _put(fresh: Path, target: Path) -> None:
    """Give `fresh` the name of `target`; an old folder gets that of `fresh`."""
    try:
        os.rename(fresh, target)  # nothing there, or an empty folder
        return
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
    try:
        _exchange(fresh, target)
    except OSError as error:
        if error.errno not in _NO_EXCHANGE:
            raise
        _put_in_two_steps(fresh, target)


def _exchange(a: Path, b: Path) -> None:
    """Swap two names in one step; an OSError with ENOSYS where the system has no such call."""
    library = ctypes.CDLL(None, use_errno=True)
    one, other = os.fsencode(a), os.fsencode(b)
    if sys.platform == "darwin" and hasattr(library, "renamex_np"):
        failed = library.renamex_np(one, other, _EXCHANGE)
    elif hasattr(library, "renameat2"):
        failed = library.renameat2(_AT_FDCWD, one, _AT_FDCWD, other, _EXCHANGE)
    else:
        raise OSError(errno.ENOSYS, "no call that exchanges two names")
    if failed:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _put_in_two_steps(fresh: Path, target: Path) -> None:
    """For file systems without an exchange (NFS): for a moment the old one is `.NAME.old`."""
    aside = _aside(target)
    shutil.rmtree(aside, ignore_errors=True)  # of a run killed behind the second rename
    try:
        os.rename(target, aside)
        os.rename(fresh, target)
    finally:
        _put_back(target)
        shutil.rmtree(aside, ignore_errors=True)


def _aside(target: Path) -> Path:
    return target.with_name(f".{target.name}.old")


def _put_back(target: Path) -> None:
    """The old folder under its own name again, where the second rename never came."""
    if not target.exists() and _aside(target).exists():
        os.rename(_aside(target), target)


def _sync(folder: Path) -> None:
    """Flush every file and folder in `folder` to the disk."""
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError), open(Path(parent, name), "rb") as file:
                os.fsync(file.fileno())
        sync_folder(Path(parent))
