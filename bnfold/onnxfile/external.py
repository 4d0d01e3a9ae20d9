"""External data: found beside the model and nowhere else, and read once into memory."""

from __future__ import annotations

import os
import stat
from contextlib import ExitStack
from pathlib import Path

import onnx

from bnfold.errors import ModelError
from bnfold.onnxfile.outline import tensors
from bnfold.onnxfile.tensors import nbytes
from bnfold.show import show


def resolve(model: onnx.ModelProto, path: Path) -> tuple[Path, ...]:
    """Bring every external tensor into `model`, read from `path`; answers the data files.

    Raises:
        ModelError: a location outside the model's folder, a link, a missing or too short file.
    """
    folders = list(dict.fromkeys((path.parent.resolve(), path.resolve().parent)))
    files: dict[str, tuple[int, Path]] = {}
    with ExitStack() as stack:
        for tensor in tensors(model):
            if tensor.data_location != onnx.TensorProto.EXTERNAL:
                continue
            entries = {entry.key: entry.value for entry in tensor.external_data}
            location = entries.get("location", "")
            if location not in files:
                handle, path = _open(folders, location)
                stack.callback(os.close, handle)
                files[location] = (handle, path)
            data = _read(files[location][0], tensor, entries)
            tensor.ClearField("external_data")
            tensor.ClearField("data_location")
            tensor.raw_data = data
    return tuple(path for _, path in files.values())


def _open(folders: list[Path], location: str) -> tuple[int, Path]:
    """Open a data file that lies in truth inside the model's folder.

    `onnx` and runtimes have let links through: so the real path, the kind of file, the number
    of its links and the last step of the path (O_NOFOLLOW) are all looked at. Where the model
    itself is a link, its data may lie beside the link or beside the file.
    """
    named = f"external data '{show(location)}'"
    if not isinstance(location, str) or not location or "\0" in location:
        raise ModelError(f"{named} is not the name of a file")
    if os.path.isabs(location) or ".." in Path(location).parts:
        raise ModelError(f"{named} points outside the model's folder")
    base = next((base for base in folders if os.path.lexists(base / location)), folders[0])
    path = os.path.join(base, location)
    if os.path.realpath(path) != os.path.normpath(path):
        raise ModelError(f"{named} goes through a link", hint="replace the link by the file itself")
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise ModelError(f"{named} is missing", hint=f"put it into {base}") from error
    except OSError as error:
        raise ModelError(f"{named} cannot be read: {error.strerror}") from error
    found = os.fstat(handle)
    if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
        return handle, Path(path)
    os.close(handle)
    kind = "has other hard links" if stat.S_ISREG(found.st_mode) else "is not a regular file"
    raise ModelError(f"{named} {kind}", hint="replace it by a plain copy of the file")


def _read(handle: int, tensor: onnx.TensorProto, entries: dict[str, str]) -> bytes:
    want = nbytes(tensor)
    offset = _whole(tensor, entries.get("offset", "0"), "offset")
    length = _whole(tensor, entries.get("length", str(want)), "length")
    if length != want:
        raise ModelError(f"tensor '{show(tensor.name)}' names {length} bytes of {want}")
    size = os.fstat(handle).st_size
    if offset + length > size:
        raise ModelError(
            f"the data of tensor '{show(tensor.name)}' ends at byte {offset + length} "
            f"of a file of {size}"
        )
    parts: list[bytes] = []
    while length:
        part = os.pread(handle, min(length, 1 << 30), offset)
        if not part:
            raise ModelError(f"the data file of tensor '{show(tensor.name)}' became shorter")
        parts.append(part)
        offset, length = offset + len(part), length - len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _whole(tensor: onnx.TensorProto, text: str, what: str) -> int:
    if not (isinstance(text, str) and text.isascii() and text.isdigit() and len(text) < 20):
        raise ModelError(f"the {what} of tensor '{show(tensor.name)}' is '{show(text)}'")
    return int(text)
