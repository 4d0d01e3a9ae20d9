"""What a run reports as it goes: one record, one JSON line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from bnfold.errors import DataError
from bnfold.extras import require
from bnfold.onnxfile import write_text


@dataclass(frozen=True, slots=True)
class StepMetrics:
    """Means over the steps since the record before; `step` counts finished steps.

    `accuracy` is that of the training batches, `held_out` that of the held-out split where this
    step measured it; `images_per_s` in images a second, `data_wait` the share of time spent on
    making batches, `gpu_mem` the peak in bytes on CUDA; `watched` is what a `Watch` measured.
    """

    step: int
    steps: int
    epoch: float
    loss: float
    accuracy: float
    lr: float
    images_per_s: float
    data_wait: float
    held_out: float | None = None
    gpu_mem: int | None = None
    watched: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data, without what was not measured."""
        own = asdict(self)
        watched = own.pop("watched")
        return {key: value for key, value in (own | watched).items() if value is not None}


def append(path: Path, record: StepMetrics) -> None:
    """Add one line.

    Raises:
        DataError: the file cannot be written.
    """
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record.to_dict()) + "\n")
    except OSError as cause:
        raise DataError(f"cannot write metrics: {cause.strerror}", where=str(path)) from cause


def cut(path: Path, step: int) -> None:
    """Drop the lines after a step, and a half-written one: what resuming does again.

    Raises:
        DataError: the file cannot be written.
    """
    if not path.is_file():
        return
    kept: list[str] = []
    for line in path.read_text("utf-8", errors="replace").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
    write_text(path, "".join(kept))


class Events(Protocol):
    """Where records go beside the metrics file."""

    def add(self, record: StepMetrics) -> None:
        """Take one in."""


class _Nowhere:
    def add(self, record: StepMetrics) -> None:
        """Nobody asked for it."""


class _Board:
    def __init__(self, writer: Any) -> None:
        self.writer = writer

    def add(self, record: StepMetrics) -> None:
        """One scalar for each number."""
        for name, value in record.to_dict().items():
            if isinstance(value, int | float) and name not in ("step", "steps"):
                self.writer.add_scalar(name, value, record.step)


@contextmanager
def events(folder: Path, wanted: bool) -> Iterator[Events]:  # noqa: FBT001
    """TensorBoard's events in the folder, if wanted.

    Raises:
        EnvironmentLacks: tensorboard is not installed.
    """
    if not wanted:
        yield _Nowhere()
        return
    writer = require("torch.utils.tensorboard", "train").SummaryWriter(folder)
    try:
        yield _Board(writer)
    finally:
        writer.close()
