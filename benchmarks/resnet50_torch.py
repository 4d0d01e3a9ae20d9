"""ResNet-50 as torch trains it (stride in the 3x3), without torchvision."""

from __future__ import annotations

from torch import Tensor, nn

BLOCKS = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))


def conv_norm(c_in: int, c_out: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Conv without bias, then BatchNorm."""
    conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(c_out))


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1, and the shortcut, projected where the shape changes."""

    def __init__(self, c_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *conv_norm(c_in, width, 1),
            nn.ReLU(inplace=True),
            *conv_norm(width, width, 3, stride),
            nn.ReLU(inplace=True),
            *conv_norm(width, 4 * width, 1),
        )
        same = stride == 1 and c_in == 4 * width
        self.short = nn.Identity() if same else conv_norm(c_in, 4 * width, 1, stride)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Body plus shortcut."""
        y: Tensor = self.relu(self.body(x) + self.short(x))
        return y


def resnet50(classes: int) -> nn.Module:
    """Input (N, 3, 224, 224)."""
    layers: list[nn.Module] = [
        conv_norm(3, 64, 7, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)
    ]  # fmt: skip
    channels = 64
    for width, depth, stride in BLOCKS:
        for index in range(depth):
            layers.append(Bottleneck(channels, width, stride if index == 0 else 1))
            channels = 4 * width
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)]
    return nn.Sequential(*layers, *head)
