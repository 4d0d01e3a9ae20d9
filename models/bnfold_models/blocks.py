"""The pieces that every family is built from; a convolution in front of a BatchNorm has no bias."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn


def conv_norm(
    inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Conv-BN-ReLU, the size kept at stride 1: beta takes the bias's role (paper, 3.2)."""
    conv = nn.Conv2d(
        inputs, outputs, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False
    )
    return nn.Sequential(OrderedDict(conv=conv, norm=nn.BatchNorm2d(outputs), relu=nn.ReLU()))


def separable(inputs: int, outputs: int, *, stride: int = 1) -> nn.Sequential:
    """Depthwise 3x3 and pointwise 1x1, each with BN and ReLU (MobileNet)."""
    depthwise = conv_norm(inputs, inputs, 3, stride=stride, groups=inputs)
    return nn.Sequential(OrderedDict(depthwise=depthwise, pointwise=conv_norm(inputs, outputs, 1)))


class GlobalMean(nn.Module):
    """Mean over height and width: (N, C, H, W) -> (N, C); unlike AdaptiveAvgPool2d deterministic.

    Its CUDA backward is on PyTorch's list of deterministic operations, the pool's is not.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C)."""
        return x.mean((2, 3))


def he_normal(network: nn.Module) -> nn.Module:
    """Convolutions drawn from N(0, 2 / fan_out) (He et al. 2015); returns the network."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network
