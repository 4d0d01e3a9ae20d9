"""Resize, Upsample and Pad."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tests.folding.cases.case import Build, Case, between, case, either, plain
from tests.folding.moves import repeated
from tests.net import Net

SHIFT = ("padding-shift", "shape-unknown")
PURE = {"shift": False}
UNIFORM = {"parameters": repeated(1, 4)}
MODES = {
    "nearest": {"mode": "nearest"},
    "nearest-asymmetric": {"mode": "nearest", "coordinate_transformation_mode": "asymmetric"},
    "linear": {"mode": "linear"},
    "linear-align": {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
    "linear-pytorch": {"mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel"},
}


def resize(sizes: bool = False, **attrs: Any) -> Build:
    def build(n: Net, x: str) -> str:
        if sizes:
            return n.op("Resize", x, "", "", n.ints(2, 4, 9, 11), **attrs)
        return n.op("Resize", x, "", n.init([1.0, 1.0, 2.0, 1.5]), **attrs)

    return build


def resampled_channels(n: Net, x: str) -> str:
    """As many channels as before, but the last two are copies of one."""
    return n.op("Resize", x, "", n.init([1.0, 1.2, 2.0, 1.5]), mode="nearest")


def one_aspect(*sizes: int, axes: list[int] | None = None) -> Build:
    """0.9 of each axis: of 4 channels that is 3.6, so still 4."""
    how = {"mode": "nearest", "keep_aspect_ratio_policy": "not_larger", "axes": axes}
    return lambda n, x: n.op("Resize", x, "", "", n.ints(*sizes), **how)


def resize10(n: Net, x: str) -> str:
    return n.op("Resize", x, n.init([1.0, 1.0, 2.0, 2.0]), mode="nearest")


def upsample7(n: Net, x: str) -> str:
    return n.op("Upsample", x, scales=[1.0, 1.0, 2.0, 2.0], mode="nearest")


def upsample9(n: Net, x: str) -> str:
    return n.op("Upsample", x, n.init([1.0, 1.0, 2.0, 2.0]), mode="nearest")


def pad(*pads: int, mode: str | None = None, fill: float | None = None, old: bool = False) -> Build:
    def build(n: Net, x: str) -> str:
        if old:
            return n.op("Pad", x, pads=list(pads), mode=mode, value=fill)
        tail = [] if fill is None else [n.init(fill)]
        return n.op("Pad", x, n.ints(*pads), *tail, mode=mode)

    return build


def pulled(label: str, move: Build, *codes: str, norm: Any = None, **how: Any) -> Case:
    return between(
        f"pull-{label}", lambda n, x: move(n, n.conv(x, 3, 4)), None, *codes, norm=norm, **how
    )


def pushed(label: str, move: Build, *codes: str, norm: Any = None, **how: Any) -> Case:
    return between(
        f"push-{label}",
        plain,
        lambda n, x: n.conv(move(n, x), 4, 5),
        *codes,
        norm=norm,
        shape=("N", 4, 6, 6),
        **how,
    )


def tf_crop(label: str, roi: list[float]) -> Case:
    """The box decides whether anything is extrapolated."""
    net = Net(label)
    y = net.conv(net.input(("N", 3, 8, 8)), 3, 4)
    y = net.op(
        "Resize", y, net.init(roi), "", net.ints(3, 4, 5, 5), mode="linear",
        coordinate_transformation_mode="tf_crop_and_resize", extrapolation_value=0.5,
    )  # fmt: skip
    net.inputs[0].type.tensor_type.shape.dim[0].dim_value = 3
    return either(net.out(net.bn(y, 4)))


def resized_channels(label: str) -> Case:
    """nearest over the channel axis repeats channels; (s, t) differ within the copies."""
    net = Net(label)
    y = net.conv(net.input((2, 3, 6, 6)), 3, 2)
    y = net.op("Resize", y, "", net.init([1.0, 2.0, 1.0, 1.0]), mode="nearest")
    return case(net.out(net.bn(y, 4)), "axis-mismatch", "shape-unknown", "nonlinear-neighbours")


def matching_fill(label: str, *codes: str, off: Sequence[float] = (0.0,) * 4) -> Case:
    """Pad by v with s v + t = v for each channel: t = v (1 - s)."""
    gamma, v = np.array([0.5, 2.0, 4.0, 0.25]), 3.0
    params = (gamma, v * (1 - gamma) + np.array(off), np.zeros(4), np.full(4, 1.0))
    return pulled(
        label, pad(0, 0, 1, 1, 0, 0, 1, 1, fill=v), *codes, norm={"parameters": params, "eps": 0.0}
    )


def padded_channels(label: str, move: Build, cout: int, *codes: str, **how: Any) -> Case:
    """BatchNorm over 4 channels -> Pad, on that axis too -> Conv."""
    norm, opset = how.pop("norm", {}), how.pop("opset", 17)
    net = Net(f"push-Pad-{label}", opset)
    x = net.op("Sigmoid", net.input(("N", 4, 6, 6)))
    return case(net.out(net.conv(move(net, net.bn(x, 4, **norm)), cout, 3)), *codes)


def axes18(n: Net, x: str) -> str:
    return n.op("Pad", x, n.ints(2, -1), "", n.ints(-3))


SPACE = (0, 0, 1, 2, 0, 0, 2, 1)
CHANNELS = (0, 2, 0, 0, 0, 1, 0, 0)
BOTH = (0, 2, 1, 0, 0, 1, 0, 1)
# one image of a zero in channels 0, 1 and 6, and one map for what an edge copies
ENDS = {
    "parameters": ([1.0, -2, 3, 0.5, 1, 2, 1], [0.5, 0.5, 3, 4, 1, 2, 0.5], [0.0] * 7, [1.0] * 7)
}
EDGES = {
    "parameters": ([2.0, 2, 2, 0.5, 1, -1, -1], [0.5, 0.5, 0.5, 4, 1, 2, 2], [0.0] * 7, [1.0] * 7)
}
HALF_BEFORE = {"parameters": ([2.0, 1, 4, -2], [1.0, 0.5, 2, -1], [0.0] * 4, [1.0] * 4), "eps": 0.0}
ROWS: list[Case] = [
    *(pulled(f"Resize-{k}", resize(**a)) for k, a in MODES.items()),
    *(
        pulled(f"Resize-sizes-{k}", resize(sizes=True, **a), shape=(2, 3, 8, 8))
        for k, a in list(MODES.items())[::2]
    ),
    pulled("Resize-opset10", resize10, opset=10),
    pulled(
        "Resize-opset11",
        lambda n, x: n.op("Resize", x, n.init(np.zeros(0)), n.init([1.0, 1, 2, 2]), mode="linear"),
        opset=11,
    ),
    pulled("Resize-opset19", resize(mode="linear"), opset=19),
    pulled("Upsample-opset7", upsample7, opset=7),
    pulled("Upsample-opset9", upsample9, opset=9),
    tf_crop("pull-Resize-tf-crop-inside", [0, 0, 0.1, 0.1, 1, 1, 0.8, 0.8]),
    resized_channels("pull-Resize-channels-STAYS"),
    pulled("Resize-channels-kept-STAYS", resampled_channels, "axis-mismatch"),
    pulled("Resize-channels-kept", resampled_channels, norm=UNIFORM),
    pulled(
        "Resize-aspect-STAYS",
        one_aspect(1, 4, 9, 9),
        "shape-unknown",
        shape=(1, 3, 12, 12),
        opset=18,
    ),
    pulled("Resize-aspect-of-space", one_aspect(9, 9, axes=[2, 3]), shape=(1, 3, 12, 12), opset=18),
    pushed("Resize-channels-kept-STAYS", resampled_channels, "axis-mismatch"),
    pulled(
        "Resize-BN-Resize",
        lambda n, x: resize(mode="linear")(n, n.bn(resize(mode="nearest")(n, x), 4)),
    ),
    pushed("Resize-nearest", resize(mode="nearest")),
    pushed("Resize-linear", resize(mode="linear")),
    pushed("Upsample-opset9", upsample9, opset=9),
    pulled("Pad-reflect", pad(*SPACE, mode="reflect")),
    pulled("Pad-edge", pad(*SPACE, mode="edge")),
    pulled("Pad-wrap", pad(*SPACE, mode="wrap"), opset=19),
    pulled("Pad-opset2-reflect", pad(*SPACE, mode="reflect", old=True), opset=9),
    pulled("Pad-none", pad(*[0] * 8)),
    pulled("Pad-negative", pad(0, 0, -1, -1, 0, 0, 0, -2)),
    pulled("Pad-constant-STAYS", pad(*SPACE), *SHIFT),
    pulled("Pad-constant-pure", pad(*SPACE), norm=PURE),
    pulled("Pad-constant-value-STAYS", pad(*SPACE, fill=2.0), *SHIFT),
    pulled("Pad-opset2-constant-STAYS", pad(*SPACE, old=True), *SHIFT, opset=9),
    pulled("Pad-opset2-constant-pure", pad(*SPACE, old=True), norm=PURE, opset=9),
    pulled("Pad-uniform", pad(*SPACE), norm=UNIFORM),
    pulled("Pad-uniform-value", pad(*SPACE, fill=2.0), norm=UNIFORM),
    matching_fill("pull-Pad-matching-fill"),
    matching_fill("pull-Pad-one-image", off=(0.5,) * 4),
    matching_fill("pull-Pad-matching-fill-off-STAYS", *SHIFT, off=(0.5, 0, 0, 0)),
    pulled(
        "Pad-channels-edge-STAYS",
        pad(0, 1, 0, 0, 0, 1, 0, 0, mode="edge"),
        "axis-mismatch",
        "shape-unknown",
        c=6,
    ),
    # on the channels' own axis: a padded channel has the map of what it copies, or one of its own
    pulled("Pad-channels-pure", pad(*CHANNELS), c=7, norm=PURE),
    pulled("Pad-channels-one-image", pad(*CHANNELS), c=7, norm=ENDS),
    pulled("Pad-channels-STAYS", pad(*CHANNELS), *SHIFT, c=7),
    pulled("Pad-channels-edge", pad(*CHANNELS, mode="edge"), c=7, norm=EDGES),
    pulled("Pad-channels-cropped", pad(0, -1, 0, 0, 0, 0, 0, 0), c=3),
    padded_channels("channels", pad(*CHANNELS), 7),
    padded_channels("channels-fill", pad(*CHANNELS, fill=2.0), 7),
    padded_channels("channels-opset9", pad(*CHANNELS, old=True), 7, opset=9),
    padded_channels("channels-edge", pad(*CHANNELS, mode="edge"), 7),
    padded_channels("channels-reflect", pad(*CHANNELS, mode="reflect"), 7),
    padded_channels("channels-axes", axes18, 5, opset=18),
    padded_channels("channels-and-space-pure", pad(*BOTH), 7, norm=PURE),
    padded_channels("channels-and-space-STAYS", pad(*BOTH), 7, *SHIFT),
    padded_channels("channels-and-space-one-preimage", pad(*BOTH), 7, norm=HALF_BEFORE),
    pushed("Pad-reflect", pad(*SPACE, mode="reflect")),
    pushed("Pad-edge", pad(*SPACE, mode="edge")),
    pushed("Pad-constant-STAYS", pad(*SPACE), *SHIFT),
    pushed("Pad-constant-pure", pad(*SPACE), norm=PURE),
    pushed("Pad-negative", pad(0, 0, -1, 0, 0, 0, -1, 0)),
    pushed("Pad-uniform", pad(*SPACE), norm=UNIFORM),
    pushed("Pad-uniform-value", pad(*SPACE, fill=-1.0), norm=UNIFORM),
]
