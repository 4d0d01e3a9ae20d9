"""Accuracy of a run, a checkpoint or a module in torch."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from bnfold.errors import UsageError
from bnfold.training import checkpoint as checkpoints
from bnfold.training.calibration import fitting_data
from bnfold.training.dataset import Dataset
from bnfold.training.device import select
from bnfold.training.loop import accuracy


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The share of `count` held-out images that are classified rightly."""

    accuracy: float
    count: int
    data: str

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return asdict(self)


def evaluate_torch(
    target: str | os.PathLike[str] | nn.Module,
    data: str | Dataset | None = None,
    *,
    device: str = "auto",
) -> Evaluation:
    """Held-out accuracy in eval mode; a module wants a `Dataset`, a path its own data by default.

    Raises:
        UsageError: no such folder or data, or a module without a `Dataset`.
        DataError: the checkpoint or the data is damaged or does not fit.
        EnvironmentLacks: the device is not there.
    """
    place = select(device)
    if isinstance(target, nn.Module):
        if not isinstance(data, Dataset):
            raise UsageError("a module is evaluated on a Dataset: bnfold.training.load_data(NAME)")
        model, dataset = target, data
    else:
        found = checkpoints.load(target)
        name = data if isinstance(data, str) else str(found.manifest["config"]["data"])
        model = found.model
        dataset = data if isinstance(data, Dataset) else fitting_data(found, name)
    dataset = dataset.to(place)
    share = accuracy(model.to(place), dataset, dataset.test)
    return Evaluation(share, len(dataset.test), dataset.name)
