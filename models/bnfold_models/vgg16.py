"""VGG-16 with BatchNorm (Simonyan and Zisserman 2014); keys as torchvision's vgg16_bn."""

from __future__ import annotations

from torch import Tensor, nn

from bnfold_models.blocks import he_normal

STAGES = ((64, 64), (128, 128), (256,) * 3, (512,) * 3, (512,) * 3)
GRID = 7  # positions a side that the first linear layer reads
WIDTH = 4096


class VGG16(nn.Module):
    """Thirteen 3x3 convolutions with bias and BN in five pooled stages, three linear layers."""

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for widths in STAGES:
            for width in widths:
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width)]
                layers.append(nn.ReLU())
                channels = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(GRID)
        self.classifier = nn.Sequential(
            nn.Linear(channels * GRID * GRID, WIDTH), nn.ReLU(), nn.Dropout(),
            nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Dropout(),
            nn.Linear(WIDTH, classes),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, classes); H and W from 32 on."""
        logits: Tensor = self.classifier(self.avgpool(self.features(x)).flatten(1))
        return logits


def vgg16_bn(classes: int, channels: int, size: tuple[int, int]) -> nn.Module:
    """138 million parameters at 1000 classes; for 224x224, or multiples of 32."""
    del size
    return he_normal(VGG16(classes, channels))
