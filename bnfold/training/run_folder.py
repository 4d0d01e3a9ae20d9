"""The run folder: whether it may be used, what is in it, and emptying it for a new run."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Literal

from bnfold.errors import DataError, UsageError
from bnfold.onnxfile import read_json, write_text
from bnfold.training import checkpoint as checkpoints
from bnfold.training import metrics
from bnfold.training.config import TrainConfig, from_dict
from bnfold.training.dataset import Dataset

logger = logging.getLogger(__name__)

Existing = Literal["refuse", "resume", "replace"]
CONFIG, METRICS, CHECKPOINTS = "config.json", "metrics.jsonl", "checkpoints"
# what may change when a run goes on; all else would make it another run (a data set may have moved)
CHANGEABLE = frozenset(
    {"out", "data", "device", "threads", "lr", "weight_decay", "precision", "estimator", "weights",
     "calibration_batches", "log_every", "save_every", "keep", "layout", "compile", "tensorboard",
     "deterministic", "timeout", "elastic"}
)  # fmt: skip


def refuse_existing(folder: Path, existing: Existing) -> None:
    """Before the lock makes the folder."""
    if folder.exists() and not folder.is_dir():
        raise UsageError("the run folder is a file", where=str(folder))
    begun = (folder / METRICS).exists() or (folder / CHECKPOINTS).exists()
    if existing == "refuse" and begun and (folder / CONFIG).exists():
        raise UsageError(
            "this folder holds a run",
            where=str(folder),
            hint="--resume it, or choose another --out",
        )


def prepare(
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
        return from_dict(read_json(path))
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
