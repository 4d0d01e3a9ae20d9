"""Push into Conv, ConvTranspose, Gemm and MatMul."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.folding.cases.case import ANY, Build, Case, between, case, either, plain
from tests.net import Net

PURE = {"shift": False}
PADDED = ("padding-shift", "shape-unknown")
AXIS = ("axis-mismatch", "nonlinear-neighbours")
SHAPES = {1: ("N", 4, 9), 2: ("N", 4, 7, 8), 3: ("N", 4, 5, 6, 5)}
CONVS = {
    "strides": {"strides": [2, 2]},
    "dilations": {"dilations": [2, 2]},
    "grouped": {"group": 2},
    "depthwise": {"group": 4},
    "valid": {"auto_pad": "VALID"},
    "1x1": {"k": 1},
    "1x1-same-strided": {"k": 1, "auto_pad": "SAME_UPPER", "strides": [2, 2]},
    "2x2-stride-2": {"k": 2, "strides": [2, 2]},
    "negative-free-pads": {"pads": [0, 0, 0, 0]},
}


def into(
    label: str, sink: Build, *codes: str, shape: Any = SHAPES[2], free: bool = False, **how: Any
) -> Case:
    """BatchNorm over 4 -> sink."""
    row = between(f"push-{label}", plain, sink, *codes, c=4, shape=shape, **how)
    return Case(row.id, row.model, frozenset(), exact=True) if free else row


def conv(cout: int = 8, **how: Any) -> Build:
    return lambda n, x: n.conv(x, 4, cout, **how)


def deconv(cout: int = 8, **how: Any) -> Build:
    return lambda n, x: n.deconv(x, 4, cout, **how)


def embedded(cout: int = 8) -> np.ndarray:
    """A 1x1 kernel in the middle of a 3x3 one."""
    w = np.zeros((cout, 4, 3, 3))
    w[:, :, 1, 1] = np.random.default_rng(1).normal(size=(cout, 4))
    return w


def blind() -> np.ndarray:
    """No weight on channel 2."""
    w = np.random.default_rng(2).normal(size=(8, 4, 3, 3))
    w[:, 2] = 0
    return w


ONLY_2 = {"parameters": ([2.0, -1, 3, 1], [0.0, 0, 5, 0], [0.0] * 4, [1.0] * 4)}


def gemm(label: str, *codes: str, tail: tuple[int, ...] | None = (5,), **attrs: Any) -> Case:
    """BN [6, 4] -> Gemm."""
    net = Net(f"push-Gemm-{label}")
    x = net.bn(net.input((6, 4)), 4)
    cin = 6 if attrs.get("transA") else 4
    w = net.weight(5, cin) if attrs.get("transB") else net.weight(cin, 5)
    extra = [] if tail is None else [net.weight(*tail)]
    return case(net.out(net.op("Gemm", x, w, *extra, **attrs)), *codes)


def second_operand(label: str, *codes: str, transB: int) -> Case:
    """Gemm(constant, BN(x)): the contracted axis is the channels' only with transB=1."""
    net = Net(f"push-Gemm-{label}")
    x = net.bn(net.input((4, 4)), 4)
    return case(net.out(net.op("Gemm", net.weight(5, 4), x, net.weight(1), transB=transB)), *codes)


def product(
    label: str, shape: tuple[Any, ...], constant: tuple[int, ...], *codes: str, left: bool = False,
    bias: tuple[int, ...] | None = None, **norm: Any,
) -> Case:  # fmt: skip
    net = Net(f"push-MatMul-{label}")
    x, w = net.bn(net.input(shape), 4, **norm), net.weight(*constant)
    y = net.op("MatMul", *((w, x) if left else (x, w)))
    return case(net.out(net.op("Add", y, net.weight(*bias)) if bias else y), *codes)


def readers(label: str, *sinks: Build, codes: tuple[str, ...] = (), output: bool = False) -> Case:
    """Several readers of one BatchNorm."""
    net = Net(f"push-readers-{label}")
    y = net.bn(net.input(("N", 4, 6, 6)), 4)
    net.out(*(s(net, y) for s in sinks))
    return case(net.out(y) if output else net, *codes)


def concat_slice(label: str, *codes: str, last: Build) -> Case:
    """Concat(z, BN(x)) -> last: the map covers a slice of the input channels."""
    net = Net(label)
    y = net.bn(net.input(("N", 4, 6, 6)), 4)
    return case(
        net.out(last(net, net.op("Concat", net.input(("N", 3, 6, 6), "z"), y, axis=1))), *codes
    )


def added(label: str, *codes: str, **norm: Any) -> Case:
    """Add(BN(x), z) -> Conv: a shift alone passes."""
    net = Net(label)
    y = net.op("Add", net.bn(net.input(("N", 4, 6, 6)), 4, **norm), net.input(("N", 4, 6, 6), "z"))
    return case(net.out(net.conv(y, 4, 5)), *codes)


def trunk(label: str) -> Case:
    """visformer: a residual trunk that others read, BN, Conv1x1, Add back."""
    net = Net(label)
    x = net.op("Add", net.conv(net.input(("N", 4, 6, 6)), 4, 4, 1), net.weight(1, 4, 6, 6))
    y = net.conv(net.bn(x, 4), 4, 8, 1, bias=False)
    y = net.op("Add", x, net.conv(net.op("Relu", y), 8, 4, 1))
    y = net.op("Add", y, net.conv(net.bn(y, 4), 4, 4, 1))
    y = net.op("Flatten", net.op("GlobalAveragePool", net.bn(y, 4)))
    return case(net.out(net.gemm(y, 4, 3, transB=1)))


def inception_next(label: str) -> Case:
    """Split, three depthwise branches and one bare, Concat, BN, Conv1x1."""
    net = Net(label)
    x = net.op("Sigmoid", net.input(("N", 8, 6, 6)))
    p = net.ops("Split", [x, net.ints(2, 2, 2, 2)], 4, axis=1)
    done = [p[0], net.conv(p[1], 2, 2, group=2, pads=[1] * 4)]
    done.append(net.conv(p[2], 2, 2, (1, 5), group=2, pads=[0, 2, 0, 2]))
    done.append(net.conv(p[3], 2, 2, (5, 1), group=2, pads=[2, 0, 2, 0]))
    y = net.conv(net.bn(net.op("Concat", *done, axis=1), 8), 8, 16, 1)
    return case(net.out(net.op("Relu", y)))


def as_weight(label: str, slot: int) -> Case:
    """BN(x) is the Conv's weight or bias, not its x."""
    net = Net(label)
    shape = (4, 3, 3, 3) if slot == 1 else (1, 4)
    y = net.bn(net.input(shape), shape[1])
    if slot == 2:
        y = net.op("Reshape", y, net.ints(4))
    parts = [net.input((1, 3, 6, 6), "image"), net.weight(4, 3, 3, 3), ""]
    parts[slot] = y
    return (
        case(net.out(net.op("Conv", *parts)), *ANY)
        if slot == 1
        else either(net.out(net.op("Conv", *parts)))
    )


NEAREST = np.repeat(np.repeat(np.random.default_rng(3).normal(size=(4, 5, 1, 1)), 2, 2), 2, 3)
ROWS: list[Case] = [
    *(
        into(f"Conv{r}D-{b}", lambda n, x, r=r, b=b: n.conv(x, 4, 5, rank=r, bias=b), shape=s)
        for r, s in SHAPES.items()
        for b in (True, False, "empty")
    ),
    *(into(f"Conv-{k}", conv(**{"k": 3, **a})) for k, a in CONVS.items()),
    into("Conv-pads-STAYS", conv(pads=[1] * 4), *PADDED),
    into("Conv-pads-one-side-STAYS", conv(pads=[0, 0, 0, 1]), *PADDED),
    into("Conv-pads-pure", conv(pads=[1] * 4), norm=PURE),
    into("Conv-pads-grouped-pure", conv(pads=[1] * 4, group=2), norm=PURE),
    into("Conv-same-STAYS", conv(auto_pad="SAME_UPPER"), *PADDED),
    into("Conv-same-pure", conv(auto_pad="SAME_LOWER"), norm=PURE),
    into("Conv-same-fits", conv(k=2, strides=[2, 2], auto_pad="SAME_UPPER"), shape=(2, 4, 6, 8)),
    into(
        "Conv-same-dynamic-STAYS",
        conv(k=2, strides=[2, 2], auto_pad="SAME_UPPER"),
        *PADDED,
        shape=("N", 4, "H", "W"),
    ),
    into("Conv-pads-never-read", conv(k=2, strides=[2, 2], pads=[0, 0, 1, 1]), shape=(2, 4, 6, 8)),
    into("Conv-pads-embedded-1x1", conv(pads=[1] * 4, weight=embedded())),
    into("Conv-pads-blind-channel", conv(pads=[1] * 4, weight=blind()), norm=ONLY_2),
    into(
        "Conv-pads-one-channel",
        lambda n, x: n.conv(n.op("Slice", x, n.ints(0), n.ints(1), n.ints(1)), 1, 3, pads=[1] * 4),
        free=True,
    ),
    into("Conv-chain", lambda n, x: n.conv(n.bn(x, 4), 4, 5)),
    into(
        "Conv-gamma-zero",
        conv(),
        norm={"parameters": ([0.0, 1, 0, 2], [1.0] * 4, [1.0] * 4, [1.0] * 4)},
    ),
    into("Conv-unknown-space", conv(), shape=("N", 4, "H", "W")),
    *(
        into(f"Deconv-pure-{k}", deconv(**a), norm=PURE)
        for k, a in {
            "plain": {},
            "strides": {"strides": [2, 2]},
            "pads": {"strides": [2, 2], "pads": [1] * 4},
            "grouped": {"group": 2},
            "depthwise": {"group": 4},
        }.items()
    ),
    into("Deconv-1x1", deconv(k=1)),
    into("Deconv-1x1-grouped", deconv(k=1, group=2, bias=False)),
    into("Deconv-1x1-strided-STAYS", deconv(k=1, strides=[2, 2]), *PADDED),
    into("Deconv-3x3-STAYS", deconv(k=3), *PADDED),
    into("Deconv-2x2-stride-2-STAYS", deconv(k=2, strides=[2, 2]), *PADDED, "axis-mismatch"),
    into("Deconv-nearest", deconv(cout=5, k=2, strides=[2, 2], weight=NEAREST)),
    into(
        "Deconv-nearest-output-padding-STAYS",
        deconv(cout=5, k=2, strides=[2, 2], weight=NEAREST, output_padding=[1, 1]),
        *PADDED,
    ),
    *(
        gemm(f"C-{'x'.join(map(str, t)) if t is not None else 'absent'}", tail=t)
        for t in (None, (), (1,), (5,), (1, 5), (6, 1), (6, 5))
    ),
    gemm("alpha-beta", alpha=0.7, beta=0.3),
    gemm("beta-zero", beta=0.0),
    gemm("beta-zero-absent", beta=0.0, tail=None),
    gemm("transB", transB=1),
    gemm("transA-STAYS", *AXIS, transA=1),
    second_operand("second-transB", transB=1),
    second_operand("second-STAYS", *AXIS, transB=0),
    product("2", ("N", 4), (4, 5)),
    product("2-Add", ("N", 4), (4, 5), bias=(5,)),
    product("3-rows-STAYS", ("N", 4, 3), (3, 5), *AXIS),
    product("3-square-rows-STAYS", ("N", 4, 4), (4, 4), *AXIS),
    product("3-left", ("N", 4, 3), (5, 4), left=True),
    product("3-left-Add", ("N", 4, 3), (5, 4), left=True, bias=(5, 1)),
    product("3-left-pure", ("N", 4, 3), (5, 4), left=True, shift=False),
    product("4-left-STAYS", ("N", 4, 3, 2), (5, 3), *AXIS, left=True),
    product("4-batch-axis", ("N", 4, 6, 3), (4, 3, 5)),
    product("4-batch-axis-Add", ("N", 4, 6, 3), (4, 3, 5), bias=(1, 4, 1, 5)),
    readers("two-Convs", conv(), conv(k=1, bias=False)),
    readers(
        "Conv-and-pool-Gemm",
        conv(),
        lambda n, x: n.gemm(n.op("Flatten", n.op("GlobalAveragePool", x)), 4, 3),
    ),
    readers(
        "one-padded-STAYS", conv(), conv(pads=[1] * 4), codes=(*PADDED, "value-used-elsewhere")
    ),
    readers(
        "one-nonlinear-STAYS",
        conv(),
        lambda n, x: n.op("Sigmoid", x),
        codes=("nonlinear-neighbours", "value-used-elsewhere"),
    ),
    readers(
        "output-too-STAYS",
        conv(),
        codes=("nonlinear-neighbours", "value-used-elsewhere"),
        output=True,
    ),
    readers("Shape-reader", conv(), lambda n, x: n.op("Shape", x)),
    concat_slice("push-Concat-slice", last=lambda n, x: n.conv(x, 7, 5)),
    concat_slice(
        "push-Concat-slice-padded-STAYS", *PADDED, last=lambda n, x: n.conv(x, 7, 5, pads=[1] * 4)
    ),
    added("push-Add-STAYS", "nonlinear-neighbours", "value-used-elsewhere", "operator-unknown"),
    added(
        "push-Add-shift-only",
        parameters=(np.ones(4), np.arange(4.0), np.zeros(4), np.ones(4)),
        eps=0.0,
    ),
    trunk("push-visformer"),
    inception_next("push-inception-next"),
    as_weight("push-as-weight-STAYS", 1),
    as_weight("push-as-bias", 2),
]
