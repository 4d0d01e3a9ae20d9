"""The nets of the ensemble: BN-x30 with some of the changes of 4.2.3, trained and judged.

What they say of the held-out images is kept, so that the mean over nets asks none of them again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bnfold.errors import DataError
from bnfold.onnxfile import replacing
from bnfold.reproduction.outcome import outcome_of
from bnfold.reproduction.piece import write_json
from bnfold.reproduction.study import Study
from bnfold.reproduction.variants import ARMS, Variant, sized
from bnfold.training import Crops, Dataset, Device, TrainConfig, load_checkpoint, preset
from bnfold.training.device import select
from bnfold.training.loop import Watch, batch_for, evaluating
from bnfold.training.voting import votes

# larger initial kernels (twice; the paper has no number), dropout of 5 or 10 %, BatchNorm of each
# activation by itself in the last module: the paper's nets have "some of" these
CHANGES = (
    "gain=2", "per_activation=1", "dropout=0.05", "dropout=0.1", "gain=2,dropout=0.05",
    "dropout=0.1,per_activation=1",
)  # fmt: skip
Votes = NDArray[np.float32]  # (images, classes), probabilities


@dataclass(frozen=True, slots=True)
class Net:
    """What one training is, beside the study and the data."""

    changes: str
    lr: float
    seed: int

    @property
    def name(self) -> str:
        """Its folder, and its files of results."""
        return f"net-{self.changes}-lr{self.lr:g}-seed{self.seed}"

    def config(
        self, study: Study, data: str, images: int, out: Path, device: Device
    ) -> TrainConfig:
        """The training that it stands for; `images` is the size of the training split."""
        found = preset(ARMS[Variant.BN_X30].preset)
        own = sized(replace(found, model=f"{found.model},{self.changes}"), study, images)
        return replace(
            own, lr=self.lr, seed=self.seed, data=data, out=str(out), device=device
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Trained:
    """A net, its accuracy with Algorithm 2 on one crop, or what stopped it."""

    net: Net
    final: float
    stopped: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return asdict(self)


def nets(study: Study) -> tuple[Net, ...]:
    """One a seed, with the changes in turn, at 30 times the rate x1."""
    lr = float(f"{ARMS[Variant.BN_X30].times * study.base:.6g}")  # 30 * 0.003 is 0.09
    return tuple(Net(CHANGES[i % len(CHANGES)], lr, seed) for i, seed in enumerate(study.seeds))


def trained(
    net: Net, study: Study, data: Dataset, name: str, folder: Path, device: Device
) -> Trained:
    """Train it, or go on where it stopped; a finished one is read from its file.

    Raises:
        DataError: the folder cannot be written, or holds something else.
        Interrupted: SIGINT or SIGTERM; it is saved.
    """
    file = folder / "pieces" / f"{net.name}.json"
    if file.is_file():
        return _read(file, net)
    config = net.config(study, name, len(data.train), folder / "runs" / net.name, device)
    found = outcome_of(config, data, Watch(lambda step: step % study.every == 0, lambda _: {}))
    done = Trained(net, found.final, found.diverged)
    write_json(file, done.to_dict())
    return done


def votes_of(net: Net, crops: Crops, data: Dataset, folder: Path, device: Device) -> Votes:
    """Its class probabilities of the held-out images, from its file if they were asked for before.

    Raises:
        DataError: the file cannot be written, or is damaged.
    """
    file = folder / "votes" / f"{net.name}-{crops}.npy"
    if not file.is_file():
        place = select(device)
        found = np.concatenate(list(_asked(folder / "runs" / net.name, crops, data.to(place))))
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as out:
            np.save(out, found)
    try:
        read: Votes = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as cause:
        raise DataError(f"not a net's votes: {cause}", where=str(file)) from cause
    if read.shape != (len(data.test), data.classes):
        raise DataError(f"votes of shape {read.shape}", where=str(file), hint="another --out")
    return read


def _asked(run: Path, crops: Crops, data: Dataset) -> Iterator[Votes]:
    model = load_checkpoint(run).model.to(data.test.labels.device)
    batch = batch_for(data.test)
    with evaluating(model):
        for mean, _ in votes(model, data, data.test, crops=crops, batch=batch):
            yield mean.to(torch.float32).cpu().numpy()


def _read(file: Path, net: Net) -> Trained:
    try:
        found = json.loads(file.read_text("utf-8"))
        done = Trained(Net(**found["net"]), float(found["final"]), found["stopped"])
    except (OSError, ValueError, KeyError, TypeError) as cause:
        raise DataError(f"not a piece of this experiment: {cause}", where=str(file)) from cause
    if done.net != net:
        raise DataError("a piece of another experiment", where=str(file), hint="another --out")
    return done
