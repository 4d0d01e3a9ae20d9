"""The nets of Figures 2 and 3, the two that the text says do not train, and each one's training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from bnfold.reproduction.study import Study
from bnfold.training import Device, TrainConfig, preset

HALF = 0.5  # a small run's rate falls to this, or to its sixth power where it falls 6 times as fast


class Variant(StrEnum):
    """Section 4.2.2, and the negatives of its text."""

    INCEPTION = "inception"
    BN_BASELINE = "bn-baseline"
    BN_X5 = "bn-x5"
    BN_X30 = "bn-x30"
    BN_X5_SIGMOID = "bn-x5-sigmoid"
    INCEPTION_X5 = "inception-x5"
    INCEPTION_SIGMOID = "inception-sigmoid"


MAIN = (Variant.INCEPTION, Variant.BN_BASELINE, Variant.BN_X5)  # on every seed
GRID = (Variant.INCEPTION, Variant.BN_BASELINE)  # the same but for BatchNorm


@dataclass(frozen=True, slots=True)
class Arm:
    """A preset, its rate in units of Inception's, what else is changed, and the paper's outcome.

    `steps`: millions until 72.2 %; `best`: maximal accuracy; `told`: what the text says instead.
    """

    preset: str
    times: int
    options: str = ""
    steps: float | None = None
    best: float | None = None
    told: str = ""


ARMS: Mapping[Variant, Arm] = {
    Variant.INCEPTION: Arm("inception", 1, steps=31.0, best=0.722),
    Variant.BN_BASELINE: Arm("bn-baseline", 1, steps=13.3, best=0.727),
    Variant.BN_X5: Arm("bn-x5", 5, steps=2.1, best=0.730),
    Variant.BN_X30: Arm("bn-x30", 30, steps=2.7, best=0.748),
    Variant.BN_X5_SIGMOID: Arm("bn-x5-sigmoid", 5, best=0.698),
    Variant.INCEPTION_X5: Arm("inception", 5, told="diverges"),
    Variant.INCEPTION_SIGMOID: Arm(
        "inception", 1, ",nonlinearity=sigmoid", told="stays at chance"
    ),
}  # fmt: skip


class Kind(StrEnum):
    """A short run of the grid, or one of the figure."""

    GRID = "grid"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Piece:
    """What one training is, beside the study and the data."""

    kind: Kind
    variant: Variant
    lr: float
    seed: int

    @property
    def name(self) -> str:
        """Its folder, and its file of results."""
        return f"{self.kind}-{self.variant}-lr{self.lr:g}-seed{self.seed}"


def config_of(
    piece: Piece, study: Study, data: str, images: int, out: Path, device: Device
) -> TrainConfig:
    """The training that a piece stands for; `images` is the size of the training split."""
    arm = ARMS[piece.variant]
    found = preset(arm.preset)
    own = sized(replace(found, model=found.model + arm.options), study, images)
    return replace(
        own, lr=piece.lr, seed=piece.seed, data=data, out=str(out), device=device,
        steps=study.grid_steps if piece.kind is Kind.GRID else own.steps,
    )  # fmt: skip


def sized(found: TrainConfig, study: Study, images: int) -> TrainConfig:
    """A preset's training at the study's size; `images` is that of the training split."""
    own = replace(
        found, batch=study.batch, size=study.pixels, keep=1, steps=study.steps or found.steps,
        calibration_batches=study.calibration, shift=study.shift,
    )  # fmt: skip
    return _small(own, study, images) if study.width else own


def _small(own: TrainConfig, study: Study, images: int) -> TrainConfig:
    """The small net of the same options; the decay is stretched over the steps of a full run."""
    family, _, options = own.model.partition(",")
    settings = [f"{family}-small", f"width={study.width:g}", *filter(None, [options])]
    epochs = study.steps / (images // study.batch)
    return replace(
        own, model=",".join(settings), decay=HALF,
        decay_epochs=epochs * own.decay_epochs / preset("inception").decay_epochs,
        # measured: a third faster than contiguous on the CPU for convolutions this narrow
        layout="channels_last", threads=1, log_every=100, save_every=2,
    )  # fmt: skip
