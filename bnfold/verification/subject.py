"""A model under verification: read once, on disk for ONNX Runtime, with its signature."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx

from bnfold import onnxfile
from bnfold.errors import CheckFailed, ModelError, UsageError
from bnfold.graph import surgeon
from bnfold.onnxfile import IN_MEMORY, DataFiles
from bnfold.onnxfile.tensors import nbytes
from bnfold.onnxfile.validator import located
from bnfold.show import show
from bnfold.verification import indexed

Model = str | os.PathLike[str] | bytes | onnx.ModelProto | Any
Dim = int | str | None
_LARGE = 1 << 28  # bytes of weights given in memory that are read from a file of ours instead


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output; a dim is fixed, a symbol, or None (open); `dims` None: no rank known.

    `below` is the size of the table that an integer input indexes.
    """

    name: str
    elem_type: int
    dims: tuple[Dim, ...] | None
    below: int | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """One model: its message, where it lies, the hash of its bytes, what it takes and gives."""

    model: onnx.ModelProto
    path: Path
    label: str
    sha256: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    size: int
    """Bytes on disk, the files of external data with it."""
    data: DataFiles = IN_MEMORY
    """Where the initializers lie that are not in the message."""
    overridable: tuple[str, ...] = ()
    """Initializers that are inputs too (IR 4 and later): callers may feed other values."""


@contextmanager
def subject(model: Model, label: str, folder: Path) -> Iterator[Subject]:
    """A model by any door of `fold`, made ready; what lay in memory is written into `folder`.

    Large weights stay in their files, which stand open inside the block.

    Raises:
        UsageError: there is no such file, or it is of no known kind.
        ModelError: it is no sound ONNX model, or an input is no tensor.
    """
    if isinstance(model, str | os.PathLike):
        with onnxfile.opened(model) as file:
            if any("\ud800" <= letter <= "\udfff" for letter in str(file.path.resolve())):
                what = "ONNX Runtime opens no file whose path is not UTF-8"
                raise UsageError(what, where=show(model, 300), hint="rename it")
            yield _subject(file, show(Path(model).name), file.sha256)
        return
    proto, digest = _message(model, label)
    onnxfile.validate(proto, label)
    path = folder / f"{label}.onnx"
    large = _size(proto) > _LARGE
    written = onnxfile.write(proto, path, external=large)
    if large:
        del proto
        with onnxfile.opened(path) as file:
            yield _subject(file, label, digest)
        return
    yield _subject(onnxfile.ModelFile(proto, path, digest, written[1:]), label, digest)


def _message(source: Any, label: str) -> tuple[onnx.ModelProto, str]:
    """The message and its hash; nothing here changes it, so a caller's is not copied."""
    if isinstance(source, bytes | bytearray | memoryview):
        data = bytes(source)
        return onnxfile.parse(data, label), hashlib.sha256(data).hexdigest()
    with located(label):
        given = source if isinstance(source, onnx.ModelProto) else surgeon.to_proto(source)
    if given is None:
        raise UsageError(
            f"cannot verify a {type(source).__name__}",
            hint="give a path, bytes, an onnx.ModelProto or an onnx_graphsurgeon.Graph",
        )
    return given, onnxfile.sha256_of(given)


def _size(model: onnx.ModelProto) -> int:
    """Bytes of the main graph's weights."""
    weights = (t for t in model.graph.initializer if t.data_type != onnx.TensorProto.STRING)
    return sum(map(nbytes, weights))


def _subject(file: onnxfile.ModelFile, label: str, sha256: str) -> Subject:
    graph = file.model.graph
    given = {tensor.name for tensor in graph.initializer}
    given |= {tensor.values.name for tensor in graph.sparse_initializer}
    tables = indexed.rows(graph)
    inputs = tuple(
        replace(_port(value, label), below=tables.get(value.name))
        for value in graph.input
        if value.name not in given
    )
    outputs = tuple(_port(value, label) for value in graph.output)
    optional = file.model.ir_version >= 4  # before, every initializer had to be an input
    overridable = tuple(v.name for v in graph.input if optional and v.name in given)
    path = file.path.resolve()
    return Subject(
        file.model, path, label, sha256, inputs, outputs, file.size, file.data, overridable
    )


def _port(value: onnx.ValueInfoProto, label: str) -> Port:
    if value.HasField("type") and not value.type.HasField("tensor_type"):
        raise ModelError(f"'{show(value.name)}' is no tensor: it cannot be compared", where=label)
    tensor = value.type.tensor_type
    dims = tuple(_dim(d) for d in tensor.shape.dim) if tensor.HasField("shape") else None
    return Port(value.name, tensor.elem_type, dims)


def _dim(dim: onnx.TensorShapeProto.Dimension) -> Dim:
    if dim.HasField("dim_value"):
        return dim.dim_value if dim.dim_value > 0 else None  # Paddle writes -1
    return dim.dim_param or None


def check_signatures(a: Subject, b: Subject) -> None:
    """Both take and give the same tensors.

    Raises:
        CheckFailed: a name, type, rank or fixed size differs.
    """
    for what, ours, theirs in (("input", a.inputs, b.inputs), ("output", a.outputs, b.outputs)):
        _check_names(what, ours, theirs)
        by_name = {port.name: port for port in theirs}
        for port in ours:
            _check_port(what, port, by_name[port.name])


def _check_names(what: str, ours: Sequence[Port], theirs: Sequence[Port]) -> None:
    expected, seen = [p.name for p in ours], [p.name for p in theirs]
    if sorted(expected) != sorted(seen):
        raise CheckFailed(
            f"the {what}s differ: the original has {_names(expected)},"
            f" the candidate {_names(seen)}",
            hint="compare models with the same names",
        )


def _names(names: Sequence[str]) -> str:
    return ", ".join(f"'{show(name)}'" for name in names) or "none"


def _check_port(what: str, a: Port, b: Port) -> None:
    name = f"'{show(a.name)}'"
    if a.elem_type != b.elem_type and a.elem_type and b.elem_type:
        kinds = [onnx.TensorProto.DataType.Name(port.elem_type) for port in (a, b)]
        raise CheckFailed(
            f"{what} {name} is {kinds[0]} in the original, {kinds[1]} in the candidate"
        )
    if a.dims is None or b.dims is None:
        return
    if len(a.dims) != len(b.dims) or any(
        isinstance(p, int) and isinstance(q, int) and p != q
        for p, q in zip(a.dims, b.dims, strict=True)
    ):
        raise CheckFailed(
            f"{what} {name} has shape {_shape(a.dims)} in the original,"
            f" {_shape(b.dims)} in the candidate"
        )


def _shape(dims: Sequence[Dim]) -> str:
    return "x".join("?" if dim is None else show(dim) for dim in dims) or "scalar"
