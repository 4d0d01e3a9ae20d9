"""The functions as users call them, where several rooms meet."""

from __future__ import annotations

import hashlib
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
    options = options or Options()
    model, sha256 = _owned(source)
    report = folded_in_place(model, options)
    if report.changed:
        onnxfile.stamp(model, sha256, len(report.folded), asdict(options))
    graph = surgeon.to_surgeon(model) if surgeon.is_surgeon_graph(source) else None
    return FoldResult(model, report, graph)


def inspect(source: Source, options: Options | None = None) -> FoldReport:
    """The verdict on each BatchNorm; nothing is written.

    Raises:
        UsageError: the file is missing or is a folder.
        ModelError: it is no usable ONNX model.
    """
    return fold(source, options).report


def _owned(source: Source) -> tuple[onnx.ModelProto, str]:
    """A validated model that may be edited, and the SHA-256 of what it came from."""
    if isinstance(source, str | PathLike):
        found = onnxfile.read(Path(source))
        return found.model, found.sha256
    if isinstance(source, bytes | bytearray | memoryview):
        return _parsed(bytes(source))
    model = onnx.ModelProto()
    if isinstance(source, onnxfile.ModelFile):
        model.CopyFrom(source.model)
        return model, source.sha256
    proto = source if isinstance(source, onnx.ModelProto) else surgeon.to_proto(source)
    if proto is None:
        raise UsageError(
            f"cannot fold a {type(source).__name__}",
            hint="give a path, bytes, an onnx.ModelProto or an onnx_graphsurgeon.Graph",
        )
    model.CopyFrom(proto)
    onnxfile.validate(model)
    return model, onnxfile.sha256_of(model)


def _parsed(data: bytes) -> tuple[onnx.ModelProto, str]:
    try:
        model = onnx.ModelProto.FromString(data)
    except DecodeError as error:
        raise ModelError("the bytes are no ONNX model", where=str(error)) from error
    onnxfile.validate(model)
    return model, hashlib.sha256(data).hexdigest()
