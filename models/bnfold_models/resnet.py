"""Residual nets for small images (He et al. 2015, section 4.2); keys as torchvision's ResNets."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import relu

from bnfold_models.blocks import GlobalMean, he_normal


def _conv3x3(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)


class BasicBlock(nn.Module):
    """relu(BN(conv(relu(BN(conv(x))))) + shortcut(x)); the shortcut projects where sizes differ."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = _conv3x3(inputs, outputs, stride)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = _conv3x3(outputs, outputs)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H/stride, W/stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        out = self.bn2(self.conv2(relu(self.bn1(self.conv1(x)))))
        return relu(out + shortcut)


def stage(block: type[nn.Module], inputs: int, outputs: int, count: int, stride: int) -> nn.Module:
    """`count` blocks in a row, the first with the stride."""
    rest = [block(outputs, outputs) for _ in range(count - 1)]
    return nn.Sequential(block(inputs, outputs, stride), *rest)


class SmallResNet(nn.Module):
    """Depth 6n + 2: a 3x3 stem, three stages of n blocks with 16, 32, 64 maps, a linear layer."""

    def __init__(self, classes: int, channels: int, blocks: int) -> None:
        super().__init__()
        self.conv1 = _conv3x3(channels, 16)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = stage(BasicBlock, 16, 16, blocks, 1)
        self.layer2 = stage(BasicBlock, 16, 32, blocks, 2)
        self.layer3 = stage(BasicBlock, 32, 64, blocks, 2)
        self.avgpool = GlobalMean()
        self.fc = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, classes)."""
        x = relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        logits: Tensor = self.fc(self.avgpool(x))
        return logits


def resnet8(classes: int, channels: int, size: tuple[int, int]) -> nn.Module:
    """One block a stage; the size is free."""
    del size
    return he_normal(SmallResNet(classes, channels, 1))


def resnet20(classes: int, channels: int, size: tuple[int, int]) -> nn.Module:
    """Three blocks a stage: the CIFAR-10 net of the ResNet paper (0.27 million parameters)."""
    del size
    return he_normal(SmallResNet(classes, channels, 3))
