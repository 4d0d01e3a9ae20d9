"""Where constants hide: every way a weight or a parameter may be written, and who may feed it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import helper

from tests.build import DOUBLE, tensor, value
from tests.folding.cases.case import Case, case
from tests.net import Net

Hide = Callable[[Net, np.ndarray], str]
OVERRIDABLE = ("parameter-overridable", "nonlinear-neighbours")


def constant_node(n: Net, a: np.ndarray) -> str:
    return n.const(a)


def value_floats(n: Net, a: np.ndarray) -> str:
    y = n.op("Constant", value_floats=a.ravel().tolist())
    return y if a.ndim == 1 else n.op("Reshape", y, n.ints(*a.shape))


def sparse(n: Net, a: np.ndarray) -> str:
    flat = a.astype(np.float32).ravel()
    parts = tensor("", flat), tensor("", np.arange(flat.size, dtype=np.int64))
    return n.op("Constant", sparse_value=helper.make_sparse_tensor(*parts, a.shape))


def identity(n: Net, a: np.ndarray) -> str:
    return n.op("Identity", n.op("Identity", n.init(a)))


def from_double(n: Net, a: np.ndarray) -> str:
    n.initializers.append(tensor(name := n.fresh("d"), a.astype(np.float64)))
    return n.op("Cast", name, to=1)


def reshaped(n: Net, a: np.ndarray) -> str:
    return n.op("Reshape", n.init(a.ravel()), n.const(np.array(a.shape, np.int64)))


def transposed(n: Net, a: np.ndarray) -> str:
    if a.ndim < 2:
        return identity(n, a)
    return n.op("Transpose", n.init(a.T), perm=list(range(a.ndim))[::-1])


def concatenated(n: Net, a: np.ndarray) -> str:
    return n.op("Concat", n.init(a[:1]), n.const(a[1:]), axis=0)


def sliced(n: Net, a: np.ndarray) -> str:
    wide = np.concatenate([a[:1], a, a[:1]])
    return n.op("Slice", n.init(wide), n.ints(1), n.ints(1 + len(a)), n.ints(0))


def computed(n: Net, a: np.ndarray) -> str:
    return n.op("Mul", n.op("Sub", n.init(a), n.init(np.zeros_like(a))), n.const(np.ones(())))


def squeezed(n: Net, a: np.ndarray) -> str:
    return n.op("Squeeze", n.op("Unsqueeze", n.init(a), n.ints(0)), n.ints(0))


def like_activation(n: Net, a: np.ndarray) -> str:
    """CastLike reads only the type of an activation."""
    n.initializers.append(tensor(name := n.fresh("d"), a.astype(np.float64)))
    return n.op("CastLike", name, "x")


def expanded(n: Net, a: np.ndarray) -> str:
    """Expand by a Shape: of a constant."""
    return n.op("Expand", n.init(a), n.op("Shape", n.init(a)))


HIDES: dict[str, Hide] = {
    "Constant": constant_node, "value_floats": value_floats, "sparse_value": sparse,
    "Identity": identity, "Cast": from_double, "Reshape": reshaped, "Transpose": transposed,
    "Concat": concatenated, "Slice": sliced, "arithmetic": computed, "Squeeze": squeezed,
    "CastLike": like_activation, "Expand-Shape": expanded,
}  # fmt: skip


def hidden(label: str, hide: Hide, *, what: str) -> Case:
    """Conv -> BN with the weight (and bias), or the parameters, behind `hide`."""
    net = Net(f"hidden-{what}-{label}")
    x = net.input(("N", 3, 6, 6))
    tensors: list[Any] = [net.random(4, 3, 3, 3), net.random(4)]
    norm = [net.rng.uniform(0.5, 2, 4), net.random(4), net.random(4), net.rng.uniform(0.3, 2, 4)]
    put = hide if what in ("weight", "all") else Net.init
    y = net.op("Conv", x, *(put(net, t) for t in tensors))
    put = hide if what in ("parameters", "all") else Net.init
    y = net.op("BatchNormalization", y, *(put(net, t) for t in norm))
    return case(net.out(y))


def gemm_hidden(label: str, hide: Hide) -> Case:
    net = Net(f"hidden-Gemm-{label}")
    x = net.input(("N", 3))
    y = net.op("Gemm", x, hide(net, net.random(3, 4)), hide(net, net.random(4)))
    return case(net.out(net.bn(y, 4)))


def of_shape(label: str) -> Case:
    """var = ConstantOfShape(1), mean = ConstantOfShape without a value."""
    net = Net(label)
    y = net.conv(net.input(("N", 3, 6, 6)), 3, 4)
    mean = net.op("ConstantOfShape", net.ints(4))
    var = net.op("ConstantOfShape", net.ints(4), value=tensor("", np.ones(1, np.float32)))
    return case(net.out(net.op("BatchNormalization", y, net.weight(4), net.weight(4), mean, var)))


def dynamo(label: str) -> Case:
    """The raw dynamo export: bias = Expand(CastLike(0, x), Expand(Shape(weight)[0:1], [1]))."""
    net = Net(label)
    x, w = net.input(("N", 3, 6, 6)), net.weight(4, 3, 3, 3)
    zero = net.op("CastLike", net.const(np.zeros(())), x)
    count = net.op("Expand", net.op("Shape", w, start=0, end=1), net.ints(1))
    y = net.op("Conv", x, w, net.op("Expand", zero, count))
    one = net.op("Expand", net.op("CastLike", net.const(np.ones(())), y), count)
    return case(net.out(net.op("BatchNormalization", y, one, net.weight(4), net.weight(4), one)))


def integer_parameters(label: str) -> Case:
    """gamma from value_ints, value_int and Cast."""
    net = Net(label)
    y = net.conv(net.input(("N", 3, 6, 6)), 3, 4)
    gamma = net.op("Cast", net.op("Constant", value_ints=[1, 2, 3, 4]), to=1)
    half = net.op("Constant", value_float=0.5)
    var = net.op(
        "Add", net.op("Mul", gamma, half), net.op("Cast", net.op("Constant", value_int=1), to=1)
    )
    return case(net.out(net.op("BatchNormalization", y, gamma, net.weight(4), net.weight(4), var)))


def overridable(label: str, slot: str, *codes: str, ir: int = 8) -> Case:
    """One of w, b, gamma, beta, mean, var (or none of them) is an input with a default."""
    net = Net(label, ir=ir)
    y = net.bn(net.conv(net.input(("N", 3, 6, 6)), 3, 4, bias=True), 4, out="y")
    names = dict(zip(("w", "b"), [t.name for t in net.initializers[:2]], strict=True))
    names |= {k: f"y.{k}" for k in ("scale", "bias", "mean", "var")}
    if slot == "unrelated":
        y = net.op("Mul", net.op("Sigmoid", y), net.init(net.random(4, 1, 1), "unrelated"))
        names["unrelated"] = "unrelated"
    given = {t.name: t for t in net.initializers}
    for k in names if slot == "all" else [slot]:
        t = given[names[k]]
        net.inputs.append(value(t.name, list(t.dims)))
    return case(net.out(y), *codes)


def unused(label: str) -> Case:
    """An initializer that nothing reads stays in the file."""
    net = Net(label)
    y = net.bn(net.conv(net.input(("N", 3, 6, 6)), 3, 4), 4)
    net.init(net.random(7), "nobody_reads_this")
    return case(net.out(y))


def old_ir(label: str, opset: int, *, push: bool = False) -> Case:
    """IR 3: weights are inputs too, and are constants; new ones must be listed too."""
    net = Net(label, opset, ir=3)
    x = net.input(("N", 3, 6, 6))
    if push:
        return case(net.out(net.conv(net.bn(x, 3), 3, 4, bias=False)))
    return case(net.out(net.bn(net.conv(x, 3, 4, bias=False), 4)))


def dynamic(label: str, slot: int) -> Case:
    """A parameter from outside, or (slot 5) a mean computed from the input."""
    net = Net(label)
    y = net.conv(net.input(("N", 3, 6, 6)), 3, 4)
    mean = net.op("ReduceMean", "x", axes=[0, 1, 2, 3], keepdims=0)
    mean = net.op("Expand", mean, net.ints(4))
    y = net.bn(y, 4)
    net.nodes[-1].input[3 if slot == 5 else slot] = mean if slot == 5 else net.input((4,), "p")
    rng = np.random.default_rng(1)
    feeds = {"x": rng.normal(size=(3, 3, 6, 6)), "p": rng.uniform(0.5, 2, 4)}
    if slot == 5:
        del feeds["p"]
    return case(net.out(y), "parameter-not-constant", feeds=feeds)


def double_model(label: str) -> Case:
    """float64 throughout."""
    net = Net(label)
    net.dtype = np.float64
    x = net.input(("N", 3, 6, 6), dtype=DOUBLE)
    y = net.conv(net.bn(net.conv(x, 3, 4, pads=[1] * 4), 4), 4, 4)
    y = net.op("Flatten", net.op("GlobalAveragePool", net.bn(y, 4)))
    return case(net.out(net.bn(net.gemm(y, 4, 3), 3)))


SLOTS = ("w", "b", "scale", "bias", "mean", "var", "all")
ROWS: list[Case] = [
    *(hidden(k, h, what=w) for k, h in HIDES.items() for w in ("weight", "parameters", "all")),
    *(gemm_hidden(k, HIDES[k]) for k in ("Transpose", "Constant", "Reshape", "Identity", "Cast")),
    of_shape("hidden-ConstantOfShape"),
    dynamo("hidden-dynamo"),
    integer_parameters("hidden-integers"),
    *(overridable(f"overridable-{s}-STAYS", s, *OVERRIDABLE) for s in SLOTS),
    overridable("overridable-unrelated", "unrelated"),
    overridable("overridable-ir4-STAYS", "w", *OVERRIDABLE, ir=4),
    unused("unused-initializer"),
    *(old_ir(f"ir3-opset{o}", o) for o in (7, 9, 13)),
    old_ir("ir3-push", 9, push=True),
    *(dynamic(f"dynamic-parameter-{i}-STAYS", i) for i in range(1, 6)),
    double_model("float64"),
]
