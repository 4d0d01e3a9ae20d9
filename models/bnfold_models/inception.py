"""The paper's Inception and BN-Inception (Figure 5), at ImageNet size and for small images.

Figure 5 contradicts itself: its modules 4c and 4d sum to 608 channels and are said to give 576, on
which 4e's 1024 depends. A projection of 96 instead of 128 in both repairs every sum, and is what
the authors' own later code has; so it is here. The strides of 3c and 4e are the text's (2), not the
sizes that the figure prints. See docs/paper.md.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

import torch
from torch import Tensor, nn

from bnfold_models.blocks import GlobalMean


class Nonlinearity(StrEnum):
    """What stands behind every convolution."""

    RELU = "relu"
    SIGMOID = "sigmoid"


class Stem(StrEnum):
    """What stands in front of module 3a.

    Plain: 7x7/2, pool, 1x1, 3x3, pool: an eighth of the size. Separable: the 7x7 as 8 maps of each
    colour and a 1x1 (GoogLeNet's 2,712 weights). Small, for images of 28 or 32 pixels: 3x3/1 and no
    second pool, so that half of the size is left.
    """

    PLAIN = "plain"
    SEPARABLE = "separable"
    SMALL = "small"


class Pool(StrEnum):
    """The fourth branch of a module."""

    AVERAGE = "average"
    MAX = "max"


@dataclass(frozen=True, slots=True)
class Mixed:
    """A row of Figure 5: maps of the 1x1; of the 3x3 (reduced, out); of the double 3x3; the pool.

    Without a 1x1 it is one of the two that halve the size: no projection, stride 2.
    """

    one: int
    three: tuple[int, int]
    double: tuple[int, int]
    pool: Pool
    projection: int


FIGURE_5: dict[str, Mixed] = {
    "3a": Mixed(64, (64, 64), (64, 96), Pool.AVERAGE, 32),
    "3b": Mixed(64, (64, 96), (64, 96), Pool.AVERAGE, 64),
    "3c": Mixed(0, (128, 160), (64, 96), Pool.MAX, 0),
    "4a": Mixed(224, (64, 96), (96, 128), Pool.AVERAGE, 128),
    "4b": Mixed(192, (96, 128), (96, 128), Pool.AVERAGE, 128),
    "4c": Mixed(160, (128, 160), (128, 160), Pool.AVERAGE, 96),
    "4d": Mixed(96, (128, 192), (160, 192), Pool.AVERAGE, 96),
    "4e": Mixed(0, (128, 192), (192, 256), Pool.MAX, 0),
    "5a": Mixed(352, (192, 320), (160, 224), Pool.AVERAGE, 128),
    "5b": Mixed(352, (192, 320), (192, 224), Pool.MAX, 128),
}
LAST = ("5b", "5a")
STEM = (64, 64, 192)  # maps of conv1, of conv2's 1x1 and of its 3x3
DEPTH_MULTIPLIER = 8  # maps a colour of the separable conv1


@dataclass(frozen=True, slots=True)
class Design:
    """The options of the family; `width` scales every number of maps, `gain` the initial weights.

    Without `norm` every convolution has a bias. `lrn`: local response normalisation after the
    first pool and after conv2's 3x3 (GoogLeNet). `dropout`: in front of the linear layer. In the
    last `per_activation` modules (5b, then 5a) each activation has statistics, gamma and beta of
    its own (4.2.3), which fixes the size of the images.
    """

    norm: bool = True
    lrn: bool = False
    dropout: float = 0.0
    nonlinearity: Nonlinearity = Nonlinearity.RELU
    stem: Stem = Stem.PLAIN
    width: float = 1.0
    gain: float = 1.0
    per_activation: int = 0

    def __post_init__(self) -> None:
        """Refuse what no network can be built of; ValueError says what."""
        if not (0 <= self.dropout < 1 and 0 < self.width <= 16 and 0 < self.gain <= 100):
            raise ValueError("dropout must lie in [0, 1), width in (0, 16], gain in (0, 100]")
        if not 0 <= self.per_activation <= len(LAST):
            raise ValueError(f"per_activation must lie in 0..{len(LAST)}")

    def maps(self, count: int) -> int:
        """So many maps of the figure, at this width."""
        return max(1, round(count * self.width)) if count else 0


class PerActivation(nn.Module):
    """BatchNorm as of a layer that is not convolutional: each place of each map by itself (3.2)."""

    def __init__(self, maps: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.shape = (maps, *grid)
        self.norm = nn.BatchNorm1d(math.prod(self.shape))

    def forward(self, x: Tensor) -> Tensor:
        """(N, maps, *grid), as it came."""
        return self.norm(x.flatten(1)).unflatten(1, self.shape)  # type: ignore[no-any-return]


Grid = tuple[int, int] | None  # of the maps whose every place is normalised by itself


def unit(
    design: Design, inputs: int, outputs: int, kernel: int = 1, *, stride: int = 1,
    grid: Grid = None,
) -> nn.Sequential:  # fmt: skip
    """g(BN(Wu)), or g(Wu + b): the bias is dropped where beta takes its role (paper, 3.2)."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=not design.norm)
    return nn.Sequential(OrderedDict(conv=conv, **_behind(design, outputs, grid)))


def _behind(design: Design, maps: int, grid: Grid = None) -> OrderedDict[str, nn.Module]:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if design.norm:
        layers["norm"] = PerActivation(maps, grid) if grid else nn.BatchNorm2d(maps)
    relu = design.nonlinearity is Nonlinearity.RELU
    layers["act"] = nn.ReLU() if relu else nn.Sigmoid()
    return layers


def _separable(design: Design, channels: int, outputs: int) -> nn.Sequential:
    """7x7/2 of each colour by itself, then 1x1: nothing between the two."""
    between = DEPTH_MULTIPLIER * channels
    depthwise = nn.Conv2d(channels, between, 7, 2, 3, groups=channels, bias=False)
    pointwise = nn.Conv2d(between, outputs, 1, bias=not design.norm)
    layers = OrderedDict[str, nn.Module](depthwise=depthwise, pointwise=pointwise)
    return nn.Sequential(layers | _behind(design, outputs))


def _pool(kind: Pool, stride: int) -> nn.Module:
    """3x3, padding 1; an average counts the padding, as Caffe's does."""
    make = nn.MaxPool2d if kind is Pool.MAX else nn.AvgPool2d
    return make(3, stride, 1)


class InceptionModule(nn.Module):
    """1x1; 1x1 -> 3x3; 1x1 -> 3x3 -> 3x3; pool -> 1x1: side by side, joined along the channels."""

    def __init__(self, design: Design, inputs: int, row: Mixed, grid: Grid = None) -> None:
        super().__init__()
        stride = 1 if row.one else 2
        one_of = partial(unit, design, grid=grid)
        one, projection = design.maps(row.one), design.maps(row.projection)
        (r3, o3), (r5, o5) = (tuple(map(design.maps, pair)) for pair in (row.three, row.double))
        branches: OrderedDict[str, nn.Module] = OrderedDict()
        if one:
            branches["conv1x1"] = one_of(inputs, one)
        branches["conv3x3"] = nn.Sequential(one_of(inputs, r3), one_of(r3, o3, 3, stride=stride))
        branches["double3x3"] = nn.Sequential(
            one_of(inputs, r5), one_of(r5, o5, 3),
            one_of(o5, o5, 3, stride=stride),
        )  # fmt: skip
        pool: list[nn.Module] = [_pool(row.pool, stride)]
        if projection:
            pool.append(one_of(inputs, projection))
        branches["pool"] = nn.Sequential(*pool)
        self.branches = nn.ModuleDict(branches)
        self.outputs = one + o3 + o5 + (projection or inputs)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H/stride, W/stride)."""
        return torch.cat([branch(x) for branch in self.branches.values()], 1)


class Inception(nn.Module):
    """Stem, ten modules, the mean over positions, dropout, a linear layer."""

    def __init__(self, design: Design, classes: int, channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.stem = _stem(design, channels)
        modules: OrderedDict[str, nn.Module] = OrderedDict()
        width = design.maps(STEM[-1])
        for name, row in FIGURE_5.items():
            own = name in LAST[: design.per_activation]
            module = InceptionModule(design, width, row, _last_grid(design, size) if own else None)
            modules[f"inception{name}"], width = module, module.outputs
        self.mixed = nn.Sequential(modules)
        self.pool = GlobalMean()
        self.dropout = nn.Dropout(design.dropout)
        self.linear = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, classes)."""
        logits: Tensor = self.linear(self.dropout(self.pool(self.mixed(self.stem(x)))))
        return logits


def _last_grid(design: Design, size: tuple[int, int]) -> tuple[int, int]:
    """The size of 5a and 5b: each layer of stride 2 leaves half, rounded up."""
    halvings = 3 if design.stem is Stem.SMALL else 5
    height, width = (-(-side // 2**halvings) for side in size)
    return height, width


def _stem(design: Design, channels: int) -> nn.Sequential:
    first, reduced, last = map(design.maps, STEM)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    match design.stem:
        case Stem.PLAIN:
            layers["conv1"] = unit(design, channels, first, 7, stride=2)
        case Stem.SEPARABLE:
            layers["conv1"] = _separable(design, channels, first)
        case Stem.SMALL:
            layers["conv1"] = unit(design, channels, first, 3)
    layers["pool1"] = _pool(Pool.MAX, 2)
    if design.lrn:
        layers["lrn1"] = _lrn()
    layers["reduce"] = unit(design, first, reduced)
    layers["conv2"] = unit(design, reduced, last, 3)
    if design.lrn:
        layers["lrn2"] = _lrn()
    if design.stem is not Stem.SMALL:
        layers["pool2"] = _pool(Pool.MAX, 2)
    return nn.Sequential(layers)


def _lrn() -> nn.Module:
    """Five channels, the constants of the published GoogLeNet."""
    return nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75)


def _drawn(network: nn.Module, design: Design) -> nn.Module:
    """N(0, 2 / fan_in) in front of a ReLU (He et al. 2015), N(0, 1 / fan_in) elsewhere."""
    relu = design.nonlinearity is Nonlinearity.RELU
    for module in network.modules():
        if not isinstance(module, nn.Conv2d | nn.Linear):
            continue
        convolution = isinstance(module, nn.Conv2d)
        he = relu and convolution
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu" if he else "linear")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
        if convolution:
            module.weight.data.mul_(design.gain)
    return network


def build(design: Design, classes: int, channels: int, size: tuple[int, int]) -> nn.Module:
    """A fresh network; the size is free (224x224 in the paper, from 8x8 on with the small stem)."""
    return _drawn(Inception(design, classes, channels, size), design)


INCEPTION = Design(norm=False, lrn=True, dropout=0.4)
BN_INCEPTION = Design()
INCEPTION_SMALL = Design(norm=False, lrn=True, dropout=0.4, stem=Stem.SMALL, width=0.125)
BN_INCEPTION_SMALL = Design(stem=Stem.SMALL, width=0.125)
