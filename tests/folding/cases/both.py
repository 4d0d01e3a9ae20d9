"""Both ways at once: the scale one way, the shift the other; and two maps that become one."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.folding.cases.case import EDGE, Case, case, either
from tests.net import Net

POSITIVE = {"positive": True}
NEGATIVE = {"parameters": (-np.arange(1.0, 5.0), np.arange(4.0) - 1.3, np.zeros(4), np.ones(4))}


def through_relu(label: str, *, mixed: bool = False, **norm: Any) -> Case:
    """Conv -> Relu -> BN -> Add(z) -> Conv: s up through Relu, t down through Add."""
    net = Net(label)
    x, z = net.input(("N", 3, 8, 8)), net.input(("N", 4, 6, 6), "z")
    y = net.op("Add", net.bn(net.op("Relu", net.conv(x, 3, 4)), 4, **norm), z)
    net.out(net.conv(y, 4, 5))
    return either(net, exact=True) if mixed else case(net, outcome="split")


def through_relu_padded(label: str) -> Case:
    """The same before zero padding: the shift cannot pass, but the Relu may become a Max."""
    net = Net(label)
    x, z = net.input(("N", 3, 8, 8)), net.input(("N", 4, 6, 6), "z")
    y = net.op("Add", net.bn(net.op("Relu", net.conv(x, 3, 4)), 4, **POSITIVE), z)
    return either(net.out(net.conv(y, 4, 5, pads=[1] * 4)), exact=True)


def negative_pool(label: str, **norm: Any) -> Case:
    """Conv -> MaxPool -> BN (s != 0) -> padded Conv: t/s back, s forward."""
    net = Net(label)
    y = net.op("MaxPool", net.conv(net.input(("N", 3, 8, 8)), 3, 4), kernel_shape=[2, 2])
    y = net.conv(net.bn(y, 4, **norm), 4, 5, pads=[1] * 4)
    return case(net.out(y), outcome="split")


def negative_pool_down(label: str) -> Case:
    """Conv -> BN (mixed signs) -> MaxPool -> padded Conv: the Conv before takes it whole."""
    net = Net(label)
    y = net.op("MaxPool", net.bn(net.conv(net.input(("N", 3, 8, 8)), 3, 4), 4), kernel_shape=[2, 2])
    return case(net.out(net.conv(y, 4, 5, pads=[1] * 4)))


def before_pool(label: str) -> Case:
    """Sigmoid -> BN (mixed) -> MaxPool -> Conv: a negative scale cannot go down, nor up."""
    net = Net(label)
    y = net.bn(net.op("Sigmoid", net.input(("N", 4, 8, 8))), 4)
    y = net.conv(net.op("MaxPool", y, kernel_shape=[2, 2]), 4, 5)
    return case(net.out(y), "negative-scale", "nonlinear-neighbours")


def conv_on_both_sides(label: str, **how: Any) -> Case:
    """Conv -> BN -> Conv: pull is enough, and is exact with padding on both sides."""
    net = Net(label)
    y = net.bn(net.conv(net.input(("N", 3, 8, 8)), 3, 4, pads=[1] * 4), 4)
    return case(net.out(net.conv(y, 4, 5, **how)), outcome="pulled")


def read_twice(label: str) -> Case:
    """The Conv has another reader, so the map goes down."""
    net = Net(label)
    y = net.conv(net.input(("N", 3, 8, 8)), 3, 4)
    return case(net.out(net.conv(net.bn(y, 4), 4, 5), net.op("Relu", y)), outcome="pushed")


def two_norms_one_conv(label: str) -> Case:
    """Two BatchNorms read one Conv; each can go into its own reader."""
    net = Net(label)
    y = net.conv(net.input(("N", 3, 8, 8)), 3, 4)
    return case(net.out(net.conv(net.bn(y, 4), 4, 5), net.conv(net.bn(y, 4), 4, 2, 1)))


def two_norms_no_reader(label: str) -> Case:
    """Two BatchNorms read one Conv and end in Relu: folding both would double the Conv."""
    net = Net(label)
    y = net.conv(net.input(("N", 3, 8, 8)), 3, 4)
    return either(net.out(net.op("Sigmoid", net.bn(y, 4)), net.op("Sigmoid", net.bn(y, 4))))


def two_between(label: str, *, middle: str) -> Case:
    """Sigmoid -> BN -> op -> BN -> Sigmoid: where op lets maps through, one of two is left."""
    net = Net(label)
    y = net.bn(net.op("Sigmoid", net.input(("N", 4, 8, 8))), 4)
    attrs = {"kernel_shape": [2, 2]} if middle == "AveragePool" else {}
    y = net.bn(net.op(middle, y, **attrs), 4)
    return case(net.out(net.op("Sigmoid", y)), *EDGE, stay=1, outcome="merged")


def identity(label: str) -> Case:
    """y = x: it goes, whatever stands around it."""
    net = Net(label)
    y = net.op("Sigmoid", net.input(("N", 4, 8, 8)))
    y = net.bn(y, 4, parameters=([1.0] * 4, [0.0] * 4, [0.0] * 4, [1.0] * 4), eps=0.0)
    return case(net.out(net.op("Sigmoid", y)), outcome="removed")


def identity_between_edges(label: str) -> Case:
    """Graph input -> identity BatchNorm -> graph output: one node must carry the name over."""
    net = Net(label)
    y = net.bn(
        net.input(("N", 4, 8, 8)),
        4,
        parameters=([1.0] * 4, [0.0] * 4, [0.0] * 4, [1.0] * 4),
        eps=0.0,
    )
    return either(net.out(y))


def gap_after_relu(label: str) -> Case:
    """Relu -> BN -> GlobalAveragePool -> Gemm: all of it goes down."""
    net = Net(label)
    y = net.bn(net.op("Relu", net.conv(net.input(("N", 3, 8, 8)), 3, 4)), 4)
    y = net.op("Flatten", net.op("GlobalAveragePool", y))
    return case(net.out(net.gemm(y, 4, 3)), outcome="pushed")


def swiftformer(label: str) -> Case:
    """Add(Conv, MatMul > Add > Transpose > Reshape > Mul const) -> BN -> Conv1x1."""
    net = Net(label)
    x, tokens = net.input(("N", 3, 6, 6)), net.input(("N", 36, 5), "tokens")
    y = net.op("Add", net.matmul(tokens, 5, 4), net.weight(4))
    y = net.op("Reshape", net.op("Transpose", y, perm=[0, 2, 1]), net.ints(0, 4, 6, 6))
    y = net.op("Add", net.op("Relu", net.conv(x, 3, 4, 1)), net.op("Mul", y, net.weight(4, 1, 1)))
    y = net.op("Add", net.conv(net.bn(y, 4), 4, 4, 1), y)
    return case(net.out(y))


ROWS: list[Case] = [
    through_relu("split-Relu-Add-Conv", **POSITIVE),
    through_relu("split-Relu-mixed-signs", mixed=True),
    through_relu_padded("split-Relu-padded"),
    negative_pool("split-MaxPool-padded-Conv", **NEGATIVE),
    negative_pool("split-MaxPool-padded-Conv-mixed"),
    negative_pool_down("pull-before-MaxPool"),
    before_pool("Sigmoid-BN-MaxPool-STAYS"),
    conv_on_both_sides("Conv-BN-Conv-padded", pads=[1] * 4),
    conv_on_both_sides("Conv-BN-Conv"),
    read_twice("Conv-read-twice-push"),
    two_norms_one_conv("two-norms-on-one-Conv-push"),
    two_norms_no_reader("two-norms-on-one-Conv"),
    two_between("merged-across-AveragePool", middle="AveragePool"),
    two_between("merged-across-GlobalAveragePool", middle="GlobalAveragePool"),
    identity("identity-removed"),
    identity_between_edges("identity-input-to-output"),
    gap_after_relu("Relu-BN-GAP-Gemm"),
    swiftformer("swiftformer-trunk"),
]
