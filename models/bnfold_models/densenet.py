"""Densely connected nets (Huang et al. 2016); densenet121's keys as torchvision's."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from bnfold_models.blocks import GlobalMean, he_normal

BOTTLENECK = 4  # maps of the 1x1 convolution, in growth rates


class DenseLayer(nn.Module):
    """BN-ReLU-1x1, BN-ReLU-3x3; its maps join what came in."""

    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, BOTTLENECK * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(BOTTLENECK * growth)
        self.conv2 = nn.Conv2d(BOTTLENECK * growth, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, inputs + growth, H, W)."""
        new = self.conv2(relu(self.norm2(self.conv1(relu(self.norm1(x))))))
        return torch.cat([x, new], 1)


class Transition(nn.Sequential):
    """BN-ReLU-1x1 to half of the maps, and half of the size."""

    def __init__(self, inputs: int) -> None:
        super().__init__(
            OrderedDict(
                norm=nn.BatchNorm2d(inputs),
                relu=nn.ReLU(),
                conv=nn.Conv2d(inputs, inputs // 2, 1, bias=False),
                pool=nn.AvgPool2d(2),
            )
        )


class DenseNet(nn.Module):
    """A stem, dense blocks with transitions between them, a last BN-ReLU, a linear layer."""

    def __init__(
        self,
        stem: OrderedDict[str, nn.Module],
        width: int,
        counts: tuple[int, ...],
        growth: int,
        classes: int,
    ) -> None:
        super().__init__()
        features = OrderedDict(stem)
        for index, count in enumerate(counts, start=1):
            layers = OrderedDict[str, nn.Module]()
            for layer in range(count):
                layers[f"denselayer{layer + 1}"] = DenseLayer(width, growth)
                width += growth
            features[f"denseblock{index}"] = nn.Sequential(layers)
            if index < len(counts):
                features[f"transition{index}"] = Transition(width)
                width //= 2
        features[f"norm{len(counts) + 1}"] = nn.BatchNorm2d(width)
        self.features = nn.Sequential(features)
        self.pool = GlobalMean()
        self.classifier = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, classes)."""
        logits: Tensor = self.classifier(self.pool(relu(self.features(x))))
        return logits


def densenet_small(classes: int, channels: int, size: tuple[int, int]) -> nn.Module:
    """Three blocks of four layers, growth 12, for images from 8x8 on."""
    del size
    stem: OrderedDict[str, nn.Module] = OrderedDict(
        conv0=nn.Conv2d(channels, 24, 3, padding=1, bias=False)
    )
    return he_normal(DenseNet(stem, 24, (4, 4, 4), 12, classes))


def densenet121(classes: int, channels: int, size: tuple[int, int]) -> nn.Module:
    """7.98 million parameters at 1000 classes; for images from 32x32 on."""
    del size
    stem: OrderedDict[str, nn.Module] = OrderedDict(
        conv0=nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False),
        norm0=nn.BatchNorm2d(64),
        relu0=nn.ReLU(),
        pool0=nn.MaxPool2d(3, stride=2, padding=1),
    )
    return he_normal(DenseNet(stem, 64, (6, 12, 24, 16), 32, classes))
