"""A VGG-style net for small images; keys and biases as torchvision's vgg*_bn have them."""

from __future__ import annotations

from torch import Tensor, nn

from bnfold_models.blocks import GlobalMean, he_normal

STAGES = ((32, 32), (64, 64), (128, 128))


class SmallVGG(nn.Module):
    """Two 3x3 Conv-BN-ReLU a stage, each stage but the last closed by a 2x2 max pool.

    The convolutions keep their bias in front of the BN, as published VGG weights do: folding must
    take it in, although training leaves it without a gradient (paper, 3.2).
    """

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for widths in STAGES:
            if layers:
                layers.append(nn.MaxPool2d(2))
            for width in widths:
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width)]
                layers.append(nn.ReLU())
                channels = width
        self.features = nn.Sequential(*layers)
        self.avgpool = GlobalMean()
        self.classifier = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, classes); H and W from 4 on."""
        logits: Tensor = self.classifier(self.avgpool(self.features(x)))
        return logits


def vgg_small(classes: int, channels: int, size: tuple[int, int]) -> nn.Module:
    """Six convolutions, 0.29 million parameters; the size is free from 4x4 on."""
    del size
    return he_normal(SmallVGG(classes, channels))
