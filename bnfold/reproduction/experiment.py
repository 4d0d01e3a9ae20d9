"""The folder of an experiment: whose it is, and pieces that several processes may share out."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch

from bnfold.errors import DataError, UsageError
from bnfold.reproduction.images import images_of
from bnfold.reproduction.piece import write_json
from bnfold.reproduction.study import Study
from bnfold.training import Dataset, Device, Interrupted
from bnfold.training.device import select
from bnfold.training.lock import Locked, locked

EXPERIMENT, RESULT = "reproduction.json", "result.json"
PAUSE_S = 1.0  # between looks at pieces that other processes hold


class Named(Protocol):
    """What has a name of its own within the experiment."""

    @property
    def name(self) -> str:
        """A file's name, without its ending."""


P = TypeVar("P", bound=Named)
R = TypeVar("R")


def refuse_other(folder: Path, settings: Mapping[str, Any], *, resume: bool) -> None:
    """Leave another experiment's folder alone; where the data lies may have changed.

    Raises:
        UsageError: the folder holds an experiment, or one of other settings.
        DataError: its settings cannot be read.
    """
    file = folder / EXPERIMENT
    if not file.exists():
        return
    if not resume:
        raise UsageError(
            "this folder holds an experiment",
            where=str(folder),
            hint="--resume it, or choose another --out",
        )
    try:
        found = json.loads(file.read_text("utf-8"))
        same = {**found, "data": ""} == {**settings, "data": ""}
    except (OSError, ValueError, TypeError) as cause:
        raise DataError("not an experiment's settings", where=str(file)) from cause
    if not same:
        raise UsageError(
            "the experiment was begun with other settings", where=str(file), hint="another --out"
        )


def begun(folder: Path, data: str, study: Study, device: Device, *, resume: bool) -> Dataset:
    """The images of an experiment, whose folder says from now on what it is.

    Raises:
        UsageError: the folder holds an experiment, or one of other settings.
        DataError: the data set is missing, damaged or too small, or the folder cannot be written.
        EnvironmentLacks: the device is not there.
    """
    settings = {"schema": "bnfold.reproduction/1", "data": data, "study": study.lasting()}
    refuse_other(folder, settings, resume=resume)
    select(device)
    images = images_of(data, study)
    write_json(folder / EXPERIMENT, settings)
    return images


def head(
    experiment: str, data: str, images: tuple[int, int], shape: tuple[int, int, int], study: Study
) -> dict[str, Any]:
    """How a result begins; `images` are those of training and of test."""
    return {
        "experiment": experiment, "data": data, "shape": list(shape),
        "train_images": images[0], "test_images": images[1],
        "study": study.to_dict(), "torch": torch.__version__,
    }  # fmt: skip


@contextmanager
def resumable(folder: Path, experiment: str) -> Iterator[None]:
    """A signal's error then says how to go on with the experiment, not with one of its runs."""
    try:
        yield
    except Interrupted as stop:
        hint = f"bnfold reproduce {experiment} ... --out {folder} --resume"
        raise type(stop)(stop.message, where=stop.where, hint=hint) from stop


def shared_out(folder: Path, pieces: Sequence[P], work: Callable[[P], R]) -> dict[P, R]:
    """What `work` makes of each piece, once: a piece that another process holds is waited for.

    So the same command, started several times with --resume, shares out an experiment.
    """
    waiting, done = list(pieces), dict[P, R]()
    while waiting:
        for piece in list(waiting):
            try:
                with locked(folder / "held" / piece.name):
                    done[piece] = work(piece)
            except Locked:
                continue
            waiting.remove(piece)
        if waiting:
            time.sleep(PAUSE_S)
    return {piece: done[piece] for piece in pieces}
