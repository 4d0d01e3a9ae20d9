"""RepVGG (Ding et al. 2021): three linear branches a block; keys as the authors' weights."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn
from torch.nn.functional import relu

from bnfold_models.blocks import GlobalMean, he_normal

BLOCKS = (2, 4, 14, 1)  # of A0, behind its stem
WIDTHS = (48, 48, 96, 192, 1280)


def _branch(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Module:
    conv = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)
    return nn.Sequential(OrderedDict(conv=conv, bn=nn.BatchNorm2d(outputs)))


class RepVGGBlock(nn.Module):
    """relu(BN(3x3) + BN(1x1) + BN(identity)); the last one where sizes allow."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        same = inputs == outputs and stride == 1
        self.rbr_identity: nn.BatchNorm2d | None = nn.BatchNorm2d(inputs) if same else None
        self.rbr_dense = _branch(inputs, outputs, 3, stride)
        self.rbr_1x1 = _branch(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H/stride, W/stride)."""
        out: Tensor = self.rbr_dense(x) + self.rbr_1x1(x)
        return relu(out if self.rbr_identity is None else out + self.rbr_identity(x))


class RepVGG(nn.Module):
    """A block as stem, four stages whose first blocks carry the strides, a linear layer."""

    def __init__(
        self,
        classes: int,
        channels: int,
        widths: tuple[int, ...],
        counts: tuple[int, ...],
        strides: tuple[int, ...],
    ) -> None:
        super().__init__()
        self.stage0 = RepVGGBlock(channels, widths[0], strides[0])
        for index, count in enumerate(counts, start=1):
            first = RepVGGBlock(widths[index - 1], widths[index], strides[index])
            rest = [RepVGGBlock(widths[index], widths[index]) for _ in range(count - 1)]
            self.add_module(f"stage{index}", nn.Sequential(first, *rest))
        self.stages = len(counts)
        self.gap = GlobalMean()
        self.linear = nn.Linear(widths[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, classes)."""
        for index in range(self.stages + 1):
            x = self.get_submodule(f"stage{index}")(x)
        logits: Tensor = self.linear(self.gap(x))
        return logits


def repvgg_small(classes: int, channels: int, size: tuple[int, int]) -> nn.Module:
    """Seven blocks, for small images; the size is free."""
    del size
    return he_normal(RepVGG(classes, channels, (32, 32, 64, 128), (2, 2, 2), (1, 1, 2, 2)))


def repvgg_a0(classes: int, channels: int, size: tuple[int, int]) -> nn.Module:
    """9.11 million parameters at 1000 classes before its branches are merged; the size is free."""
    del size
    return he_normal(RepVGG(classes, channels, WIDTHS, BLOCKS, (2,) * 5))
