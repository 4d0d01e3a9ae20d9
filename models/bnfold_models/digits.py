"""A small net that has one of each thing folding must handle."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from bnfold_models.blocks import GlobalMean, conv_norm, he_normal, separable
from bnfold_models.resnet import BasicBlock


class DigitsNet(nn.Module):
    """Conv-BN-ReLU, depthwise separable, a residual block, Linear-BN-ReLU, Linear."""

    def __init__(self, classes: int, channels: int, width: int = 24) -> None:
        super().__init__()
        self.stem = conv_norm(channels, width, 3)
        self.separable = separable(width, 2 * width)
        self.residual = BasicBlock(2 * width, 2 * width, stride=2)
        self.pool = GlobalMean()
        self.head = nn.Sequential(
            OrderedDict(
                hidden=nn.Linear(2 * width, 2 * width, bias=False),
                norm=nn.BatchNorm1d(2 * width),
                relu=nn.ReLU(),
                logits=nn.Linear(2 * width, classes),
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, classes)."""
        x = self.residual(self.separable(self.stem(x)))
        logits: Tensor = self.head(self.pool(x))
        return logits


def digits(classes: int, channels: int, size: tuple[int, int]) -> nn.Module:
    """For images from 8x8 on; the size is free."""
    del size
    return he_normal(DigitsNet(classes, channels))
