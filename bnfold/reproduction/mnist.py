"""Figure 1: three layers of 100 sigmoids on binary MNIST, with and without BatchNorm (4.1).

The paper gives neither rate nor init. So each arm is trained over a grid of rates first, judged
on training images that these runs do not see; then in full at its own best rate and at the
other's. Every training is a piece that can be stopped and gone on with.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bnfold.reproduction.experiment import EXPERIMENT, RESULT, refuse_other, resumable
from bnfold.reproduction.images import held_out
from bnfold.reproduction.piece import Arm, Curve, Kind, Piece, curve_of, write_json
from bnfold.reproduction.scale import FULL, SMOKE, Scale
from bnfold.training import Dataset, Device, load_data
from bnfold.training.device import select
from bnfold.training.lock import locked

LEVELS = (0.90, 0.95, 0.97)

__all__ = ["FULL", "LEVELS", "SMOKE", "Figure1", "reproduce_mnist"]


@dataclass(frozen=True, slots=True)
class Figure1:
    """What came out: the grid, each arm's best rate, the full runs, and other initial weights."""

    folder: Path
    data: str
    images: tuple[int, int]
    scale: Scale
    grid: tuple[Curve, ...]
    best: dict[Arm, float]
    full: tuple[Curve, ...]
    other_init: tuple[Curve, ...]

    def runs(self, arm: Arm, lr: float) -> list[Curve]:
        """The full runs of an arm at a rate, by seed."""
        return [c for c in self.full if (c.piece.arm, c.piece.lr) == (arm, lr)]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {
            "experiment": "mnist", "data": self.data,
            "train_images": self.images[0], "test_images": self.images[1],
            "scale": self.scale.to_dict(), "torch": torch.__version__,
            "best_lr": {str(arm): lr for arm, lr in self.best.items()},
            "levels": list(LEVELS),
            "grid": [c.to_dict() for c in self.grid],
            "full": [
                {**c.to_dict(), "steps_to": {str(level): c.reached(level) for level in LEVELS}}
                for c in self.full
            ],
            "other_init": [c.to_dict() for c in self.other_init],
        }  # fmt: skip


def reproduce_mnist(
    folder: Path,
    *,
    data: str = "mnist",
    scale: Scale = FULL,
    device: Device = "cpu",
    resume: bool = False,
    on_piece: Callable[[str], None] | None = None,
) -> Figure1:
    """Run what is left of the experiment in `folder`; write result.json, result.md, figures.

    Raises:
        UsageError: the folder holds an experiment, or one of other settings.
        DataError: the data set is missing or damaged, or the folder cannot be written.
        EnvironmentLacks: the device is not there.
        Interrupted: SIGINT or SIGTERM; what was done is kept.
    """
    from bnfold.reproduction.figures import draw
    from bnfold.reproduction.table import markdown

    refuse_other(folder, _described(data, scale), resume=resume)
    select(device)
    whole = load_data(data, binarize=True)
    tell = on_piece or (lambda _: None)
    with locked(folder):
        write_json(folder / EXPERIMENT, _described(data, scale))
        with resumable(folder, "mnist"):
            found = _run(folder, data, whole, scale, device, tell)
        write_json(folder / RESULT, found.to_dict())
        from bnfold.onnxfile import write_text

        write_text(folder / "result.md", markdown(found))
        draw(found, folder)
    return found


def _run(
    folder: Path,
    name: str,
    whole: Dataset,
    scale: Scale,
    device: Device,
    tell: Callable[[str], None],
) -> Figure1:
    held = held_out(whole)

    def all_of(pieces: list[Piece], data: Dataset, what: str) -> tuple[Curve, ...]:
        curves = []
        for index, piece in enumerate(pieces, start=1):
            tell(f"{what} {index}/{len(pieces)}: {piece.arm}, rate {piece.lr:g}, seed {piece.seed}")
            curves.append(curve_of(piece, data, name, folder, device))
        return tuple(curves)

    grid = all_of(list(_grid(scale, scale.inits[0], scale.seeds)), held, "grid")
    best = {arm: _best(arm, grid, scale) for arm in Arm}
    full = all_of(list(_full(scale, best)), whole, "full run")
    others = [p for init in scale.inits[1:] for p in _grid(scale, init, scale.seeds[:1])]
    other_init = all_of(others, held, "other init")
    images = len(whole.train), len(whole.test)
    return Figure1(folder, whole.name, images, scale, grid, best, full, other_init)


def _grid(scale: Scale, init: float, seeds: tuple[int, ...]) -> Iterator[Piece]:
    for lr in scale.rates:
        for arm in Arm:
            for seed in seeds:
                yield Piece(Kind.GRID, arm, init, lr, seed, scale.grid_steps, scale.batch)


def _full(scale: Scale, best: dict[Arm, float]) -> Iterator[Piece]:
    """Each arm at its own best rate first, then at the other's."""
    own = [(arm, best[arm]) for arm in Arm]
    crossed = [(arm, lr) for arm in Arm for lr in best.values() if lr != best[arm]]
    for arm, lr in own + crossed:
        for seed in scale.seeds:
            yield Piece(Kind.FULL, arm, scale.inits[0], lr, seed, scale.steps, scale.batch)


def _best(arm: Arm, grid: tuple[Curve, ...], scale: Scale) -> float:
    """The rate with the highest mean accuracy at the grid's end; of equals the smallest."""

    def score(lr: float) -> float:
        curves = [c for c in grid if (c.piece.arm, c.piece.lr) == (arm, lr)]
        return statistics.mean(0.0 if c.diverged else c.accuracy[-1] for c in curves)

    return max(scale.rates, key=score)


def _described(data: str, scale: Scale) -> dict[str, Any]:
    return {"schema": "bnfold.reproduction/1", "data": data, "scale": scale.to_dict()}
