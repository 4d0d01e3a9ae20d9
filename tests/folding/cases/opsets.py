"""Every opset from 7 on, in the forms that its BatchNormalization has."""

from __future__ import annotations

import numpy as np

from tests.folding.cases.case import Case, between, case, plain
from tests.net import Net

OPSETS = (7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22)
GRID = (4, 6, 6)  # what spatial=0 parameters span


def _whole(label: str, opset: int, *codes: str, same: bool) -> Case:
    """spatial=0: parameters (C, H, W); exact where they repeat over H and W."""
    net = Net(label, opset)
    x = net.input(("N", 3, 8, 8))
    drawn = [net.rng.uniform(0.5, 2.0, GRID) for _ in range(4)]
    if same:
        drawn = [np.broadcast_to(d[:, :1, :1], GRID) for d in drawn]
    y = net.bn(net.conv(x, 3, 4), GRID, spatial=0, parameters=drawn)
    return case(net.out(y), *codes)


def _dense(label: str, opset: int) -> Case:
    """spatial=0 on (N, C) is spatial=1."""
    net = Net(label, opset)
    return case(net.out(net.bn(net.gemm(net.input(("N", 3)), 3, 4), 4, spatial=0)))


def _old_training(label: str, opset: int) -> Case:
    """Before opset 14 the extra outputs say that it trains."""
    net = Net(label, opset)
    y = net.bn(net.conv(net.input((2, 3, 6, 6)), 3, 4), 4)
    net.nodes[-1].output.extend([net.nodes[0].input[1] + s for s in (".m", ".v", ".sm", ".sv")])
    return case(net.out(y), "training-mode")


def _wide_statistics(label: str, opset: int) -> Case:
    """From opset 15 on, mean and var may be of another type than x."""
    net = Net(label, opset)
    y = net.bn(net.conv(net.input(("N", 3, 6, 6)), 3, 4), 4)
    for t in net.initializers[-2:]:
        t.CopyFrom(_as_double(t))
    return case(net.out(y))


def _as_double(t: object) -> object:
    from onnx import numpy_helper

    return numpy_helper.from_array(numpy_helper.to_array(t).astype(np.float64), t.name)


ROWS: list[Case] = [
    *(between(f"opset{o}-Conv", lambda n, x: n.conv(x, 3, 4), opset=o) for o in OPSETS),
    *(
        between(f"opset{o}-Gemm", lambda n, x: n.gemm(x, 3, 4), shape=("N", 3), opset=o)
        for o in OPSETS
    ),
    *(
        between(f"opset{o}-MatMul", lambda n, x: n.matmul(x, 3, 4), shape=("N", 3), opset=o)
        for o in (7, 9, 13, 21)
    ),
    *(
        between(f"opset{o}-push", plain, lambda n, x: n.conv(x, 3, 4, bias=False), c=3, opset=o)
        for o in (7, 8, 9, 11, 13, 14, 15, 18, 21)
    ),
    *(
        between(f"opset{o}-momentum", lambda n, x: n.conv(x, 3, 4), opset=o, norm={"momentum": 0.5})
        for o in (7, 9, 13, 14)
    ),
    between("opset7-spatial-1", lambda n, x: n.conv(x, 3, 4), opset=7, norm={"spatial": 1}),
    _whole(
        "opset7-spatial-0-STAYS", 7, "axis-mismatch", "parameter-invalid", "not-yet", same=False
    ),
    _whole(
        "opset8-spatial-0-STAYS", 8, "axis-mismatch", "parameter-invalid", "not-yet", same=False
    ),
    _whole("opset7-spatial-0-same", 7, same=True),
    _dense("opset7-spatial-0-dense", 7),
    *(_old_training(f"opset{o}-five-outputs-STAYS", o) for o in (7, 9, 13)),
    *(_wide_statistics(f"opset{o}-double-statistics", o) for o in (15, 17)),
    between("opset21-ir11", lambda n, x: n.conv(x, 3, 4), opset=21, ir=11),
    between("opset13-ir4", lambda n, x: n.conv(x, 3, 4), opset=13, ir=4),
    between("opset13-ir3", lambda n, x: n.conv(x, 3, 4), opset=13, ir=3),
]
