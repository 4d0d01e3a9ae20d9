"""The MNIST net of the paper's section 4.1, with and without BatchNorm."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

WIDTH = 100
DEPTH = 3
INITIAL_STD = 0.1  # "small random Gaussian values"; the paper gives no number
SMALL_STD = 0.01  # another reading of it, under which the plain net hardly starts


def _hidden(inputs: int, *, norm: bool) -> nn.Sequential:
    """Z = g(BN(Wu)) or g(Wu + b): the bias is dropped where beta takes its role (paper, 3.2)."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["linear"] = nn.Linear(inputs, WIDTH, bias=not norm)
    if norm:
        layers["norm"] = nn.BatchNorm1d(WIDTH)
    layers["sigmoid"] = nn.Sigmoid()
    return nn.Sequential(layers)


def _network(
    classes: int, channels: int, size: tuple[int, int], *, norm: bool, std: float = INITIAL_STD
) -> nn.Module:
    widths = [channels * size[0] * size[1], *[WIDTH] * DEPTH]
    layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    for index, inputs in enumerate(widths[:-1], start=1):
        layers[f"hidden{index}"] = _hidden(inputs, norm=norm)
    layers["logits"] = nn.Linear(WIDTH, classes)
    network = nn.Sequential(layers)
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network


def mnist_mlp(classes: int, channels: int, size: tuple[int, int]) -> nn.Module:
    """Three layers of 100 sigmoids and a linear one, without BatchNorm."""
    return _network(classes, channels, size, norm=False)


def mnist_mlp_bn(classes: int, channels: int, size: tuple[int, int]) -> nn.Module:
    """The same with BatchNorm in front of each sigmoid."""
    return _network(classes, channels, size, norm=True)


def mnist_mlp_small_init(classes: int, channels: int, size: tuple[int, int]) -> nn.Module:
    """`mnist_mlp` with a tenth of the initial weights."""
    return _network(classes, channels, size, norm=False, std=SMALL_STD)


def mnist_mlp_bn_small_init(classes: int, channels: int, size: tuple[int, int]) -> nn.Module:
    """`mnist_mlp_bn` with a tenth of the initial weights."""
    return _network(classes, channels, size, norm=True, std=SMALL_STD)
