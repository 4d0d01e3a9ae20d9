"""Figures 2 and 3: Inception with and without BatchNorm, at several rates (4.2.2).

First a grid of rates on Inception and on the same net with BatchNorm, in short runs judged on
training images that they do not see; Inception's best is the rate "x1" unless the study names one.
Then the five nets of the figures, and the two that the paper says do not train. The last step takes
a trained BN-Inception down the whole road: export, fold, verify, bench.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bnfold.reproduction.curve import Accuracy, finished, trained
from bnfold.reproduction.experiment import RESULT, begun, head, resumable, shared_out
from bnfold.reproduction.images import held_out
from bnfold.reproduction.piece import write_json
from bnfold.reproduction.road_end import Arrival, arrival, provider_for
from bnfold.reproduction.study import SMALL, Study
from bnfold.reproduction.variants import ARMS, GRID, MAIN, Kind, Piece, Variant
from bnfold.training import Dataset, Device


@dataclass(frozen=True, slots=True)
class Figure3:
    """What came out so far: the grid, the rate x1, the full runs, and the road's end."""

    folder: Path
    data: str
    images: tuple[int, int]
    shape: tuple[int, int, int]
    study: Study
    base: float
    grid: tuple[Accuracy, ...]
    full: tuple[Accuracy, ...]
    arrival: Arrival | None = None

    def run(self, variant: Variant, seed: int) -> Accuracy | None:
        """The full run of a net on a seed."""
        own = (c for c in self.full if (c.piece.variant, c.piece.seed) == (variant, seed))
        return next(own, None)

    def steps_to_baseline(self, curve: Accuracy) -> int | None:
        """Steps until Inception's best accuracy on the same seed; None: not reached."""
        plain = self.run(Variant.INCEPTION, curve.piece.seed)
        return curve.reached(plain.best) if plain and plain.accuracy else None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {
            **head("inception", self.data, self.images, self.shape, self.study),
            "base_lr": self.base,
            "grid": [c.to_dict() for c in self.grid],
            "full": [
                {**c.to_dict(), "steps_to_baseline": self.steps_to_baseline(c)} for c in self.full
            ],
            "road": None if self.arrival is None else self.arrival.to_dict(),
        }  # fmt: skip


def reproduce_inception(
    folder: Path,
    *,
    data: str = "fashion-mnist",
    study: Study = SMALL,
    device: Device = "auto",
    resume: bool = False,
    on_piece: Callable[[str], None] | None = None,
) -> Figure3:
    """Run what is left of the experiment in `folder`; result.json and result.md tell as it goes.

    The same call in several processes, with `resume`, shares out the pieces.

    Raises:
        UsageError: the folder holds an experiment, or one of other settings.
        DataError: the data set is missing, damaged or too small, or the folder cannot be written.
        EnvironmentLacks: the device, or what the road's end needs, is not there.
        CheckFailed: the folded net is not equivalent to the trained one.
        Interrupted: SIGINT or SIGTERM; what was done is kept.
    """
    from bnfold.reproduction.inception_figures import draw

    images = begun(folder, data, study, device, resume=resume)
    tell = on_piece or (lambda _: None)
    with resumable(folder, "inception"):
        grid = _grid(folder, data, images, study, device, tell)
        base = study.base or best_rate(grid, study.rates)
        told = Figure3(
            folder, images.name, (len(images.train), len(images.test)), images.shape, study, base,
            grid, (),
        )  # fmt: skip
        found = _full(told, data, images, device, tell)
    traveller = _best_folding(found)
    if traveller:
        tell(f"the road of {traveller}: export, fold, verify, bench")
        found = _with(found, found.full, _travelled(folder, traveller, device))
    _write(found)
    draw(found, folder)
    return found


def pieces(study: Study, base: float) -> list[Piece]:
    """The full runs in order: every net on its first seed, then the others."""
    wanted = []
    for index, seed in enumerate(study.seeds):
        for variant, arm in ARMS.items():
            if variant in MAIN or index < study.others:
                rate = float(f"{arm.times * base:.6g}")  # 5 * 0.003 is 0.015
                wanted.append(Piece(Kind.FULL, variant, rate, seed))
    return wanted


def best_rate(grid: Sequence[Accuracy], rates: Sequence[float]) -> float:
    """Inception's: the highest accuracy at the grid's end; of equals the smallest rate."""
    plain = {c.piece.lr: c for c in grid if c.piece.variant is Variant.INCEPTION}
    return max(rates, key=lambda lr: 0.0 if plain[lr].stopped else plain[lr].accuracy[-1])


def _best_folding(found: Figure3) -> str | None:
    """The run with BatchNorms that ended best on the first seed, if one did not diverge."""
    plain = (Variant.INCEPTION, Variant.INCEPTION_X5, Variant.INCEPTION_SIGMOID)
    own = [
        c
        for c in found.full
        if c.piece.seed == found.study.seeds[0] and c.piece.variant not in plain and not c.stopped
    ]
    return max(own, key=lambda c: c.final).piece.name if own else None


def _travelled(folder: Path, name: str, device: Device) -> Arrival:
    run = folder / "runs" / name
    return arrival(folder, name, run, provider_for(device), model="bn-inception")


def _grid(
    folder: Path,
    name: str,
    images: Dataset,
    study: Study,
    device: Device,
    tell: Callable[[str], None],
) -> tuple[Accuracy, ...]:
    judged = held_out(images) if study.images else images
    wanted = [Piece(Kind.GRID, net, lr, study.seeds[0]) for lr in study.rates for net in GRID]

    def work(piece: Piece) -> Accuracy:
        tell(f"grid: {piece.variant}, rate {piece.lr:g}")
        return trained(piece, study, judged, name, folder, device)

    return tuple(shared_out(folder, wanted, work).values())


def _full(
    told: Figure3, name: str, images: Dataset, device: Device, tell: Callable[[str], None]
) -> Figure3:
    """Every full run; after each one, the result as far as it goes."""
    wanted = pieces(told.study, told.base)

    def work(piece: Piece) -> Accuracy:
        tell(f"full: {piece.variant}, rate {piece.lr:g}, seed {piece.seed}")
        curve = trained(piece, told.study, images, name, told.folder, device)
        so_far = (finished(p, told.folder) for p in wanted)
        _write(_with(told, [c for c in so_far if c is not None], None))
        return curve

    return _with(told, list(shared_out(told.folder, wanted, work).values()), None)


def _with(found: Figure3, full: Sequence[Accuracy], end: Arrival | None) -> Figure3:
    return Figure3(
        found.folder, found.data, found.images, found.shape, found.study, found.base, found.grid,
        tuple(full), end,
    )  # fmt: skip


def _write(found: Figure3) -> None:
    from bnfold.onnxfile import write_text
    from bnfold.reproduction.inception_table import markdown

    write_json(found.folder / RESULT, found.to_dict())
    write_text(found.folder / "result.md", markdown(found))
