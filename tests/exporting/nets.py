"""Small modules, one for each way in which an export can go wrong."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


def conv_norm(conv: nn.Module, norm: nn.Module) -> nn.Sequential:
    return nn.Sequential(conv, norm)


class Several(nn.Module):
    """Two inputs, nested outputs, a BatchNorm without affine parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.plain = nn.BatchNorm2d(4, affine=False)
        self.linear = nn.Linear(4, 5)
        self.norm = nn.BatchNorm1d(5)

    def forward(self, image, vector):
        return {
            "a": self.plain(self.conv(image)),
            "b": (self.norm(self.linear(vector)), vector + 1),
        }


class Sequence(nn.Module):
    """A linear layer over rank 3: MatMul with a transposed weight."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 6, bias=False)
        self.norm = nn.BatchNorm1d(7)

    def forward(self, x):
        return self.norm(self.linear(x))


class Head(nn.Module):
    """Pool, dropout, flatten, as most classifiers end."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding="same", bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.tail = nn.Sequential(
            nn.AdaptiveAvgPool2d(2), nn.Dropout(), nn.Flatten(), nn.Linear(16, 3)
        )

    def forward(self, x):
        return self.tail(functional.hardswish(self.norm(self.conv(x))))


class AlwaysTraining(nn.Module):
    def forward(self, x):
        return functional.batch_norm(x, None, None, training=True)


class Branching(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


class Random(nn.Module):
    def forward(self, x):
        return x + torch.rand_like(x)


class FixedBatch(nn.Module):
    def forward(self, x):
        return x.view(2, 4) + 1


class NotFinite(nn.Module):
    def forward(self, x):
        return x / torch.zeros(1)
