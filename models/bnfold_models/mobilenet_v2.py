"""MobileNet v2 (Sandler et al. 2018); keys as torchvision's mobilenet_v2."""

from __future__ import annotations

from torch import Tensor, nn

from bnfold_models.blocks import GlobalMean, he_normal

# (expansion, output maps, blocks, stride of the first)
STAGES = (
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
    (6, 320, 1, 1),
)  # fmt: skip
LAST = 1280


def _conv_norm(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1
) -> nn.Module:
    conv = nn.Conv2d(
        inputs, outputs, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False
    )
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU6())


class InvertedResidual(nn.Module):
    """1x1 to more maps, depthwise 3x3, linear 1x1 to few; the input is added where sizes allow."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = inputs * expansion
        layers = [_conv_norm(inputs, width, 1)] if expansion != 1 else []
        layers += [
            _conv_norm(width, width, 3, stride, width),
            nn.Conv2d(width, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        ]
        self.conv = nn.Sequential(*layers)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H/stride, W/stride)."""
        out: Tensor = self.conv(x)
        return x + out if self.adds else out


class MobileNetV2(nn.Module):
    """A 3x3 stem, seven stages of inverted residuals, a 1x1 head, dropout, a linear layer."""

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        inputs = 32
        layers = [_conv_norm(channels, inputs, 3, 2)]
        for expansion, outputs, count, first in STAGES:
            for index in range(count):
                stride = first if index == 0 else 1
                layers.append(InvertedResidual(inputs, outputs, stride, expansion))
                inputs = outputs
        layers.append(_conv_norm(inputs, LAST, 1))
        self.features = nn.Sequential(*layers)
        self.pool = GlobalMean()
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(LAST, classes))

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, classes)."""
        logits: Tensor = self.classifier(self.pool(self.features(x)))
        return logits


def mobilenet_v2(classes: int, channels: int, size: tuple[int, int]) -> nn.Module:
    """3.50 million parameters at 1000 classes; the size is free from 32x32 on."""
    del size
    return he_normal(MobileNetV2(classes, channels))
