"""A network by its name: bnfold_models, torchvision:, timm:, or the user's own callable."""

from __future__ import annotations

import logging

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from bnfold.errors import DataError, UsageError
from bnfold.training import callables, vision
from bnfold_models import create, names

logger = logging.getLogger(__name__)


def check(name: str) -> None:
    """Refuse a name that `build` could not resolve, before anything is made for the run.

    Raises:
        UsageError: no such name, module or callable.
        EnvironmentLacks: torchvision or timm is asked for and does not import.
    """
    library, colon, _ = name.partition(":")
    if library in vision.LIBRARIES and colon:
        vision.check(name)
    elif colon:
        callables.find(name)
    elif name not in names():
        create(name)


def build(name: str, *, classes: int, channels: int, size: tuple[int, int]) -> nn.Module:
    """A fresh network for (N, channels, *size) images; a callable gets the keywords it takes.

    Raises:
        UsageError: no such name, module or callable, or it returns no torch module.
        EnvironmentLacks: torchvision or timm is asked for and does not import.
    """
    library, colon, _ = name.partition(":")
    if not colon:
        return create(name, classes=classes, channels=channels, size=size)
    if library in vision.LIBRARIES:
        return vision.build(name, classes=classes, channels=channels)
    made = callables.called(name, classes=classes, channels=channels, size=size)
    if not isinstance(made, nn.Module):
        raise UsageError(f"{name} returned {type(made).__name__}, not a torch.nn.Module")
    if any(is_lazy(p) for p in [*made.parameters(), *made.buffers()]):  # the first input shapes it
        refuse_misfit(made, name, classes=classes, channels=channels, size=size)
    return made


def refuse_misfit(
    model: nn.Module, name: str, *, classes: int, channels: int, size: tuple[int, int]
) -> None:
    """Send two images through, before a run is begun: one score a class has to come out.

    Raises:
        UsageError: it gives no tensor.
        DataError: it does not take such images, or has scores for other classes.
    """
    shape = "x".join(map(str, (channels, *size)))
    model.eval()
    try:
        with torch.no_grad():
            scores = model(torch.zeros(2, channels, *size))
    except Exception as cause:  # whatever the network's code makes of it
        raise DataError(
            f"{name} does not take images of {shape}: {callables.told(cause)}",
            hint=callables.TRACEBACK,
        ) from cause
    model.train()
    if not isinstance(scores, torch.Tensor):
        raise UsageError(f"{name} gives {type(scores).__name__}, not a tensor of scores")
    if scores.ndim != 2 or len(scores) != 2 or scores.shape[1] < classes:
        raise DataError(
            f"{name} gives {tuple(scores.shape)} for 2 images, not (2, {classes})",
            hint="a callable gets the number of `classes`, if it takes that keyword",
        )
    if scores.shape[1] > classes:
        logger.warning("%s has %d scores for %d classes", name, scores.shape[1], classes)
