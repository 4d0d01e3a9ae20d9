"""The functions as users call them, where several rooms meet."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx

from bnfold import onnxfile
from bnfold.folding.engine import fold_in_place
from bnfold.folding.report import FoldReport, Options

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

    Takes a path, the bytes of a model, an onnx.ModelProto or an onnx_graphsurgeon.Graph.

    Raises:
        UsageError: the file is missing or is a folder, or the source is of no known kind.
        ModelError: it is no usable ONNX model.
    """
    options = options or Options()
    model, sha256 = _owned(source)
    report = fold_in_place(model, options)
    if report.folded:
        onnxfile.stamp(model, sha256, len(report.folded), asdict(options))
    return FoldResult(model, report)


def inspect(source: Source, options: Options | None = None) -> FoldReport:
    """The verdict on each BatchNorm; nothing is written.

    Raises:
        UsageError: the file is missing or is a folder.
        ModelError: it is no usable ONNX model.
    """
    return fold(source, options).report


def _owned(source: Source) -> tuple[onnx.ModelProto, str]:
    """A model that may be edited, and the SHA-256 of what it came from."""
    if isinstance(source, onnxfile.ModelFile):
        model = onnx.ModelProto()
        model.CopyFrom(source.model)
        return model, source.sha256
    if isinstance(source, onnx.ModelProto):
        model = onnx.ModelProto()
        model.CopyFrom(source)
        return model, onnxfile.sha256_of(source)
    found = onnxfile.read(Path(source))
    return found.model, found.sha256
