"""One training of the experiment, resumable by itself, and the curve that comes out of it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from bnfold.errors import DataError
from bnfold.reproduction.activations import Spread, spread, watching
from bnfold.reproduction.outcome import Outcome, outcome_of
from bnfold.reproduction.scale import dense, grid_points
from bnfold.training import Dataset, Device, TrainConfig, preset
from bnfold.training.loop import Watch


class Arm(StrEnum):
    """The two nets that are compared."""

    PLAIN = "plain"
    BN = "bn"


class Kind(StrEnum):
    """A run of the grid, judged on images held out of the training set, or one of the figure."""

    GRID = "grid"
    FULL = "full"


PRESETS = {Arm.PLAIN: "mnist-paper-plain", Arm.BN: "mnist-paper"}


@dataclass(frozen=True, slots=True)
class Piece:
    """What one training is: everything that its outcome depends on, beside the data."""

    kind: Kind
    arm: Arm
    init: float
    lr: float
    seed: int
    steps: int
    batch: int

    @property
    def name(self) -> str:
        """Its folder, and its file of results."""
        return f"{self.kind}-{self.arm}-init{self.init:g}-lr{self.lr:g}-seed{self.seed}"

    def config(self, data: str, out: Path, device: Device) -> TrainConfig:
        """The training that it stands for."""
        base = preset(PRESETS[self.arm])
        model = base.model if self.init == INIT else f"bnfold_models.mlp:{SMALL[self.arm]}"
        return replace(
            base, model=model, lr=self.lr, seed=self.seed, steps=self.steps, batch=self.batch,
            data=data, out=str(out), device=device, threads=1, log_every=1000, keep=1,
        )  # fmt: skip


INIT = 0.1  # of the two registered nets
SMALL = {Arm.PLAIN: "mnist_mlp_small_init", Arm.BN: "mnist_mlp_bn_small_init"}


@dataclass(frozen=True, slots=True)
class Curve:
    """Held-out accuracy after each measured step, and with Algorithm 2's statistics at the end.

    `diverged` is what stopped a run whose loss was no longer finite; `spread` tells of the inputs
    of the last hidden layer's sigmoids, in full runs.
    """

    piece: Piece
    steps: tuple[int, ...]
    accuracy: tuple[float, ...]
    final: float
    diverged: str | None = None
    spread: Spread | None = None

    def reached(self, level: float) -> int | None:
        """The first measured step with at least this accuracy."""
        return next((s for s, a in zip(self.steps, self.accuracy, strict=True) if a >= level), None)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return asdict(self)


def curve_of(piece: Piece, data: Dataset, name: str, folder: Path, device: Device) -> Curve:
    """Train the piece, or go on where it stopped; a finished one is read from its file.

    Raises:
        DataError: the folder cannot be written, or holds something else.
        Interrupted: SIGINT or SIGTERM; the piece is saved.
    """
    file = folder / "pieces" / f"{piece.name}.json"
    if file.is_file():
        return _read(file, piece)
    out = folder / "runs" / piece.name
    config = piece.config(name, out, device)
    watch = Watch(grid_points, lambda _: {})
    if piece.kind is Kind.FULL:
        watch = Watch(dense, watching(data))
    curve = _measured(piece, outcome_of(config, data, watch))
    write_json(file, curve.to_dict())
    return curve


def write_json(path: Path, data: Any) -> None:
    """One JSON file, whole or not at all.

    Raises:
        DataError: it cannot be written.
    """
    from bnfold.onnxfile import write_text

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as cause:
        raise DataError(f"cannot make folder: {cause.strerror}", where=str(path.parent)) from cause
    write_text(path, json.dumps(data, separators=(",", ":")) + "\n")


def _measured(piece: Piece, found: Outcome) -> Curve:
    """What the run's metrics say."""
    seen = [record["percentiles"] for record in found.records if "percentiles" in record]
    told = spread(found.steps, seen) if seen else None
    return Curve(piece, found.steps, found.accuracy, found.final, found.diverged, told)


def _read(file: Path, piece: Piece) -> Curve:
    try:
        found = json.loads(file.read_text("utf-8"))
        curve = Curve(
            Piece(**{**found["piece"], "kind": Kind(found["piece"]["kind"]),
                     "arm": Arm(found["piece"]["arm"])}),
            tuple(found["steps"]), tuple(found["accuracy"]), found["final"], found["diverged"],
            None if found["spread"] is None else Spread(**found["spread"]),
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError) as cause:
        raise DataError(f"not a piece of this experiment: {cause}", where=str(file)) from cause
    if curve.piece != piece:
        raise DataError("a piece of another experiment", where=str(file), hint="another --out")
    return curve
