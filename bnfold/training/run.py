"""A whole run: folder, loop, signals, checkpoints, and Algorithm 2 at the end."""

from __future__ import annotations

import json
import logging
import os
import random
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from bnfold.errors import DataError, UsageError
from bnfold.onnxfile import write_text
from bnfold.training import checkpoint as checkpoints
from bnfold.training import loop, metrics, networks, weights
from bnfold.training.calibration import Calibration, recalibrate
from bnfold.training.config import TrainConfig, from_dict, validated
from bnfold.training.data import load as load_data
from bnfold.training.dataset import Dataset
from bnfold.training.device import memory_told, numerics, placed, select, threads
from bnfold.training.lock import locked
from bnfold.training.metrics import StepMetrics
from bnfold.training.seeds import Purpose, number
from bnfold.training.signals import Stop, deferred
from bnfold.training.state import Training, begin, restore, state_of

logger = logging.getLogger(__name__)

Existing = Literal["refuse", "resume", "replace"]
CONFIG, METRICS, CHECKPOINTS = "config.json", "metrics.jsonl", "checkpoints"
# what may change when a run goes on; all else would make it another run (a data set may have moved)
CHANGEABLE = frozenset(
    {"out", "data", "device", "threads", "lr", "weight_decay", "precision", "estimator", "weights",
     "calibration_batches", "log_every", "save_every", "keep", "layout", "compile", "tensorboard",
     "deterministic"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run: its folder, its last checkpoint, its network on the CPU in eval mode."""

    folder: Path
    checkpoint: Path
    config: TrainConfig
    model: nn.Module
    data: Dataset
    steps: int
    accuracy: float
    calibration: Calibration
    seconds: float

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one input."""
        return self.data.shape

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {
            "folder": str(self.folder), "checkpoint": str(self.checkpoint), "steps": self.steps,
            "accuracy": self.accuracy, "seconds": self.seconds, "data": self.data.describe(),
            "calibration": self.calibration.to_dict(), "config": self.config.to_dict(),
        }  # fmt: skip


def train(
    config: TrainConfig,
    *,
    existing: Existing = "refuse",
    on_step: Callable[[StepMetrics], None] | None = None,
    data: Dataset | None = None,
    watch: loop.Watch = loop.UNWATCHED,
) -> Run:
    """Train, re-estimate the population statistics, save; `on_step` sees each logged record.

    A folder that holds a run is refused, resumed (one without is begun), or replaced. `data` is
    what `config.data` names, where it is in memory already; `watch` measures more as it goes.

    Raises:
        UsageError: a bad setting or name, or the folder holds a run that may not be touched.
        EnvironmentLacks: the device, or what the data needs, is not there.
        DataError: data or checkpoint is missing or damaged, or the folder cannot be written.
        RunStopped: the loss is not finite, or the GPU's memory does not suffice.
        Interrupted: SIGINT or SIGTERM; the run is saved.
    """
    start = time.perf_counter()
    config, device = validated(config), select(config.device)
    networks.check(config.model)
    data = _data(config) if data is None else data
    folder = config.folder()
    _refuse_existing(folder, existing)
    numbers = numerics(config.precision, deterministic=config.deterministic)
    guards = threads(config.threads), memory_told("outside a step", config.batch), numbers
    with locked(folder), deferred() as stop, guards[0], guards[1], guards[2]:
        found = _prepare(folder, config, existing, data)
        training = _begin(config, data.to(device), found)
        _loop(training, folder, stop, on_step, watch)
        done = _finish(training, folder)
        _heed(stop, training, folder)
    model = placed(training.model, torch.device("cpu")).eval()
    seconds = time.perf_counter() - start
    last = checkpoints.locate(folder)
    return Run(folder, last, config, model, data, training.step, done.accuracy, done, seconds)


def _data(config: TrainConfig) -> Dataset:
    return load_data(config.data, binarize=config.binarize, size=config.size)


def _refuse_existing(folder: Path, existing: Existing) -> None:
    """Before the lock makes the folder."""
    if folder.exists() and not folder.is_dir():
        raise UsageError("the run folder is a file", where=str(folder))
    if existing == "refuse" and (folder / CONFIG).exists():
        raise UsageError(
            "this folder holds a run",
            where=str(folder),
            hint="--resume it, or choose another --out",
        )


def _prepare(
    folder: Path, config: TrainConfig, existing: Existing, data: Dataset
) -> checkpoints.Checkpoint | None:
    """The checkpoint to go on from, if any; else an empty run folder with its config."""
    if existing == "resume" and (folder / CONFIG).exists():
        _refuse_other(folder / CONFIG, config)
        if checkpoints.pointed(folder / CHECKPOINTS, "last") is not None:
            found = checkpoints.load(folder)
            if {**found.manifest["data"], "name": ""} != {**data.describe(), "name": ""}:
                raise UsageError(f"'{config.data}' is other data", where=str(found.path))
            metrics.cut(folder / METRICS, found.step)
            return found
    _clear(folder)
    write_text(folder / CONFIG, json.dumps(config.to_dict(), indent=1) + "\n")
    return None


def _clear(folder: Path) -> None:
    """Remove an earlier run; checkpoints and metrics that are not a run's stay, and are told."""
    if not ((folder / CHECKPOINTS).exists() or (folder / METRICS).exists()):
        return
    _recorded(folder / CONFIG)
    try:
        (folder / METRICS).unlink(missing_ok=True)
        shutil.rmtree(folder / CHECKPOINTS)
    except FileNotFoundError:
        pass
    except OSError as cause:
        raise DataError(f"cannot clear run folder: {cause.strerror}", where=str(folder)) from cause


def _recorded(path: Path) -> TrainConfig:
    """The config of a run folder."""
    try:
        return from_dict(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, AttributeError) as cause:
        raise DataError(
            f"not a run's config: {cause}", where=str(path), hint="choose another --out"
        ) from cause


def _refuse_other(path: Path, config: TrainConfig) -> None:
    """A run goes on as it began: nothing but CHANGEABLE may differ."""
    old = asdict(_recorded(path))
    differ = [key for key, value in asdict(config).items() if old[key] != value]
    fixed = sorted(set(differ) - CHANGEABLE)
    if fixed:
        told = ", ".join(f"{key}={old[key]}" for key in fixed)
        raise UsageError(
            "the run was begun with other settings", where=str(path), hint=f"it has {told}"
        )
    if differ:
        logger.info("resuming with other settings: %s", ", ".join(differ))


def _begin(config: TrainConfig, data: Dataset, found: checkpoints.Checkpoint | None) -> Training:
    """A fresh network from the seed, or where the checkpoint left off, generators and all."""
    device = data.train.labels.device
    random.seed(number(config.seed, Purpose.WEIGHTS))
    torch.manual_seed(number(config.seed, Purpose.WEIGHTS))
    channels, height, width = data.shape
    if found is not None:
        training = begin(config, placed(found.model, device, config.layout), data)
        restore(training, found.state(), str(found.path))
        return training
    model = networks.build(
        config.model, classes=data.classes, channels=channels, size=(height, width)
    )
    if config.weights:
        kept = weights.fit(model, weights.read(config.weights), data.classes, config.weights)
        if kept:
            logger.warning("other classes: %s begin anew", ", ".join(kept))
    return begin(config, placed(model, device, config.layout), data)


def _loop(
    training: Training,
    folder: Path,
    stop: Stop,
    on_step: Callable[[StepMetrics], None] | None,
    watch: loop.Watch,
) -> None:
    """The steps that are left, their records and checkpoints; then the signal, if one came."""

    def on_record(record: StepMetrics) -> None:
        metrics.append(folder / METRICS, record)
        events.add(record)
        if on_step is not None:
            on_step(record)

    def on_save(state: Training, held_out: float) -> None:
        _save(state, folder, held_out, None)

    def stopped() -> bool:
        return stop.signal is not None

    with metrics.events(folder / "tensorboard", training.config.tensorboard) as events:
        loop.fit(training, on_record=on_record, on_save=on_save, stopped=stopped, watch=watch)
    _heed(stop, training, folder)


def _heed(stop: Stop, training: Training, folder: Path) -> None:
    """Leave, if a signal came; everything is saved by now."""
    if stop.signal is not None:
        raise stop.error(
            f"step {training.step} of {training.steps}",
            f"bnfold train ... --out {os.fspath(folder)} --resume",
        )


def _finish(training: Training, folder: Path) -> Calibration:
    """Algorithm 2 with the final (or averaged) weights, and the checkpoint that export reads."""
    training.model.eval()
    parameters = dict(training.model.named_parameters())
    with torch.no_grad():
        for name, value in training.average.items():
            parameters[name].copy_(value)
    done = recalibrate(training.model, training.data, training.config)
    path = _save(training, folder, done.accuracy, done)
    return replace(done, checkpoint=path)


def _save(training: Training, folder: Path, held_out: float, done: Calibration | None) -> Path:
    """One checkpoint; `last` names it, `best` too if none before was better."""
    root = folder / CHECKPOINTS
    better = held_out >= training.best
    training.best = max(training.best, held_out)
    facts = {
        "model": {"name": training.config.model},
        "data": training.data.describe(),
        "config": training.config.to_dict(),
        "accuracy": held_out,
        "calibration": None if done is None else done.to_dict(),
    }
    path = checkpoints.save(root, training.step, training.model, state_of(training), facts)
    checkpoints.point(root, "last", training.step)
    if better:
        checkpoints.point(root, "best", training.step)
    checkpoints.prune(root, training.config.keep)
    return path
