"""Write a model: one file, or a file and the data file that it names."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from bnfold.errors import DataError, ModelError
from bnfold.onnxfile.atomic import replacing, same_file
from bnfold.onnxfile.external import IN_MEMORY, DataFiles
from bnfold.onnxfile.outline import dense_tensors, outline, tensors
from bnfold.onnxfile.reader import ModelFile
from bnfold.onnxfile.stream import TooLarge, pieces
from bnfold.show import show

_SMALLEST = 1024  # bytes: a tensor below it stays in the model
_PAGE = 4096  # runtimes map tensors that begin at a page


def write(
    model: onnx.ModelProto,
    path: str | os.PathLike[str],
    *,
    external: bool = False,
    data: DataFiles = IN_MEMORY,
) -> tuple[Path, ...]:
    """Write `model` whole or not at all; answers the files written, the model first.

    `data` holds the initializers that are not in memory: they pass through one at a time.
    Weights go to `<stem>-<sha256[:12]>.data` beside it where `external` asks for it or one
    message cannot hold them. At every moment the model on disk names a complete data file.

    Raises:
        DataError: it cannot be written.
        UsageError: `path` is a folder.
    """
    target = Path(path)
    with _ending_old_data(target) as kept:
        if external or not _write_one(model, target, data):
            beside = _write_pair(model, target, data)
            kept.update({beside} if beside else ())
    return (target, *kept)


def copy(source: ModelFile, path: str | os.PathLike[str]) -> tuple[Path, ...]:
    """Write what was read: the file's bytes, or, of external data, the same tensor bytes.

    Raises:
        DataError: it cannot be written.
        UsageError: `path` is a folder.
    """
    if same_file(source.path, path):
        return ()
    if source.external:
        return write(source.model, path, external=True, data=source.data)
    data = source.path.read_bytes()
    if hashlib.sha256(data).hexdigest() != source.sha256:
        raise DataError("the file changed while it was in use", where=show(source.path, 300))
    with _ending_old_data(Path(path)), replacing(path) as file:
        file.write(data)
    return (Path(path),)


def _write_one(model: onnx.ModelProto, target: Path, data: DataFiles) -> bool:
    """Write one file; False where one message cannot hold the model."""
    try:
        with replacing(target) as file:
            for piece in pieces(model, data):
                file.write(piece)
    except TooLarge:
        return False
    return True


def _write_pair(model: onnx.ModelProto, target: Path, data: DataFiles) -> Path | None:
    """Write the data file, then the model that names it; answers the data file, if one is made."""
    beside = _data_file(model, target, data)
    message, filled = _referring(model, beside.name, data)
    stood = beside.exists()
    try:
        if filled:
            with replacing(beside) as file:
                for piece in _layout(model, data):
                    file.write(piece)
        with replacing(target) as file:
            file.write(message)
    except BaseException:
        if not stood:
            with suppress(OSError, DecodeError):  # in doubt it stays
                _drop({beside} - _named_by(target))
        raise
    return beside if filled else None


def _data_file(model: onnx.ModelProto, target: Path, data: DataFiles) -> Path:
    """Named by its content, hence never written over with other bytes."""
    digest = hashlib.sha256()
    for piece in _layout(model, data):
        digest.update(piece)
    real = Path(os.path.realpath(target))
    return real.with_name(f"{real.stem}-{digest.hexdigest()[:12]}.data")


def _referring(model: onnx.ModelProto, location: str, data: DataFiles) -> tuple[bytes, bool]:
    """The message whose larger tensors lie in `location`, and whether there is any."""
    offset = 0

    def name_place(source: onnx.TensorProto, shell: onnx.TensorProto) -> None:
        nonlocal offset
        length = data.length(source)
        if length < _SMALLEST:
            shell.CopyFrom(source)
            return
        offset += -offset % _PAGE
        _refer(source, shell, {"location": location, "offset": offset, "length": length})
        offset += length

    try:
        message = b"".join(pieces(outline(model, name_place)))
    except TooLarge as error:
        raise ModelError("without its weights the model is still larger than 2 GB") from error
    return message, bool(offset)


def _layout(model: onnx.ModelProto, data: DataFiles) -> Iterator[bytes]:
    """The data file's bytes: each tensor `outline` reaches, beginning at a page."""
    size = 0
    for tensor in dense_tensors(model):
        raw = data.raw(tensor) if data.length(tensor) >= _SMALLEST else b""
        if raw:
            yield b"\0" * (-size % _PAGE)
            yield raw
            size += -size % _PAGE + len(raw)


def _refer(source: onnx.TensorProto, shell: onnx.TensorProto, entries: dict[str, object]) -> None:
    """Everything of `source` but its bytes, and where they lie."""
    for field in ("name", "data_type", "doc_string"):
        if source.HasField(field):
            setattr(shell, field, getattr(source, field))
    shell.dims.extend(source.dims)
    shell.metadata_props.extend(source.metadata_props)
    shell.data_location = onnx.TensorProto.EXTERNAL
    for key, value in entries.items():
        shell.external_data.add(key=key, value=str(value))


def _drop(files: Iterable[Path | None]) -> None:
    for file in files:
        if file:
            with suppress(OSError):
                file.unlink()


@contextmanager
def _ending_old_data(target: Path) -> Iterator[set[Path]]:
    """Data files that only the replaced model named go with it, also where a signal ends us.

    Yields the set of those that the new model names.
    """
    stale = _own_data_files(target)
    kept: set[Path] = set()
    try:
        yield kept
    except BaseException:  # which model stands there now, the old or the new?
        with suppress(OSError, DecodeError):  # in doubt they stay
            _drop(stale - _named_by(target))
        raise
    _drop(stale - kept)


def _own_data_files(target: Path) -> set[Path]:
    """Data files in our naming that the model now at `target` names: its replacement ends them."""
    try:
        return _named_by(target)
    except (OSError, DecodeError):
        return set()


def _named_by(target: Path) -> set[Path]:
    real = Path(os.path.realpath(target))
    pattern = re.compile(re.escape(real.stem) + r"-[0-9a-f]{12}\.data")
    files = {name for name in os.listdir(real.parent) if pattern.fullmatch(name)}
    if not files or not real.is_file():
        return set()
    old = onnx.ModelProto.FromString(real.read_bytes())
    named = {
        entry.value
        for tensor in tensors(old)
        for entry in tensor.external_data
        if entry.key == "location"
    }
    return {real.parent / name for name in files & named}
