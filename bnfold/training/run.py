"""A whole run: folder, loop, signals, checkpoints, and Algorithm 2 at the end."""

from __future__ import annotations

import logging
import os
import random
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bnfold.training import checkpoint as checkpoints
from bnfold.training import identity, loop, metrics, networks, weights
from bnfold.training.calibration import Calibration, recalibrate
from bnfold.training.config import TrainConfig, validated
from bnfold.training.data import load as load_data
from bnfold.training.dataset import Dataset
from bnfold.training.device import memory_told, numerics, placed, select, threads
from bnfold.training.joining import joined
from bnfold.training.lock import locked
from bnfold.training.metrics import StepMetrics
from bnfold.training.parallel import make_parallel, refuse_small
from bnfold.training.ranks import Ranks
from bnfold.training.run_folder import CHECKPOINTS, METRICS, Existing, prepare, refuse_existing
from bnfold.training.seeds import Purpose, number
from bnfold.training.signals import Stop, deferred
from bnfold.training.state import Training, begin, own_stream, restore, state_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run: its folder, its last checkpoint, its network on the CPU in eval mode.

    Rank 0 has written it; the others, if there are any, know the same.
    """

    folder: Path
    checkpoint: Path
    config: TrainConfig
    model: nn.Module
    data: Dataset
    steps: int
    accuracy: float
    calibration: Calibration
    seconds: float
    rank: int = 0

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
    guards = (
        threads(config.threads), memory_told(lambda: "outside a step", config.batch),
        numerics(config.precision, deterministic=config.deterministic),
    )  # fmt: skip
    with joined(device, config.timeout) as ranks, ExitStack() as held:
        data = ranks.together(lambda: _ready(config, data, existing, ranks))
        ranks.agree(identity.facts(config, data) if ranks.world > 1 else {})
        ranks.together(lambda: _hold(held, config.folder(), ranks))
        stop = held.enter_context(deferred())
        for guard in guards:
            held.enter_context(guard)
        training = _prepared(config, data.to(device), existing, ranks)
        _loop(training, config.folder(), stop, on_step, watch)
        done = _finish(training, config.folder())
        _heed(stop, training, config.folder())
    model = placed(training.model, torch.device("cpu")).eval()
    seconds = time.perf_counter() - start
    assert done.checkpoint is not None
    return Run(
        config.folder(), done.checkpoint, config, model, data, training.step, done.accuracy, done,
        seconds, ranks.rank,
    )  # fmt: skip


def _ready(config: TrainConfig, data: Dataset | None, existing: Existing, ranks: Ranks) -> Dataset:
    """The data, if all that can be refused before a folder is made is right."""
    networks.check(config.model)
    if ranks.first:
        refuse_existing(config.folder(), existing)
    data = _data(config) if data is None else data
    refuse_small(config, len(data.train), ranks)
    return data


def _hold(held: ExitStack, folder: Path, ranks: Ranks) -> None:
    """Rank 0 writes, so rank 0 locks."""
    if ranks.first:
        held.enter_context(locked(folder))


def _prepared(config: TrainConfig, data: Dataset, existing: Existing, ranks: Ranks) -> Training:
    """The network, where rank 0's folder says that it stands, on every rank."""

    def found() -> tuple[checkpoints.Checkpoint, dict[str, Any]] | None:
        last = prepare(config.folder(), config, existing, data) if ranks.first else None
        return None if last is None else (last, last.state())

    left_off = ranks.from_first(ranks.together(found))
    training = ranks.together(lambda: _begin(config, data, left_off, ranks))
    ranks.agree(identity.network(training.model) if ranks.world > 1 else {})
    make_parallel(training)
    return training


def _data(config: TrainConfig) -> Dataset:
    return load_data(config.data, binarize=config.binarize, size=config.size)


def _begin(
    config: TrainConfig,
    data: Dataset,
    left_off: tuple[checkpoints.Checkpoint, dict[str, Any]] | None,
    ranks: Ranks,
) -> Training:
    """A fresh network from the seed, or where the checkpoint left off, generators and all."""
    device = data.train.labels.device
    random.seed(number(config.seed, Purpose.WEIGHTS))
    torch.manual_seed(number(config.seed, Purpose.WEIGHTS))
    channels, height, width = data.shape
    if left_off is not None:
        found, state = left_off
        training = begin(config, placed(found.model, device, config.layout), data, ranks)
        restore(training, state, str(found.path))
        return training
    wanted: Any = {"classes": data.classes, "channels": channels, "size": (height, width)}
    model = networks.build(config.model, **wanted)
    networks.refuse_misfit(model, config.model, **wanted)
    if config.weights:
        kept = weights.fit(model, weights.read(config.weights), data.classes, config.weights)
        if kept:
            logger.warning("other classes: %s begin anew", ", ".join(kept))
    training = begin(config, placed(model, device, config.layout), data, ranks)
    own_stream(training)
    return training


def _loop(
    training: Training,
    folder: Path,
    stop: Stop,
    on_step: Callable[[StepMetrics], None] | None,
    watch: loop.Watch,
) -> None:
    """The steps that are left, their records and checkpoints; then the signal, if one came."""
    ranks = training.ranks

    def on_record(record: StepMetrics) -> None:
        if not ranks.first:
            return
        metrics.append(folder / METRICS, record)
        events.add(record)
        if on_step is not None:
            on_step(record)

    def on_save(state: Training, held_out: float) -> None:
        _save(state, folder, held_out, None)

    def stopped() -> bool:
        stop.signal = ranks.highest(stop.signal or 0) or None  # all leave after the same step
        return stop.signal is not None

    wanted = training.config.tensorboard and ranks.first
    with metrics.events(folder / "tensorboard", wanted) as events:
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
    training.ranks.same_buffers(training.model)
    parameters = dict(training.model.named_parameters())
    with torch.no_grad():
        for name, value in training.average.items():
            parameters[name].copy_(value)
    done = recalibrate(training.model, training.data, training.config, training.ranks)
    path = _save(training, folder, done.accuracy, done)
    return replace(done, checkpoint=path)


def _save(training: Training, folder: Path, held_out: float, done: Calibration | None) -> Path:
    """One checkpoint, which rank 0 writes; the others wait, and fail with it."""
    better = held_out >= training.best
    training.best = max(training.best, held_out)
    facts = {
        "model": {"name": training.config.model},
        "data": training.data.describe(),
        "config": training.config.to_dict(),
        "accuracy": held_out,
        "calibration": None if done is None else done.to_dict(),
    }
    ranks, state = training.ranks, state_of(training)

    def write() -> Path | None:
        return (
            _write(training, folder / CHECKPOINTS, state, facts, best=better)
            if ranks.first
            else None
        )

    path = ranks.from_first(ranks.together(write))
    assert path is not None
    return path


def _write(
    training: Training, root: Path, state: dict[str, Any], facts: dict[str, Any], *, best: bool
) -> Path:
    """`last` names it, `best` too if none before was better."""
    path = checkpoints.save(root, training.step, training.model, state, facts)
    checkpoints.point(root, "last", training.step)
    if best:
        checkpoints.point(root, "best", training.step)
    checkpoints.prune(root, training.config.keep)
    return path
