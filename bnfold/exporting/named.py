"""A network by its name: package.module:callable, or one of ours, with weights from a file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from bnfold.errors import ModelError, UsageError
from bnfold.training import networks, weights

DTYPES = {"float32": torch.float32, "float16": torch.float16, "float64": torch.float64}


def is_name(given: object) -> bool:
    """Does it name a network, rather than a folder that is there?"""
    if not isinstance(given, str) or Path(given).exists():
        return False
    return ":" in given or os.sep not in given


def built(
    name: str, shape: Sequence[int], file: str | os.PathLike[str] | None, classes: int
) -> nn.Module:
    """The network for inputs of this shape (C, H, W), with the weights in the file.

    Raises:
        UsageError: no such network or file, or a shape that is not (C, H, W).
        DataError: the weights are damaged or do not fit.
        EnvironmentLacks: torchvision or timm is asked for and does not import.
    """
    networks.check(name)
    if len(shape) != 3:
        raise UsageError(f"shape {tuple(shape)} is not (C, H, W)", where=name)
    channels, height, width = shape
    model = networks.build(name, classes=classes, channels=channels, size=(height, width))
    if file is not None:
        kept = weights.fit(model, weights.read(file), classes, str(file))
        if kept:
            rows = weights.read(file)[kept[0]].shape[0]
            raise UsageError(
                f"the weights are for {rows} classes, not {classes}", where=str(file),
                hint=f"--classes {rows}",
            )  # fmt: skip
    return model


class Normalized(nn.Module):
    """(x - mean) / std in front of a network; one number a channel, or one for all."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) as the camera gives it, scaled to 0..1."""
        logits: Tensor = self.network((x - self.mean) / self.std)
        return logits


def normalized(
    model: nn.Module, given: tuple[Sequence[float], Sequence[float]], channels: int
) -> nn.Module:
    """The network behind its normalisation.

    Raises:
        UsageError: the counts do not fit the channels, or a deviation is not positive.
    """
    mean, std = given
    if not {len(mean), len(std)} <= {1, channels}:
        raise UsageError(f"{len(mean)} means and {len(std)} deviations for {channels} channels")
    if not all(s > 0 for s in std):
        raise UsageError("a deviation must be positive")
    return Normalized(model, mean, std).eval()


def cast(model: nn.Module, name: str) -> tuple[nn.Module, torch.dtype]:
    """The network in this type.

    Raises:
        UsageError: an unknown type.
        ModelError: a parameter overflows in it.
    """
    if name not in DTYPES:
        raise UsageError(f"unknown dtype '{name}'", hint=f"one of {', '.join(DTYPES)}")
    dtype = DTYPES[name]
    largest = torch.finfo(dtype).max
    for parameter, value in model.state_dict().items():
        if value.is_floating_point() and bool((value.abs() > largest).any()):
            raise ModelError(f"'{parameter}' exceeds {name}'s {largest:g}")
    return model.to(dtype), dtype
