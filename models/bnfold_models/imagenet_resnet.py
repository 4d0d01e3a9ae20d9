"""ResNets at ImageNet size (He et al. 2015), v1.5; keys and geometry as torchvision's."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import relu

from bnfold_models.blocks import GlobalMean, he_normal
from bnfold_models.resnet import BasicBlock


class Bottleneck(nn.Module):
    """1x1, 3x3 (which carries the stride), 1x1 with four times the maps, each with BN."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int = 1) -> None:
        super().__init__()
        outputs = width * self.expansion
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, 4 width, H/stride, W/stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        out = relu(self.bn2(self.conv2(relu(self.bn1(self.conv1(x))))))
        return relu(self.bn3(self.conv3(out)) + shortcut)


class PreActBottleneck(nn.Module):
    """The same with BN-ReLU in front of each convolution (He et al. 2016)."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int = 1) -> None:
        super().__init__()
        outputs = width * self.expansion
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.downsample: nn.Conv2d | None = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, 4 width, H/stride, W/stride)."""
        active = relu(self.bn1(x))
        shortcut = x if self.downsample is None else self.downsample(active)
        out = self.conv2(relu(self.bn2(self.conv1(active))))
        branch: Tensor = self.conv3(relu(self.bn3(out)))
        return branch + shortcut


class Stages(nn.Module):
    """Four stages of blocks, the later ones at half the size and twice the width."""

    def __init__(self, block: type[nn.Module], counts: tuple[int, ...]) -> None:
        super().__init__()
        expansion = getattr(block, "expansion", 1)
        inputs = 64
        for index, count in enumerate(counts):
            width, stride = 64 << index, 1 if index == 0 else 2
            blocks = [block(inputs, width, stride)]
            inputs = width * expansion
            blocks += [block(inputs, width) for _ in range(count - 1)]
            self.add_module(f"layer{index + 1}", nn.Sequential(*blocks))
        self.outputs = inputs

    def staged(self, x: Tensor) -> Tensor:
        """(N, 64, H, W) -> (N, outputs, H/8, W/8)."""
        for index in range(4):
            x = self.get_submodule(f"layer{index + 1}")(x)
        return x


class ResNet(Stages):
    """7x7 stem, max pool, four stages, a linear layer."""

    def __init__(
        self, block: type[nn.Module], counts: tuple[int, ...], classes: int, channels: int
    ) -> None:
        super().__init__(block, counts)
        self.conv1 = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.avgpool = GlobalMean()
        self.fc = nn.Linear(self.outputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, classes)."""
        x = self.staged(self.maxpool(relu(self.bn1(self.conv1(x)))))
        logits: Tensor = self.fc(self.avgpool(x))
        return logits


class PreActResNet(Stages):
    """A stem without BN, four pre-activation stages, a last BN-ReLU, a linear layer."""

    def __init__(self, counts: tuple[int, ...], classes: int, channels: int) -> None:
        super().__init__(PreActBottleneck, counts)
        self.conv1 = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.bn = nn.BatchNorm2d(self.outputs)
        self.avgpool = GlobalMean()
        self.fc = nn.Linear(self.outputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, classes)."""
        x = relu(self.bn(self.staged(self.maxpool(self.conv1(x)))))
        logits: Tensor = self.fc(self.avgpool(x))
        return logits


def resnet18(classes: int, channels: int, size: tuple[int, int]) -> nn.Module:
    """11.7 million parameters at 1000 classes; the size is free."""
    del size
    return he_normal(ResNet(BasicBlock, (2, 2, 2, 2), classes, channels))


def resnet34(classes: int, channels: int, size: tuple[int, int]) -> nn.Module:
    """21.8 million parameters at 1000 classes; the size is free."""
    del size
    return he_normal(ResNet(BasicBlock, (3, 4, 6, 3), classes, channels))


def resnet50(classes: int, channels: int, size: tuple[int, int]) -> nn.Module:
    """25.6 million parameters at 1000 classes; the size is free."""
    del size
    return he_normal(ResNet(Bottleneck, (3, 4, 6, 3), classes, channels))


def resnet101(classes: int, channels: int, size: tuple[int, int]) -> nn.Module:
    """44.5 million parameters at 1000 classes; the size is free."""
    del size
    return he_normal(ResNet(Bottleneck, (3, 4, 23, 3), classes, channels))


def preact_resnet50(classes: int, channels: int, size: tuple[int, int]) -> nn.Module:
    """25.5 million parameters at 1000 classes; the size is free."""
    del size
    return he_normal(PreActResNet((3, 4, 6, 3), classes, channels))
