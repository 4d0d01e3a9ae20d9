"""Inputs that the user brings: .npz, a folder of .npy or ONNX test sets, arrays in memory."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import numpy_helper

from bnfold.errors import DataError, ModelError, UsageError
from bnfold.onnxfile.tensors import check_data
from bnfold.show import show
from bnfold.verification import images, saved
from bnfold.verification.cases import Array, Case
from bnfold.verification.subject import Port

Brought = str | os.PathLike[str] | Mapping[str, Any] | Sequence[Mapping[str, Any]]
MAX_BYTES = 4 << 30
# RuntimeError: an encrypted archive, or one compressed in a way that zipfile does not know
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    OSError,
    ValueError,
    EOFError,
    KeyError,
    MemoryError,
    RuntimeError,
)


def brought(inputs: Brought, ports: Sequence[Port], max_bytes: int = MAX_BYTES) -> tuple[Case, ...]:
    """The user's inputs as cases, checked against the model's inputs.

    Raises:
        UsageError: there is no such file or folder.
        DataError: damaged, larger than `max_bytes`, or not what the model takes; NaN or Inf.
    """
    if isinstance(inputs, str | os.PathLike):
        sets = _from_path(Path(inputs), ports, max_bytes)
    else:
        several = {"given": inputs} if isinstance(inputs, Mapping) else _numbered(inputs)
        sets = {name: _as_taken(feeds, ports) for name, feeds in several.items()}
    if not sets:
        raise DataError("no inputs were found", where=show(inputs, 300))
    return tuple(
        Case(name, _checked(name, feeds, ports), given=True) for name, feeds in sets.items()
    )


def _numbered(sets: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    return {f"given {k}": feeds for k, feeds in enumerate(sets)}


def _from_path(path: Path, ports: Sequence[Port], max_bytes: int) -> dict[str, dict[str, Array]]:
    if path.is_dir():
        return _from_folder(path, ports, max_bytes)
    if not path.exists():
        raise UsageError("there is no such file or folder of inputs", where=show(path, 300))
    if not path.is_file():
        raise UsageError("this is not a regular file", where=show(path, 300))
    if path.suffix == ".npy":
        return {path.name: {_only(ports, path): _npy(path, max_bytes)}}
    return saved.split(path.name, _npz(path, max_bytes), [port.name for port in ports])


def _from_folder(path: Path, ports: Sequence[Port], max_bytes: int) -> dict[str, dict[str, Array]]:
    """ONNX test sets; `*.npz`, one a case; `NAME.npy`; all .npy of one input; images.

    A test set is a folder `test_data_set_K` of `input_k.pb`.
    """
    sets = sorted(path.glob("test_data_set_*")) or ([path] if list(path.glob("input_*.pb")) else [])
    if sets:
        return {folder.name: _test_set(folder, ports, max_bytes) for folder in sets}
    archives = sorted(path.glob("*.npz"))
    if archives:
        return _archives(archives, max_bytes)
    files = sorted(path.glob("*.npy"))
    named = {file.stem: file for file in files}
    if ports and all(port.name in named for port in ports):
        return {path.name: {port.name: _npy(named[port.name], max_bytes) for port in ports}}
    if files:
        return {file.name: {_only(ports, file): _npy(file, max_bytes)} for file in files}
    pictures = images.files_of(path)
    if pictures:
        name = _only(ports, pictures[0])
        return {
            str(file.relative_to(path)): {name: images.read(file, ports[0])} for file in pictures
        }
    return {}


def _archives(files: Sequence[Path], max_bytes: int) -> dict[str, dict[str, Array]]:
    """All of them lie in memory together: what one takes is lacking to the next."""
    found = {}
    for file in files:
        found[file.name] = _npz(file, max_bytes)
        max_bytes -= sum(array.nbytes for array in found[file.name].values())
    return found


def _only(ports: Sequence[Port], path: Path) -> str:
    if len(ports) != 1:
        raise DataError(
            f"the model has {len(ports)} inputs, this file holds one",
            where=show(path, 300),
            hint="name each file after its input, or use one .npz",
        )
    return ports[0].name


def _test_set(folder: Path, ports: Sequence[Port], max_bytes: int) -> dict[str, Array]:
    feeds = {}
    for k, port in enumerate(ports):
        file = folder / f"input_{k}.pb"
        try:
            if file.stat().st_size > max_bytes:
                raise DataError(f"larger than {max_bytes} bytes", where=show(file, 300))
            tensor = onnx.TensorProto.FromString(file.read_bytes())
            if tensor.data_location == onnx.TensorProto.EXTERNAL:
                raise ModelError("its data lies in another file")
            check_data(tensor)
            feeds[tensor.name or port.name] = numpy_helper.to_array(tensor)
        except (OSError, DecodeError, ValueError, TypeError, KeyError, ModelError) as cause:
            raise DataError(
                f"not a readable tensor: {show(cause)}", where=show(file, 300)
            ) from cause
    names = {port.name for port in ports}
    if feeds.keys() != names:  # test sets are often named by position alone
        feeds = {port.name: value for port, value in zip(ports, feeds.values(), strict=False)}
    return feeds


def _npz(path: Path, max_bytes: int) -> dict[str, Array]:
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > max_bytes:
            raise DataError(
                f"it inflates to {size} bytes, more than {max_bytes}",
                where=show(path, 300),
                hint="--max-bytes raises the limit",
            )
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except _DAMAGED as cause:
        raise DataError(f"not a readable .npz: {show(cause)}", where=show(path, 300)) from cause


def _npy(path: Path, max_bytes: int) -> Array:
    try:
        if path.stat().st_size > max_bytes:
            raise DataError(f"larger than {max_bytes} bytes", where=show(path, 300))
        loaded: Array = np.load(path, allow_pickle=False)
        return loaded
    except _DAMAGED as cause:
        raise DataError(f"not a readable .npy: {show(cause)}", where=show(path, 300)) from cause


def _checked(name: str, feeds: Mapping[str, Any], ports: Sequence[Port]) -> dict[str, Array]:
    expected = {port.name for port in ports}
    if feeds.keys() != expected:
        raise DataError(
            f"the inputs are named {_listed(feeds)}, the model takes {_listed(expected)}",
            where=show(name),
        )
    found = {port.name: _fitting(name, np.asarray(feeds[port.name]), port) for port in ports}
    if found and not any(value.size for value in found.values()):
        raise DataError("the inputs hold no values", where=show(name))
    return found


def _as_taken(feeds: Mapping[str, Any], ports: Sequence[Port]) -> dict[str, Any]:
    """Arrays in memory, in the types that the model takes where numpy casts so."""
    types = {port.name: _type_of(port) for port in ports}
    found = {}
    for name, value in feeds.items():
        array, dtype = np.asarray(value), types.get(name)
        fits = dtype is not None and np.can_cast(array.dtype, dtype, "same_kind")
        found[name] = array.astype(dtype) if fits else array
    return found


def _type_of(port: Port) -> np.dtype[Any]:
    return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(port.elem_type))


def _listed(names: Any) -> str:
    return ", ".join(f"'{show(name)}'" for name in sorted(names)) or "nothing"


def _fitting(case: str, value: Array, port: Port) -> Array:
    where = f"{show(case)}, input '{show(port.name)}'"
    dtype = _type_of(port)
    if dtype.kind in "OV" and np.can_cast(value.dtype, dtype, "same_kind"):
        value = value.astype(dtype)  # strings, bfloat16: files hold them as something else
    if value.dtype != dtype:
        raise DataError(
            f"it is {value.dtype}, the model takes {dtype}",
            where=where,
            hint=f'array.astype("{dtype}"), if that is what was meant',
        )
    dims = port.dims
    if dims is not None and (
        len(dims) != value.ndim
        or any(isinstance(d, int) and d != n for d, n in zip(dims, value.shape, strict=True))
    ):
        shape = "x".join("?" if d is None else show(d) for d in dims)
        seen = "x".join(map(str, value.shape))
        raise DataError(f"its shape is {seen}, the model takes {shape}", where=where)
    if value.dtype.kind == "f" and not np.isfinite(value).all():
        raise DataError("it holds NaN or Inf", where=where)
    return value
