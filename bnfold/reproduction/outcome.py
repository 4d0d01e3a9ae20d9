"""One training run to its end, or to where its loss is no longer finite, and what it measured."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bnfold.errors import RunStopped
from bnfold.training import Dataset, TrainConfig, train
from bnfold.training.loop import Watch
from bnfold.training.run_folder import METRICS


@dataclass(frozen=True, slots=True)
class Outcome:
    """The records with a held-out accuracy, the accuracy by Algorithm 2, and what stopped it."""

    records: Sequence[Mapping[str, Any]]
    final: float
    diverged: str | None

    @property
    def steps(self) -> tuple[int, ...]:
        """After which the held-out accuracy was measured."""
        return tuple(int(record["step"]) for record in self.records)

    @property
    def accuracy(self) -> tuple[float, ...]:
        """Held-out, after each of `steps`, with moving averages."""
        return tuple(float(record["held_out"]) for record in self.records)


def outcome_of(config: TrainConfig, data: Dataset, watch: Watch) -> Outcome:
    """Train, or go on where it stopped.

    Raises:
        DataError: the folder cannot be written, or holds something else.
        Interrupted: SIGINT or SIGTERM; it is saved.
    """
    diverged, final = None, 0.0
    try:
        final = train(config, existing="resume", data=data, watch=watch).calibration.accuracy
    except RunStopped as stop:
        diverged = stop.message
    return Outcome(_held_out(config.folder()), final, diverged)


def _held_out(run: Path) -> list[dict[str, Any]]:
    file = run / METRICS  # absent where a run diverged before its first record
    text = file.read_text("utf-8") if file.is_file() else ""
    return [line for line in map(json.loads, text.splitlines()) if "held_out" in line]
