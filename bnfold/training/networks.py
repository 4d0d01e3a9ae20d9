"""A network by its name: bnfold_models, torchvision:, timm:, or the user's own callable."""

from __future__ import annotations

from torch import nn

from bnfold.errors import UsageError
from bnfold.training import callables, vision
from bnfold_models import create, names


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
    function = callables.find(name)
    offered = {"classes": classes, "channels": channels, "size": size}
    made = function(**callables.accepted(function, offered))
    if not isinstance(made, nn.Module):
        raise UsageError(f"{name} returned {type(made).__name__}, not a torch.nn.Module")
    return made
