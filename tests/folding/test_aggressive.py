"""Relu as Max, and a change of basis: only where asked for, only where exact."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx
import pytest

import bnfold
from tests.folding.cases.case import Build
from tests.net import Net
from tests.oracle import assert_equivalent, graphs

AGGRESSIVE = bnfold.Options(aggressive=True)
ABOVE = ([1.0, 2.0, 0.5, 1.5], [0.5, -1.0, 0.0, 2.0], [0.3, 0.2, -0.1, 0.4], [1.0] * 4)
BELOW = ([-1.0, -2.0, -0.5, -1.5], *ABOVE[1:])
DEAD = ([1.0, 0.0, 2.0, 0.0], [0.5, -1.0, 0.0, 2.0], [0.3, 0.2, -0.1, 0.4], [1.0] * 4)
MIXED = ([1.0, -2.0, 0.5, 1.5], *ABOVE[1:])
FAR = ([1e-3, -1.0, 1.0, 1.0], [5.0, 0.0, 0.0, 0.0], [0.0] * 4, [1.0] * 4)
Parameters = Sequence[Sequence[float]]


def relu_in_front(sink: Build, norm: Parameters, opset: int = 17) -> onnx.ModelProto:
    """Tanh -> BatchNorm -> Relu -> sink: nothing linear stands above."""
    net = Net("rectified", opset)
    x = net.op("Tanh", net.input(("N", 4, 6, 6)))
    return net.out(sink(net, net.op("Relu", net.bn(x, 4, parameters=norm)))).model()


def relu_behind(norm: Parameters) -> onnx.ModelProto:
    """Conv -> Relu -> BatchNorm -> Tanh: nothing linear stands below."""
    net = Net("rectified-pull")
    y = net.op("Relu", net.conv(net.input(("N", 3, 6, 6)), 3, 4))
    return net.out(net.op("Tanh", net.bn(y, 4, parameters=norm))).model()


def conv(n: Net, x: str) -> str:
    return n.conv(x, 4, 5)


def padded(n: Net, x: str) -> str:
    return n.conv(x, 4, 5, pads=[1] * 4)


def head(n: Net, x: str) -> str:
    return n.gemm(n.op("Flatten", n.op("GlobalAveragePool", x)), 4, 5)


def two_readers(n: Net, x: str) -> str:
    return n.op("Add", n.conv(x, 4, 5), n.conv(x, 4, 5))


def moved_first(n: Net, x: str) -> str:
    """The Relu stands behind a pool and before a Transpose."""
    y = n.op("Transpose", n.op("MaxPool", x, kernel_shape=[2, 2]), perm=[0, 2, 3, 1])
    return n.matmul(y, 4, 5)


def trunk(norms: Sequence[Parameters], tail: Build, first: Build) -> onnx.ModelProto:
    """A pre-activation trunk: x += Conv3x3(Relu(BN(x))), padded, so that no shift goes down."""
    net = Net("trunk")
    x = first(net, net.input(("N", 3, 6, 6)))
    for norm in norms[:-1]:
        y = net.op("Relu", net.bn(x, 4, parameters=norm))
        x = net.op("Add", x, net.conv(y, 4, 4, pads=[1] * 4))
    return net.out(tail(net, net.op("Relu", net.bn(x, 4, parameters=norms[-1])))).model()


def dense(norms: Sequence[Parameters]) -> onnx.ModelProto:
    """A dense block with mixed signs: every feature is read by every BatchNorm behind it."""
    net = Net("dense")
    x = net.conv(net.input(("N", 3, 6, 6)), 3, 4)
    for width, norm in zip((4, 8, 12), norms, strict=True):
        wide = [np.tile(np.asarray(p), 3)[:width] for p in norm]
        y = net.op("Relu", net.bn(x, width, parameters=wide))
        x = net.op("Concat", x, net.conv(y, width, 4, pads=[1] * 4), axis=1)
    return net.out(net.op("Relu", net.bn(x, 16))).model()


def stem(n: Net, x: str) -> str:
    return n.conv(x, 3, 4)


def bent_stem(n: Net, x: str) -> str:
    return n.op("Sigmoid", n.conv(x, 3, 4))


def folded(model: onnx.ModelProto) -> bnfold.FoldReport:
    """The report of an aggressive fold, judged: equal, idempotent, no more nodes."""
    result = bnfold.fold(model, AGGRESSIVE)
    assert_equivalent(model, result.model, every_name=True)
    onnx.checker.check_model(result.model, full_check=True)
    again = bnfold.fold(result.model, AGGRESSIVE)
    assert not again.report.folded
    before, after = (sum(len(g.node) for g in graphs(m)) for m in (model, result.model))
    assert after <= before or not result.report.folded
    return result.report


RECTIFIED: dict[str, Callable[[], onnx.ModelProto]] = {
    "conv": lambda: relu_in_front(conv, ABOVE),
    "negative": lambda: relu_in_front(conv, BELOW),
    "dead-channels": lambda: relu_in_front(conv, DEAD),
    "mean": lambda: relu_in_front(head, ABOVE),
    "two-readers": lambda: relu_in_front(two_readers, ABOVE),
    "pool-transpose-matmul": lambda: relu_in_front(moved_first, ABOVE),
    "pull": lambda: relu_behind(ABOVE),
    "pull-negative": lambda: relu_behind(BELOW),
    "pull-dead-channels": lambda: relu_behind(DEAD),
}


@pytest.mark.parametrize("build", RECTIFIED.values(), ids=RECTIFIED.keys())
def test_a_relu_becomes_a_maximum(build: Callable[[], onnx.ModelProto]) -> None:
    model = build()
    assert bnfold.fold(model).report.after.batchnorms == 1, "only where it is asked for"
    report = folded(model)
    assert report.after.batchnorms == 0
    assert {f.outcome for f in report.folded if f.kind == "batchnorm"} == {"rectified"}


STAYS: dict[str, tuple[Callable[[], onnx.ModelProto], str]] = {
    "mixed-signs": (lambda: relu_in_front(conv, MIXED), "negative-scale"),
    "padded": (lambda: relu_in_front(padded, ABOVE), "padding-shift"),
    "pull-mixed-signs": (lambda: relu_behind(MIXED), "negative-scale"),
    "opset-7": (lambda: relu_in_front(conv, ABOVE, 7), "negative-scale"),
}


@pytest.mark.parametrize(("build", "code"), STAYS.values(), ids=STAYS.keys())
def test_a_relu_stays(build: Callable[[], onnx.ModelProto], code: str) -> None:
    report = folded(build())
    assert [r.code for r in report.remaining] == [code]


def rebased(report: bnfold.FoldReport) -> int:
    return sum(f.outcome == "rebased" for f in report.folded)


def test_one_norm_of_a_trunk_becomes_its_basis() -> None:
    model = trunk([MIXED, BELOW, MIXED], padded, stem)
    report = folded(model)
    assert bnfold.fold(model).report.after.batchnorms == 3
    assert (rebased(report), report.after.batchnorms) == (1, 2)


def test_one_norm_of_a_dense_block_becomes_its_basis() -> None:
    report = folded(dense([MIXED, MIXED, BELOW]))
    assert rebased(report) == 1


@pytest.mark.parametrize(
    ("norms", "first"),
    [([MIXED, MIXED], bent_stem), ([MIXED, FAR], stem), ([MIXED, DEAD], stem)],
    ids=["producer-not-linear", "shift-drowns-the-trunk", "scale-zero"],
)
def test_a_trunk_stays(norms: Sequence[Parameters], first: Build) -> None:
    report = folded(trunk(norms, padded, first))
    assert rebased(report) == 0
    assert report.after.batchnorms == 2


def test_an_identity_between_two_borders_stays() -> None:
    """There is no trunk whose basis could change."""
    net = Net("identity")
    one, none = [1.0] * 4, [0.0] * 4
    parameters = (one, none, none, one)
    model = net.out(net.bn(net.input(("N", 4)), 4, parameters=parameters, eps=0.0)).model()
    assert len(bnfold.fold(model, AGGRESSIVE).report.remaining) == 1
