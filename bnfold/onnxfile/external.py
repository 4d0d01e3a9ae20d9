"""External data: found beside the model and nowhere else, through handles that are checked once."""

from __future__ import annotations

import math
import os
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx
from numpy.typing import NDArray

from bnfold.errors import ModelError
from bnfold.onnxfile.outline import nested_tensors
from bnfold.onnxfile.tensors import nbytes
from bnfold.show import show

_SMALL = 1 << 16  # bytes: what is smaller comes into memory


class Place(Protocol):
    """Where the bytes of a tensor lie that the model itself does not hold."""

    def read(self) -> bytes:
        """The bytes.

        Raises:
            ModelError: they are not there any more.
        """


@dataclass(frozen=True, slots=True)
class InFile:
    """In a file that was checked and stands open; `named` is the tensor."""

    handle: int
    offset: int
    length: int
    named: str

    def read(self) -> bytes:
        """One `pread` gives at most 2 GB."""
        parts: list[bytes] = []
        offset, length = self.offset, self.length
        while length:
            part = os.pread(self.handle, min(length, 1 << 30), offset)
            if not part:
                raise ModelError(f"the data file of tensor '{show(self.named)}' became shorter")
            parts.append(part)
            offset, length = offset + len(part), length - len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)


@dataclass(frozen=True, slots=True)
class DataFiles:
    """The data files of a model, and the initializers whose bytes are not in its message."""

    paths: tuple[Path, ...] = ()
    places: Mapping[str, Place] = field(default_factory=dict)

    def keep(self, tensor: onnx.TensorProto) -> bool:
        """Whether the bytes of this initializer lie elsewhere."""
        return tensor.data_location == onnx.TensorProto.EXTERNAL and tensor.name in self.places

    def array(self, tensor: onnx.TensorProto) -> NDArray[Any]:
        """The tensor's values, from the message or from where else they lie.

        Raises:
            ModelError: the file became shorter.
        """
        if not self.keep(tensor):
            return onnx.numpy_helper.to_array(tensor)
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
        return np.frombuffer(self.raw(tensor), dtype).reshape(tuple(tensor.dims))

    def filled(self, tensor: onnx.TensorProto) -> onnx.TensorProto:
        """The tensor with its bytes: itself, or a copy of it where they lie elsewhere.

        Raises:
            ModelError: the file became shorter.
        """
        if not self.keep(tensor):
            return tensor
        whole = onnx.TensorProto()
        whole.CopyFrom(tensor)
        _load(self.places[tensor.name], whole)
        return whole

    def raw(self, tensor: onnx.TensorProto) -> bytes:
        """The tensor's raw data, from the message or from where else it lies.

        Raises:
            ModelError: the file became shorter.
        """
        if not self.keep(tensor):
            return bytes(tensor.raw_data)
        return self.places[tensor.name].read()

    def length(self, tensor: onnx.TensorProto) -> int:
        """How many bytes of raw data the tensor has, wherever they lie."""
        if self.keep(tensor):
            return nbytes(tensor)
        return len(tensor.raw_data)

    def whole(self, model: onnx.ModelProto) -> onnx.ModelProto:
        """`model` itself, or a copy with what lies elsewhere.

        Raises:
            ModelError: a file became shorter.
        """
        if not any(map(self.keep, model.graph.initializer)):
            return model
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        self.fill(copy)
        return copy

    def fill(self, model: onnx.ModelProto) -> None:
        """Bring the initializers of `model` that lie elsewhere into it.

        Raises:
            ModelError: a file became shorter.
        """
        for tensor in model.graph.initializer:
            if self.keep(tensor):
                _load(self.places[tensor.name], tensor)


IN_MEMORY = DataFiles()


@contextmanager
def opened_data(model: onnx.ModelProto, path: Path) -> Iterator[DataFiles]:
    """Look at every external tensor of the model read from `path`.

    The large initializers stay in their files, which stand open inside the block; all others come
    into memory.

    Raises:
        ModelError: a location outside the model's folder, a link, a missing or too short file.
    """
    folders = list(dict.fromkeys((path.parent.resolve(), path.resolve().parent)))
    files: dict[str, tuple[int, Path]] = {}
    places: dict[str, Place] = {}
    with ExitStack() as stack:

        def place_of(tensor: onnx.TensorProto) -> InFile:
            entries = {entry.key: entry.value for entry in tensor.external_data}
            location = entries.get("location", "")
            if location not in files:
                files[location] = _open(folders, location)
                stack.callback(os.close, files[location][0])
            return _place(files[location][0], tensor, entries)

        for tensor in nested_tensors(model):
            if tensor.data_location == onnx.TensorProto.EXTERNAL:
                _load(place_of(tensor), tensor)
        for tensor in model.graph.initializer:
            if tensor.data_location == onnx.TensorProto.EXTERNAL:
                place = place_of(tensor)
                if may_stay(tensor, place.length):
                    places[tensor.name] = place
                else:
                    _load(place, tensor)
        yield DataFiles(tuple(path for _, path in files.values()), places)


def may_stay(tensor: onnx.TensorProto, length: int) -> bool:
    """Small tensors may steer shapes; packed and foreign-endian ones want onnx's own reader."""
    plain = length > _SMALL and nbytes(tensor) >= math.prod(tensor.dims)
    return plain and sys.byteorder == "little"


def _load(place: Place, tensor: onnx.TensorProto) -> None:
    data = place.read()
    no_longer_external(tensor)
    tensor.raw_data = data


def no_longer_external(tensor: onnx.TensorProto) -> None:
    """Forget the place of a tensor's data."""
    tensor.ClearField("external_data")
    tensor.ClearField("data_location")


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


def _place(handle: int, tensor: onnx.TensorProto, entries: dict[str, str]) -> InFile:
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
    return InFile(handle, offset, length, tensor.name)


def _whole(tensor: onnx.TensorProto, text: str, what: str) -> int:
    if not (isinstance(text, str) and text.isascii() and text.isdigit() and len(text) < 20):
        raise ModelError(f"the {what} of tensor '{show(tensor.name)}' is '{show(text)}'")
    return int(text)
