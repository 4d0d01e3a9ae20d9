"""Pre-activation residual nets (He et al. 2016): BN-ReLU-Conv, so no BN follows a convolution."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import relu

from bnfold_models.blocks import GlobalMean, he_normal
from bnfold_models.resnet import stage


class PreActBlock(nn.Module):
    """x + conv(relu(BN(conv(relu(BN(x)))))); a projection reads the activated x."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.downsample: nn.Conv2d | None = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H/stride, W/stride)."""
        active = relu(self.bn1(x))
        shortcut = x if self.downsample is None else self.downsample(active)
        branch: Tensor = self.conv2(relu(self.bn2(self.conv1(active))))
        return branch + shortcut


class PreActResNet(nn.Module):
    """Depth 6n + 2 with a last BN-ReLU in front of the pool."""

    def __init__(self, classes: int, channels: int, blocks: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 16, 3, padding=1, bias=False)
        self.layer1 = stage(PreActBlock, 16, 16, blocks, 1)
        self.layer2 = stage(PreActBlock, 16, 32, blocks, 2)
        self.layer3 = stage(PreActBlock, 32, 64, blocks, 2)
        self.bn = nn.BatchNorm2d(64)
        self.avgpool = GlobalMean()
        self.fc = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, classes)."""
        x = self.layer3(self.layer2(self.layer1(self.conv1(x))))
        logits: Tensor = self.fc(self.avgpool(relu(self.bn(x))))
        return logits


def preact8(classes: int, channels: int, size: tuple[int, int]) -> nn.Module:
    """One block a stage; the size is free."""
    del size
    return he_normal(PreActResNet(classes, channels, 1))
