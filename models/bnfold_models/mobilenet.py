"""A MobileNet-style net for small images: depthwise separable convolutions throughout."""

from __future__ import annotations

from torch import Tensor, nn

from bnfold_models.blocks import GlobalMean, conv_norm, he_normal, separable

# (output maps, stride) of each separable block
BLOCKS = ((32, 1), (64, 2), (64, 1), (128, 2), (128, 1))


class SmallMobileNet(nn.Module):
    """A 3x3 stem, five separable blocks, a linear layer (Howard et al. 2017)."""

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        self.stem = conv_norm(channels, 16, 3)
        blocks: list[nn.Module] = []
        inputs = 16
        for outputs, stride in BLOCKS:
            blocks.append(separable(inputs, outputs, stride=stride))
            inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.pool = GlobalMean()
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, classes)."""
        logits: Tensor = self.fc(self.pool(self.blocks(self.stem(x))))
        return logits


def mobilenet_small(classes: int, channels: int, size: tuple[int, int]) -> nn.Module:
    """0.04 million parameters; the size is free."""
    del size
    return he_normal(SmallMobileNet(classes, channels))
