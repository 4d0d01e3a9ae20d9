"""Pull into Conv and ConvTranspose: always exact, whatever their padding."""

from __future__ import annotations

import numpy as np

from tests.build import value
from tests.folding.cases.case import ANY, Case, between, case
from tests.net import Net

SPACES = {1: ("N", 4, 9), 2: ("N", 4, 7, 8), 3: ("N", 4, 5, 6, 5)}
CONVS = {
    "pads": {"pads": [1, 1, 1, 1]},
    "uneven-pads": {"pads": [0, 2, 1, 0]},
    "strides": {"strides": [2, 3]},
    "dilations": {"dilations": [2, 2], "pads": [2, 2, 2, 2]},
    "same-upper": {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
    "same-lower": {"auto_pad": "SAME_LOWER"},
    "valid": {"auto_pad": "VALID"},
    "notset": {"auto_pad": "NOTSET", "pads": [1, 1, 1, 1]},
    "kernel-shape": {"kernel_shape": [3, 3]},
    "grouped": {"group": 2},
    "depthwise": {"group": 4, "pads": [1, 1, 1, 1]},
    "depthwise-1x1": {"group": 4, "k": 1},
    "1x1": {"k": 1},
    "1x5": {"k": (1, 5)},
}
DECONVS = {
    "strides": {"strides": [2, 2]},
    "pads": {"strides": [2, 2], "pads": [1, 0, 1, 1]},
    "output-padding": {"strides": [2, 2], "output_padding": [1, 1]},
    "output-shape": {"strides": [2, 2], "output_shape": [15, 16]},
    "same-upper": {"strides": [2, 2], "auto_pad": "SAME_UPPER"},
    "dilations": {"dilations": [2, 1]},
    "grouped": {"group": 2, "strides": [2, 2]},
    "depthwise": {"group": 4},
    "1x1": {"k": 1},
}
PARAMETERS = {
    "gamma-zero": (np.array([0, 1, -1, 0.0]), np.ones(4), np.ones(4), np.ones(4)),
    "gamma-all-zero": (np.zeros(4), np.arange(4.0), np.ones(4), np.ones(4)),
    "almost-identity": (np.ones(4), np.zeros(4), np.zeros(4), np.full(4, 1 - 1e-5)),
    "var-zero": (np.ones(4), np.ones(4), np.ones(4), np.zeros(4)),
    "large-scale": (np.full(4, 1e6), np.ones(4), np.ones(4), np.ones(4)),
    "tiny-scale": (np.full(4, 1e-12), np.ones(4), np.ones(4), np.ones(4)),
    "tiny-var": (np.ones(4), np.ones(4), np.ones(4), np.full(4, 1e-12)),
    "large-var": (np.ones(4), np.ones(4), np.ones(4), np.full(4, 1e12)),
    "large-mean": (np.ones(4), np.ones(4), np.full(4, 1e4), np.ones(4)),
}


def _chain(label: str, links: int) -> Case:
    net = Net(label)
    x = net.input(("N", 3, 9, 9))
    for i in range(links):
        x = net.bn(net.conv(x, 3 if i == 0 else 4, 4, pads=[1] * 4, bias=i % 2 == 0), 4)
    return case(net.out(x))


def _constant_image(label: str) -> Case:
    """Conv(constant, x): x is the weight; its axis 0 is the BatchNorm's channel, and is dynamic."""
    net = Net(label)
    w = net.input((4, 3, 3, 3), "w")
    return case(net.out(net.bn(net.op("Conv", net.weight(1, 3, 6, 6), w), 4)), *ANY)


def _dynamic_weight(label: str) -> Case:
    net = Net(label)
    x, w = net.input((1, 3, 6, 6)), net.input((4, 3, 3, 3), "w")
    return case(net.out(net.bn(net.op("Conv", x, w, net.weight(4)), 4)), *ANY)


def _dynamic_bias(label: str) -> Case:
    net = Net(label)
    x, b = net.input((1, 3, 6, 6)), net.input((4,), "b")
    return case(net.out(net.bn(net.op("Conv", x, net.weight(4, 3, 3, 3), b), 4)), *ANY)


def _unknown_space(label: str) -> Case:
    net = Net(label)
    x = net.input(("N", 3, "H", "W"))
    y = net.bn(net.conv(x, 3, 4, pads=[1] * 4), 4)
    return case(net.out(value(y, ("N", 4, "H", "W"))))


def _unnamed(label: str) -> Case:
    net = Net(label)
    net.out(net.bn(net.conv(net.bn(net.conv(net.input(("N", 3, 9, 9)), 3, 4), 4), 4, 4), 4))
    for made in net.nodes:
        made.name = ""
    return case(net)


ROWS: list[Case] = [
    *(
        between(
            f"Conv{r}D-{b}", lambda n, x, r=r, b=b: n.conv(x, 4, 5, rank=r, bias=b), c=5, shape=s
        )
        for r, s in SPACES.items()
        for b in (True, False, "empty")
    ),
    *(
        between(
            f"Conv-{k}-{'bias' if b else 'plain'}",
            lambda n, x, a=a, b=b: n.conv(x, 4, 8, **{"k": 3, "bias": b, **a}),
            c=8,
            shape=SPACES[2],
        )
        for k, a in CONVS.items()
        for b in (True, False)
    ),
    *(
        between(
            f"Conv-parameters-{k}",
            lambda n, x: n.conv(x, 4, 4),
            shape=SPACES[2],
            norm={"parameters": p},
        )
        for k, p in PARAMETERS.items()
    ),
    *(
        between(f"Conv-eps-{e}", lambda n, x: n.conv(x, 4, 4), shape=SPACES[2], norm={"eps": e})
        for e in (0.0, 1e-12, 1e-3, 0.5)
    ),
    between("Conv-static", lambda n, x: n.conv(x, 3, 4), shape=(2, 3, 6, 6)),
    _unknown_space("Conv-unknown-space"),
    between("Conv-square-channels", lambda n, x: n.conv(x, 3, 3), c=3),
    _chain("Conv-chain-2", 2),
    _chain("Conv-chain-5", 5),
    between("Conv-BN-BN", lambda n, x: n.bn(n.conv(x, 3, 4), 4)),
    between("Conv-BN-Relu-Conv", lambda n, x: n.conv(x, 3, 4), lambda n, x: n.op("Relu", x)),
    between("Conv-momentum", lambda n, x: n.conv(x, 3, 4), norm={"momentum": 0.9}),
    between("Conv-training-mode-0", lambda n, x: n.conv(x, 3, 4), norm={"training_mode": 0}),
    _unnamed("Conv-no-node-names"),
    _constant_image("Conv-constant-image-STAYS"),
    _dynamic_weight("Conv-dynamic-weight-STAYS"),
    _dynamic_bias("Conv-dynamic-bias-STAYS"),
    *(
        between(
            f"Deconv{r}D-{b}",
            lambda n, x, r=r, b=b: n.deconv(x, 4, 6, rank=r, bias=b),
            c=6,
            shape=s,
        )
        for r, s in SPACES.items()
        for b in (True, False, "empty")
    ),
    *(
        between(
            f"Deconv-{k}-{'bias' if b else 'plain'}",
            lambda n, x, a=a, b=b: n.deconv(x, 4, 8, **{"k": 3, "bias": b, **a}),
            c=8,
            shape=SPACES[2],
        )
        for k, a in DECONVS.items()
        for b in (True, False)
    ),
    # Cin == Cout: a wrong axis would be silent
    between("Deconv-square-channels", lambda n, x: n.deconv(x, 4, 4), shape=SPACES[2]),
    between("Deconv-square-grouped", lambda n, x: n.deconv(x, 4, 4, group=2), shape=SPACES[2]),
]
