"""What is timed: the models as given, and the first once more without the runtime's own fusion."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import onnx

from bnfold import onnxfile
from bnfold.errors import UsageError
from bnfold.graph.readers import every_node
from bnfold.latency import inputs
from bnfold.latency.runtime import BN_FUSIONS

Model: TypeAlias = "str | os.PathLike[str] | bytes | onnx.ModelProto"


@dataclass(frozen=True, slots=True)
class Subject:
    """One row of the table. `disabled` names the optimizers of ONNX Runtime switched off."""

    label: str
    path: Path
    sha256: str
    file_bytes: int
    batchnorms: int
    inputs: tuple[inputs.Input, ...]
    disabled: tuple[str, ...] = ()


def subjects(models: Sequence[Model], folder: Path) -> tuple[Subject, ...]:
    """A subject a model; what comes in memory is written to `folder` for the sessions to load.

    Raises:
        UsageError: no model, or a missing file.
        ModelError: a file that is no sound ONNX model.
    """
    if not models:
        raise UsageError("there is no model to time")
    files = [onnxfile.read(_path(model, folder / str(i))) for i, model in enumerate(models)]
    labels = _labels([file.path for file in files])
    return tuple(_subject(f, label) for f, label in zip(files, labels, strict=True))


def without_fusion(subject: Subject) -> Subject:
    """The same model with ONNX Runtime's BatchNorm fusions switched off."""
    label = f"{subject.label}, ORT's BN fusion off"
    return replace(subject, label=label, disabled=BN_FUSIONS)


def _path(model: Model, stem: Path) -> Path:
    if isinstance(model, str | os.PathLike):
        return Path(model)
    path = stem.parent / f"model-{stem.name}.onnx"
    if isinstance(model, bytes):
        path.write_bytes(model)
    else:
        onnxfile.write(model, path)
    return path


def _labels(paths: Sequence[Path]) -> list[str]:
    """File names; with the folder, or at last a number, where two are called the same."""
    for labels in ([p.name for p in paths], [str(Path(*p.parts[-2:])) for p in paths]):
        if len(set(labels)) == len(labels):
            return labels
    return [f"{path.name} #{number}" for number, path in enumerate(paths, 1)]


def _subject(file: onnxfile.ModelFile, label: str) -> Subject:
    return Subject(
        label=label,
        path=file.path,
        sha256=file.sha256,
        file_bytes=file.size,
        batchnorms=count_operator(file.model, "BatchNormalization"),
        inputs=inputs.signature(file.model),
    )


def count_operator(model: onnx.ModelProto, op_type: str) -> int:
    """Nodes of that type in all scopes, local functions included."""
    return sum(node.op_type == op_type for node in every_node(model))
