"""Algorithm 2 for a run or a checkpoint: the statistics that inference and folding will use."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bnfold.bn.population import (
    Estimator,
    all_estimates,
    drift,
    load_statistics,
    population_statistics,
    variance_ratio,
)
from bnfold.errors import DataError, UsageError
from bnfold.training import checkpoint as checkpoints
from bnfold.training.config import TrainConfig, from_dict
from bnfold.training.data import load as load_data
from bnfold.training.dataset import Dataset
from bnfold.training.device import select
from bnfold.training.loop import accuracy, calibration_inputs, samples
from bnfold.training.ranks import ALONE, Ranks


@dataclass(frozen=True, slots=True)
class Calibration:
    """What re-estimating did.

    `samples` images; `drift` is the largest change of a channel's mean, in standard deviations,
    between two passes over differently mixed batches; `dead_channels` have a variance below a
    millionth of their layer's median; accuracies are held-out, before and after.
    `variance_ratios`: smallest and largest variance, over this estimator's, that each of the others
    gives a channel on the same batches.
    """

    estimator: Estimator
    layers: int
    samples: int
    drift: float
    dead_channels: int
    accuracy_before: float
    accuracy: float
    variance_ratios: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    checkpoint: Path | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        where = None if self.checkpoint is None else str(self.checkpoint)
        return {**asdict(self), "checkpoint": where}


def recalibrate(
    model: nn.Module, data: Dataset, config: TrainConfig, ranks: Ranks = ALONE
) -> Calibration:
    """Write population statistics into the model's BatchNorms; weights stay as they are.

    Several ranks, with models that are the same, take a part of the batches each.

    Raises:
        UsageError: a batch leaves one value per channel.
        DataError: an activation is not finite.
    """
    estimator: Estimator = "moving" if config.freeze_bn else config.estimator
    before = accuracy(model, data, data.test, ranks=ranks)
    seen = 0 if estimator == "moving" else samples(config, data)
    ratios: dict[str, tuple[float, float]] = {}
    found = again = population_statistics(model, (), estimator="moving")
    if estimator != "moving" and found:
        inputs = (calibration_inputs(config, data, order, ranks) for order in (0, 1))
        estimates, mixed = (all_estimates(model, part, ranks.gather) for part in inputs)
        found, again = estimates[estimator], mixed[estimator]
        others = {e: v for e, v in estimates.items() if e != estimator}
        ratios = {e: variance_ratio(values, found) for e, values in others.items()}
    load_statistics(model, found)
    return Calibration(
        estimator=estimator,
        layers=len(found),
        samples=seen,
        drift=drift(found, again),
        dead_channels=sum(statistics.dead for statistics in found.values()),
        accuracy_before=before,
        accuracy=accuracy(model, data, data.test, ranks=ranks),
        variance_ratios=ratios,
    )


def calibrate(
    target: str | os.PathLike[str],
    *,
    data: str | None = None,
    estimator: Estimator = "pooled",
    batches: int | None = None,
    out: str | os.PathLike[str] | None = None,
    device: str = "auto",
) -> Calibration:
    """Re-estimate a run's or a checkpoint's statistics; `out` (default: in place) takes the result.

    Data and number of batches are those of the training, unless given.

    Raises:
        UsageError: no such folder, unknown estimator or data, or `out` is there already.
        DataError: the checkpoint or the data is damaged or does not fit.
        EnvironmentLacks: the device is not there.
    """
    found = checkpoints.load(target)
    config = config_of(found, data=data, estimator=estimator, calibration_batches=batches)
    place = select(device)
    dataset = fitting_data(found, config.data).to(place)
    result = recalibrate(found.model.to(place), dataset, config)
    facts = {k: v for k, v in found.manifest.items() if k not in ("schema", "step", "files")}
    facts |= {"accuracy": result.accuracy, "calibration": result.to_dict()}
    path = _write(found, facts, None if out is None else Path(out))
    return Calibration(**{**asdict(result), "checkpoint": path})


def config_of(
    found: checkpoints.Checkpoint,
    *,
    data: str | None,
    estimator: str,
    calibration_batches: int | None,
) -> TrainConfig:
    """The config that the checkpoint was made with, with these settings instead.

    Raises:
        UsageError: a setting is not right.
        DataError: the checkpoint records no usable config.
    """
    try:
        recorded = dict(found.manifest["config"])
        from_dict(recorded)
    except (KeyError, TypeError, ValueError) as cause:
        raise DataError(f"checkpoint without config: {cause}", where=str(found.path)) from cause
    recorded["estimator"] = estimator
    if calibration_batches is not None:
        recorded["calibration_batches"] = calibration_batches
    if data is not None:
        recorded["data"] = data
    try:
        return from_dict(recorded)
    except ValueError as cause:
        raise UsageError(str(cause)) from cause


def fitting_data(found: checkpoints.Checkpoint, name: str) -> Dataset:
    """The data set, with the pixel scaling that the checkpoint was trained with.

    Raises:
        UsageError: unknown data.
        DataError: files are missing or corrupt, or sizes or classes do not fit the checkpoint.
    """
    facts = found.manifest["data"]
    data = load_data(name, binarize=bool(facts["binarize"]), size=found.shape[1])
    if data.shape != found.shape or data.classes > int(facts["classes"]):
        raise DataError(
            f"data '{name}' has {data.classes} classes of {data.shape}, the checkpoint "
            f"{facts['classes']} of {found.shape}",
            where=str(found.path),
        )
    return replace(
        data, classes=int(facts["classes"]), top=int(facts["top"]),
        mean=_numbers(facts["mean"]), std=_numbers(facts["std"]), binarize=bool(facts["binarize"]),
    )  # fmt: skip


def _numbers(value: Any) -> tuple[float, ...]:
    """One a channel, or one for all: the first version wrote a plain number."""
    return tuple(map(float, value)) if isinstance(value, list) else (float(value),)


def _write(found: checkpoints.Checkpoint, facts: dict[str, Any], out: Path | None) -> Path:
    """Save beside or over the checkpoint; a folder `out` gets a `step-N` of its own name."""
    state, step = found.state(), found.step
    model = found.model.to(torch.device("cpu"))
    if out is None:
        return checkpoints.save(found.path.parent, step, model, state, facts)
    if out.exists():
        raise UsageError("this is there already", where=str(out))
    return checkpoints.save(out.parent, step, model, state, facts, name=out.name)
