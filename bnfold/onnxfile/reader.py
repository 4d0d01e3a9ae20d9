"""Read a model file whole: bytes, hash, external data, checks."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from bnfold.errors import ModelError, UsageError
from bnfold.onnxfile.external import IN_MEMORY, DataFiles, opened_data
from bnfold.onnxfile.plain import read_plain
from bnfold.onnxfile.stream import LARGEST_MESSAGE
from bnfold.onnxfile.validator import located, validate
from bnfold.show import show


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A sound model. `sha256` is of the file's bytes; `data` holds what `model` does not."""

    model: onnx.ModelProto
    path: Path
    sha256: str
    data_files: tuple[Path, ...] = ()
    data: DataFiles = IN_MEMORY

    @property
    def external(self) -> bool:
        """True where weights lay in other files."""
        return bool(self.data_files)

    @property
    def size(self) -> int:
        """Bytes on disk, the files of external data with it."""
        return sum(path.stat().st_size for path in {self.path, *self.data_files})

    def whole(self) -> onnx.ModelProto:
        """The model with all its data in memory."""
        self.data.fill(self.model)
        return self.model


def read(path: str | os.PathLike[str]) -> ModelFile:
    """The model at `path`, checked, its external data in memory.

    Raises:
        UsageError: the file is missing, or is a folder.
        ModelError: not ONNX, truncated, not sound, or its external data is unsafe or missing.
    """
    with opened(path) as file:
        return ModelFile(file.whole(), file.path, file.sha256, file.data_files)


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[ModelFile]:
    """The model at `path`, checked, its large external initializers still in their files.

    Raises:
        UsageError: as `read`.
        ModelError: as `read`.
    """
    file = Path(path)
    data = _bytes_of(file)
    where = show(file, 300)
    with located(where):
        model = parse(data)
        digest = hashlib.sha256(data).hexdigest()
        del data
        with opened_data(model, file) as files:
            validate(model, where, files)
            yield ModelFile(model, file, digest, files.paths, files)


def parse(data: bytes, where: str | None = None) -> onnx.ModelProto:
    """The message that `data` holds, not yet checked.

    Raises:
        ModelError: no ONNX message, or not the whole of one.
    """
    with located(where):
        if not data:
            raise ModelError("the file is empty")
        if data.startswith(b"version https://git-lfs"):
            raise ModelError("this is a Git LFS pointer, not the model", hint="git lfs pull")
        try:
            model: onnx.ModelProto = onnx.ModelProto.FromString(data)
        except DecodeError as error:
            raise ModelError(
                "this is not an ONNX file, or it is truncated",
                hint="export or download it again, and compare its size",
            ) from error
        if not model.ir_version and not model.HasField("graph"):
            raise ModelError("this is not an ONNX file")
        return model


def _bytes_of(file: Path) -> bytes:
    where = show(file, 300)
    try:
        _check_kind(os.stat(file), where)
        return read_plain(file)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError("there is no such file", where=where) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        if getattr(error, "errno", None) in (errno.ELOOP, errno.ENAMETOOLONG):
            raise UsageError(f"there is no such file: {reason}", where=where) from error
        raise ModelError(f"the file cannot be read: {show(reason)}", where=where) from error


def _check_kind(found: os.stat_result, where: str) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise UsageError("this is a folder, not a model file", where=where)
    if not stat.S_ISREG(found.st_mode):
        raise UsageError("this is not a regular file", where=where)
    if found.st_size > LARGEST_MESSAGE:
        raise ModelError(
            "an ONNX file ends at 2 GB", where=where, hint="keep the weights as external data"
        )
