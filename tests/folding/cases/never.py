"""What must never fold, and says why."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.build import value
from tests.folding.cases.case import Build, Case, between, case, either, plain
from tests.net import Net

INVALID = ("parameter-invalid",)
RANGE = ("number-range", "parameter-invalid")
GOOD = {"scale": [1.0, 2, -1, 3], "bias": [0.5] * 4, "mean": [0.1] * 4, "var": [1.0] * 4}


def broken(
    label: str, *, eps: float | None = None, codes: tuple[str, ...] = INVALID, **parts: Any
) -> Case:
    """Conv -> BatchNorm with one parameter that is no number, or makes none."""
    parameters = tuple({**GOOD, **parts}.values())
    norm = {"parameters": parameters, "eps": eps}
    return between(f"never-{label}", lambda n, x: n.conv(x, 3, 4), None, *codes, norm=norm)


def training(
    label: str, outputs: int, *, read: bool = False, momentum: float | None = None
) -> Case:
    """training_mode=1, with 1 or 3 outputs (read or not): statistics of the batch."""
    net = Net(label)
    y = net.bn(net.conv(net.input((2, 3, 6, 6)), 3, 4), 4, training_mode=1, momentum=momentum)
    net.nodes[-1].output.extend(["running_mean", "running_var"][: outputs - 1])
    net.out(value(y, (2, 4, 4, 4)), *([value("running_mean", (4,))] if read else []))
    return case(net, "training-mode", flawed=outputs == 1)


def training_beside(label: str) -> Case:
    """One trains and stays; the others fold."""
    net = Net(label)
    y = net.bn(net.conv(net.input((2, 3, 9, 9)), 3, 4), 4)
    y = net.bn(net.conv(net.op("Relu", y), 4, 4), 4, training_mode=1)
    y = net.bn(net.conv(net.op("Relu", y), 4, 4), 4)
    return case(net.out(value(y, (2, 4, 3, 3))), "training-mode", stay=1, flawed=True)


def training_then_affine(label: str) -> Case:
    """A training BatchNorm's own scale and bias may take a following map; it itself stays."""
    net = Net(label)
    y = net.bn(net.conv(net.input((2, 3, 6, 6)), 3, 4), 4, training_mode=1)
    net.options["value_info"] = [value(y, (2, 4, 4, 4))]
    net.out(value(net.op("Relu", net.bn(y, 4)), (2, 4, 4, 4)))
    return case(net, "training-mode", "not-yet", "nonlinear-neighbours", flawed=True)


def huge(
    label: str, *, weight: float, gamma: float, var: float, eps: float, mean: float = 0.0
) -> Case:
    """A finite model whose folded constants leave float32."""
    net = Net(label)
    w = net.random(4, 3, 3, 3) * weight
    y = net.conv(net.input((2, 3, 6, 6)), 3, 4, weight=w, bias=False)
    y = net.bn(y, 4, parameters=([gamma] * 4, [0.0] * 4, [mean] * 4, [var] * 4), eps=eps)
    return case(net.out(y), *RANGE)


def custom_norm(label: str) -> Case:
    """The name BatchNormalization in another domain is another operator."""
    net = Net(label, extra_opsets=[("test.custom", 1)])
    y = net.conv(net.input(("N", 3, 6, 6)), 3, 4)
    for name in ("a", "b", "c", "d"):
        net.weight(4, name=name)
    y = net.op("BatchNormalization", y, "a", "b", "c", "d", domain="test.custom")
    return case(net.out(value(y, ("N", 4, 4, 4))))


def between_nonlinear(label: str, up: Build, down: Build, *codes: str) -> Case:
    return between(f"never-{label}", up, down, *codes, c=3)


def square_width(label: str, *ops: str) -> Case:
    """W == C: a constant of shape (W,) lies along width, though it would fit the channels."""
    net = Net(label)
    y = net.conv(net.input((1, 3, 5, 5)), 3, 3)
    for op in ops:
        y = net.op(op, y, net.weight(3))
    net.out(net.bn(y, 3))  # Mul and Add may take (C, 1, W) constants and absorb it: exact
    return case(net, "axis-mismatch", "nonlinear-neighbours") if len(ops) < 2 else either(net)


def op(kind: str, **attrs: Any) -> Build:
    return lambda n, x: n.op(kind, x, **attrs)


EDGE = ("nonlinear-neighbours", "value-used-elsewhere")
ROWS: list[Case] = [
    training("never-training-1-output", 1),
    training("never-training-3-outputs", 3),
    training("never-training-3-outputs-read", 3, read=True),
    training("never-training-momentum-1", 1, momentum=1.0),
    training_beside("never-training-beside"),
    training_then_affine("never-training-then-norm"),
    custom_norm("never-foreign-BatchNormalization"),
    broken("negative-variance", var=[1.0, -1.0, 1, 1]),
    broken("variance-minus-eps", var=[1.0, -1e-3, 1, 1], eps=1e-3),
    broken("var-and-eps-zero", var=[1.0, 0.0, 1, 1], eps=0.0),
    broken("var-nan", var=[1.0, np.nan, 1, 1]),
    broken("var-inf", var=[1.0, np.inf, 1, 1]),
    broken("gamma-inf", scale=[1.0, np.inf, 1, 1]),
    broken("gamma-nan", scale=[1.0, np.nan, 1, 1]),
    broken("beta-inf", bias=[1.0, -np.inf, 1, 1]),
    broken("mean-nan", mean=[1.0, np.nan, 1, 1]),
    broken("mean-inf", mean=[1.0, np.inf, 1, 1]),
    huge("never-overflow-weight", weight=1e20, gamma=1e15, var=1e-12, eps=1e-12),
    huge("never-overflow-shift", weight=1.0, gamma=1e20, var=1e-12, eps=1e-12, mean=1e20),
    square_width("never-width-Mul", "Mul"),
    square_width("never-width-Mul-Add", "Mul", "Add"),
    between_nonlinear("input-to-output", plain, plain, *EDGE),
    between_nonlinear("Sigmoid-both-sides", op("Sigmoid"), op("Tanh"), *EDGE),
    between_nonlinear("input-to-Softmax", plain, op("Softmax", axis=2), *EDGE, "axis-mismatch"),
    between_nonlinear(
        "input-to-padded-Conv", plain, lambda n, x: n.conv(x, 3, 4, pads=[1] * 4), "padding-shift"
    ),
    between_nonlinear(
        "Sigmoid-to-padded-Conv",
        op("Sigmoid"),
        lambda n, x: n.conv(x, 3, 4, pads=[0, 1, 0, 1]),
        "padding-shift",
    ),
    between_nonlinear("input-to-Argmax", plain, op("ArgMax", axis=1), *EDGE, "axis-mismatch"),
]
