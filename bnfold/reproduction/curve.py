"""What came out of one training of Figures 2 and 3, and its file."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bnfold.errors import DataError
from bnfold.reproduction.outcome import Outcome, outcome_of
from bnfold.reproduction.piece import write_json
from bnfold.reproduction.study import Study
from bnfold.reproduction.variants import Kind, Piece, Variant, config_of
from bnfold.training import Dataset, Device
from bnfold.training.loop import Watch


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Held-out accuracy after each measured step, and with Algorithm 2's statistics at the end.

    `diverged`: the step at which the loss was no longer finite; `stopped` is the whole sentence.
    """

    piece: Piece
    steps: tuple[int, ...]
    accuracy: tuple[float, ...]
    final: float
    diverged: int | None = None
    stopped: str | None = None

    @property
    def best(self) -> float:
        """The highest held-out accuracy; 0 if none was measured."""
        return max(self.accuracy, default=0.0)

    def reached(self, level: float) -> int | None:
        """The first measured step with at least this accuracy."""
        return next((s for s, a in zip(self.steps, self.accuracy, strict=True) if a >= level), None)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {**asdict(self), "best": self.best}


def trained(
    piece: Piece, study: Study, data: Dataset, name: str, folder: Path, device: Device
) -> Accuracy:
    """Train the piece, or go on where it stopped; a finished one is read from its file.

    Raises:
        DataError: the folder cannot be written, or holds something else.
        Interrupted: SIGINT or SIGTERM; the piece is saved.
    """
    done = finished(piece, folder)
    if done is not None:
        return done
    out = folder / "runs" / piece.name
    config = config_of(piece, study, name, len(data.train), out, device)
    found = outcome_of(config, data, Watch(lambda step: step % study.every == 0, lambda _: {}))
    curve = _of(piece, found)
    write_json(_file(piece, folder), curve.to_dict())
    return curve


def finished(piece: Piece, folder: Path) -> Accuracy | None:
    """What came out of the piece, whichever process trained it; None as long as nothing has.

    Raises:
        DataError: its file is damaged or holds another piece.
    """
    file = _file(piece, folder)
    return _read(file, piece) if file.is_file() else None


def _file(piece: Piece, folder: Path) -> Path:
    return folder / "pieces" / f"{piece.name}.json"


def _of(piece: Piece, found: Outcome) -> Accuracy:
    step = re.search(r"at step (\d+)", found.diverged or "")
    lost = int(step.group(1)) if step else None
    return Accuracy(piece, found.steps, found.accuracy, found.final, lost, found.diverged)


def _read(file: Path, piece: Piece) -> Accuracy:
    try:
        found = json.loads(file.read_text("utf-8"))
        own = found["piece"]
        read = Piece(Kind(own["kind"]), Variant(own["variant"]), own["lr"], own["seed"])
        curve = Accuracy(
            read, tuple(found["steps"]), tuple(found["accuracy"]), found["final"],
            found["diverged"], found["stopped"],
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError) as cause:
        raise DataError(f"not a piece of this experiment: {cause}", where=str(file)) from cause
    if curve.piece != piece:
        raise DataError("a piece of another experiment", where=str(file), hint="another --out")
    return curve
