"""The functions as users call them, where several rooms meet."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx
from google.protobuf.message import DecodeError

from bnfold import onnxfile
from bnfold.errors import ModelError, UsageError
from bnfold.folding.report import FoldReport, Options
from bnfold.graph import surgeon
from bnfold.merging.engine import folded_in_place

if TYPE_CHECKING:
    import onnx_graphsurgeon

Source = str | PathLike[str] | bytes | onnxfile.ModelFile | onnx.ModelProto | Any


@dataclass(frozen=True, slots=True)
class FoldResult:
    """A folded model and the report; `graph` is set where a graphsurgeon Graph was given."""

    model: onnx.ModelProto
    report: FoldReport
    graph: onnx_graphsurgeon.Graph | None = None


def fold(source: Source, options: Options | None = None) -> FoldResult:
    """Fold every BatchNorm that exact algebra allows; the argument is never changed.

    Takes a path, the bytes of a model, an onnx.ModelProto, an onnx_graphsurgeon.Graph (and gives
    one back), an onnx_ir.Model or a torch.onnx.ONNXProgram.

    Raises:
        UsageError: the file is missing or is a folder, or the source is of no known kind.
        ModelError: it is no usable ONNX model.
    """
    with _owned(source) as owned:
        report = _folded(owned, options)
        model = owned.whole()
    graph = surgeon.to_surgeon(model) if surgeon.is_surgeon_graph(source) else None
    return FoldResult(model, report, graph)


def inspect(source: Source, options: Options | None = None) -> FoldReport:
    """The verdict on each BatchNorm; nothing is written.

    Raises:
        UsageError: the file is missing or is a folder.
        ModelError: it is no usable ONNX model.
    """
    with _owned(source) as owned:
        return _folded(owned, options)


def _folded(owned: onnxfile.ModelFile, options: Options | None) -> FoldReport:
    options = options or Options()
    report = folded_in_place(owned.model, options, data=owned.data)
    if report.changed:
        onnxfile.stamp(owned.model, owned.sha256, len(report.folded), asdict(options))
    return report


@contextmanager
def _owned(source: Source) -> Iterator[onnxfile.ModelFile]:
    """A validated model that may be edited; what lies in data files stays there."""
    if isinstance(source, str | PathLike):
        with onnxfile.opened(source) as file:
            yield file
    elif isinstance(source, onnxfile.ModelFile):
        yield onnxfile.borrowing(source)
    elif isinstance(source, bytes | bytearray | memoryview):
        yield _parsed(bytes(source))
    else:
        yield _validated(source)


def _validated(source: Any) -> onnxfile.ModelFile:
    proto = source if isinstance(source, onnx.ModelProto) else surgeon.to_proto(source)
    if proto is None:
        raise UsageError(
            f"cannot fold a {type(source).__name__}",
            hint="give a path, bytes, an onnx.ModelProto or an onnx_graphsurgeon.Graph",
        )
    onnxfile.validate(proto)
    return onnxfile.borrowing(onnxfile.ModelFile(proto, Path(), onnxfile.sha256_of(proto)))


def _parsed(data: bytes) -> onnxfile.ModelFile:
    try:
        model = onnx.ModelProto.FromString(data)
    except DecodeError as error:
        raise ModelError("the bytes are no ONNX model", where=str(error)) from error
    onnxfile.validate(model)
    return onnxfile.ModelFile(model, Path(), hashlib.sha256(data).hexdigest())
