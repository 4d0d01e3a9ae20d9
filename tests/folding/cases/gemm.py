"""Pull into Gemm and MatMul."""

from __future__ import annotations

import numpy as np

from tests.folding.cases.case import ANY, Case, between, case, either
from tests.net import Net

UNIFORM = (np.full(4, -1.5), np.full(4, 0.7), np.full(4, 0.2), np.full(4, 0.9))
NO_SHIFT = {"shift": False}
C_SHAPES = {
    "absent": None, "scalar": (), "1": (1,), "N": (4,), "1xN": (1, 4), "1x1": (1, 1),
    "Mx1": (5, 1), "MxN": (5, 4),
}  # fmt: skip


def _gemm_c(label: str, shape: tuple[int, ...] | None, **attrs: object) -> Case:
    net = Net(label)
    tail = [] if shape is None else [net.weight(*shape)]
    y = net.op("Gemm", net.input((5, 3)), net.weight(3, 4), *tail, **attrs)
    return case(net.out(net.bn(y, 4)))


def _dynamic_c(label: str, *codes: str, produced: bool) -> Case:
    """C from a Gemm is a branch of an Add; from the graph's input it cannot be scaled."""
    net = Net(label)
    x, z = net.input(("N", 3)), net.input(("N", 4), "z")
    c = net.gemm(z, 4, 4) if produced else z
    y = net.op("Gemm", x, net.weight(3, 4), c, alpha=0.7, beta=0.4)
    return case(net.out(net.bn(y, 4)), *codes)


def _constant_a(label: str, *codes: str, flipped: bool = False, **norm: object) -> Case:
    """A is the constant: the BatchNorm's axis is B's, unless a Transpose follows."""
    net = Net(label)
    y = net.op("Gemm", net.weight(4, 3), net.input((3, 4)), net.weight(4, 1))
    y = net.op("Transpose", y, perm=[1, 0]) if flipped else y
    return case(net.out(net.bn(y, 4, **norm)), *codes)


def _product(
    label: str,
    shape: tuple[int | str, ...],
    constant: tuple[int, ...],
    *codes: str,
    side: str = "right",
    perm: list[int] | None = None,
    bias: tuple[int, ...] | None = None,
    c: int = 4,
    **norm: object,
) -> Case:
    net = Net(label)
    x, w = net.input(shape), net.weight(*constant)
    y = net.op("MatMul", *((x, w) if side == "right" else (w, x)))
    if bias is not None:
        y = net.op("Add", y, net.weight(*bias))
    y = net.op("Transpose", y, perm=perm) if perm else y
    return case(net.out(net.bn(y, c, **norm)), *codes)


def _bias_first(label: str) -> Case:
    net = Net(label)
    y = net.op("Add", net.weight(4), net.matmul(net.input(("N", 3)), 3, 4))
    return case(net.out(net.bn(y, 4)))


def _two_dynamic(label: str, *codes: str, **norm: object) -> Case:
    """MatMul(dynamic, dynamic), t = 0: s goes onto the operand that carries the axis."""
    net = Net(label)
    a = net.gemm(net.input((5, 3), "a"), 3, 6)
    b = net.gemm(net.input((6, 3), "b"), 3, 4)
    y = net.bn(net.op("MatMul", a, b), 4, **norm)
    return case(net.out(y), *codes) if codes else either(net.out(y), exact=True)


def _graph_convolution(label: str, *shape: int | str) -> Case:
    """adj (x W) + b -> BatchNorm: s goes into W past adj, t into b, which must not go first."""
    net = Net(label)
    nodes = shape[-2]
    x, adjacency = net.input(shape), net.input((*shape[:-2], nodes, nodes), "adj")
    x = net.op("Add", net.op("MatMul", adjacency, net.matmul(x, 3, 4)), net.weight(4))
    x = net.op("Transpose", x, perm=[0, 2, 1]) if len(shape) == 3 else x
    return case(net.out(net.op("Relu", net.bn(x, 4))))


MISMATCH = ("axis-mismatch",)
ROWS: list[Case] = [
    *(_gemm_c(f"Gemm-C-{k}", s) for k, s in C_SHAPES.items()),
    *(_gemm_c(f"Gemm-C-{k}-alpha-beta", s, alpha=0.7, beta=0.3) for k, s in C_SHAPES.items()),
    _gemm_c("Gemm-beta-zero", (4,), beta=0.0),
    _gemm_c("Gemm-beta-zero-absent", None, beta=0.0),
    _gemm_c("Gemm-alpha-zero", (4,), alpha=0.0),
    _gemm_c("Gemm-beta-negative", (5, 4), beta=-2.0),
    between("Gemm-transB", lambda n, x: n.gemm(x, 3, 4, transB=1, alpha=0.7), shape=("N", 3)),
    between("Gemm-transB-square", lambda n, x: n.gemm(x, 4, 4, transB=1), shape=("N", 4)),
    between("Gemm-square", lambda n, x: n.gemm(x, 4, 4), shape=("N", 4)),
    between("Gemm-transA", lambda n, x: n.gemm(x, 3, 4, transA=1), shape=(3, 5)),
    between("Gemm-transA-transB", lambda n, x: n.gemm(x, 3, 4, transA=1, transB=1), shape=(3, 5)),
    between("Gemm-empty-C", lambda n, x: n.gemm(x, 3, 4, "empty"), shape=("N", 3)),
    between("Gemm-chain", lambda n, x: n.gemm(n.bn(n.gemm(x, 3, 4), 4), 4, 4), shape=("N", 3)),
    _dynamic_c("Gemm-C-from-Gemm", produced=True),
    _dynamic_c("Gemm-C-from-input-STAYS", *ANY, produced=False),
    _constant_a("Gemm-constant-A-STAYS", *MISMATCH),
    _constant_a("Gemm-constant-A-Transpose", flipped=True),
    _constant_a("Gemm-constant-A-uniform", parameters=UNIFORM),
    _product("MatMul-2", ("N", 3), (3, 4)),
    _product("MatMul-2-square", ("N", 4), (4, 4)),
    _product("MatMul-2-no-shift", ("N", 3), (3, 4), shift=False),
    *(
        _product(f"MatMul-2-Add-{'x'.join(map(str, b)) or 'scalar'}", (5, 3), (3, 4), bias=b)
        for b in ((4,), (1, 4), (), (1,), (5, 1), (5, 4))
    ),
    _bias_first("MatMul-2-Add-bias-first"),
    _product("MatMul-3-Transpose", ("N", 5, 3), (3, 4), perm=[0, 2, 1]),
    _product("MatMul-3-Add-Transpose", ("N", 5, 3), (3, 4), perm=[0, 2, 1], bias=(4,)),
    _product("MatMul-4-Transpose", ("N", 2, 5, 3), (3, 4), perm=[0, 3, 1, 2]),
    _product(
        "MatMul-4-Add-Transpose", ("N", 2, 5, 3), (3, 4), perm=[0, 3, 1, 2], bias=(1, 1, 1, 4)
    ),
    # axis 1 is the rows', though the lengths agree
    _product("MatMul-3-rows-STAYS", ("N", 4, 3), (3, 4), *MISMATCH),
    _product("MatMul-3-rows-Add-STAYS", ("N", 4, 3), (3, 4), *MISMATCH, bias=(4,)),
    _product("MatMul-4-rows-STAYS", ("N", 4, 5, 3), (3, 4), *MISMATCH),
    _product("MatMul-3-uniform-Add", ("N", 4, 3), (3, 5), bias=(5,), parameters=UNIFORM),
    _product("MatMul-3-uniform", ("N", 4, 3), (3, 5), parameters=UNIFORM),
    _product("MatMul-3-left", ("N", 3, 5), (4, 3), side="left"),
    _product("MatMul-3-left-Add", ("N", 3, 5), (4, 3), side="left", bias=(4, 1)),
    _product("MatMul-3-left-batched", ("N", 3, 5), (1, 4, 3), side="left"),
    _product("MatMul-2-left-STAYS", (3, 4), (4, 3), *MISMATCH, side="left"),
    _product("MatMul-2-left-Transpose", (3, 5), (4, 3), side="left", perm=[1, 0]),
    _product("MatMul-4-left-STAYS", ("N", 4, 3, 5), (4, 3), *MISMATCH, side="left"),
    _product("MatMul-4-batch-axis", ("N", 4, 5, 3), (4, 3, 6)),
    _product("MatMul-4-batch-axis-Add", ("N", 4, 5, 3), (4, 3, 6), bias=(4, 1, 1)),
    _product("MatMul-4-batch-axis-left", ("N", 4, 3, 5), (4, 6, 3), side="left"),
    # the constant would have to grow from extent 1 to extent C
    _product("MatMul-4-batch-axis-1-STAYS", ("N", 4, 5, 3), (1, 3, 6), *ANY),
    _graph_convolution("MatMul-graph-convolution", 6, 3),
    _graph_convolution("MatMul-graph-convolution-batched", "N", 6, 3),
    _two_dynamic("MatMul-dynamic-no-shift", shift=False),
    _two_dynamic(
        "MatMul-dynamic-STAYS", "nonlinear-neighbours", "axis-mismatch", "operator-unknown"
    ),
]
