"""Several checkpoints as one network: the arithmetic mean of class probabilities (paper, 4.2.3)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bnfold.errors import DataError, UsageError
from bnfold.training import checkpoint as checkpoints
from bnfold.training.checkpoint import Checkpoint

# what the members' data must have in common: classes, sizes, and how pixels become inputs
SHARED = ("classes", "shape", "top", "mean", "std", "binarize")


class MeanProbability(nn.Module):
    """The mean of the members' softmax: (N, ...) -> (N, classes)."""

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, x: Tensor) -> Tensor:
        """Probabilities; every member sees the same inputs."""
        return torch.stack([member(x).softmax(1) for member in self.members]).mean(0)


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Checkpoints of the same classes and inputs, and their networks as one."""

    members: tuple[Checkpoint, ...]
    model: MeanProbability

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one input."""
        return self.members[0].shape


def ensemble(targets: Sequence[str | os.PathLike[str]]) -> Ensemble:
    """The ensemble of these runs or checkpoints, on the CPU in eval mode.

    Raises:
        UsageError: none is given, or a folder is not there.
        DataError: a checkpoint is damaged, or two disagree on classes, sizes or scaling of pixels.
    """
    if not targets:
        raise UsageError("an ensemble of no networks")
    members = tuple(checkpoints.load(target) for target in targets)
    first = members[0]
    for other in members[1:]:
        for key in SHARED:
            here, there = first.manifest["data"][key], other.manifest["data"][key]
            if here != there:
                raise DataError(
                    f"the networks disagree on {key}: {here} in {first.path}, {there} here",
                    where=str(other.path), hint="an ensemble is of networks for the same data",
                )  # fmt: skip
    model = MeanProbability([member.model for member in members])
    return Ensemble(members, model.eval())
