"""Accuracy of a run, a checkpoint or a module in torch."""

from __future__ import annotations

import os

from torch import nn

from bnfold.errors import UsageError
from bnfold.training import checkpoint as checkpoints
from bnfold.training.calibration import fitting_data
from bnfold.training.crops import Crops
from bnfold.training.dataset import Dataset
from bnfold.training.device import select
from bnfold.training.loop import batch_for, evaluating
from bnfold.training.voting import Evaluation, judged, votes


def evaluate_torch(
    target: str | os.PathLike[str] | nn.Module,
    data: str | Dataset | None = None,
    *,
    device: str = "auto",
    crops: Crops = Crops.SINGLE,
) -> Evaluation:
    """Held-out accuracy in eval mode; a module wants a `Dataset`, a path its own data by default.

    Of several views of an image (`crops`) the class probabilities are averaged.

    Raises:
        UsageError: no such folder or data, a module without a `Dataset`, or crops of other images.
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
    images, batch = dataset.test, batch_for(dataset.test)
    with evaluating(model.to(place)):
        means = votes(model, dataset, images, crops=crops, batch=batch)
        return judged(means, dataset.name, crops)
