"""A BatchNorm behind an If, and constants that its branches capture."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import helper

from tests.build import BOOL, batchnorm, node, tensor, value
from tests.folding.cases.case import EDGE, Case, case
from tests.net import Net


def captured_weights(label: str, *, ir: int) -> Case:
    """Convolutions and BatchNorms in branches, their constants captured: in IR 3, inputs too."""
    net = Net(label, 9, ir=ir)
    x, cond, bodies = net.input((2, 3, 6, 6)), net.input((), "cond", BOOL), {}
    for k in ("then_branch", "else_branch"):
        norm, consts = batchnorm(f"{k}_c", f"{k}_y", 4, net.rng)
        conv = node("Conv", [x, net.weight(4, 3, 1, 1)], f"{k}_c")
        net.initializers += consts
        bodies[k] = helper.make_graph([conv, norm], k, [], [value(f"{k}_y", (2, 4, 6, 6))])
    net.out(value(net.op("If", cond, **bodies), (2, 4, 6, 6)))
    if ir < 4:
        net.inputs += [value(t.name, list(t.dims)) for t in net.initializers]
    return case(net)


def outside_if(
    label: str, *codes: str, ends: tuple[str, str] = ("Identity", "Identity"), read: bool = False,
    params: str = "", nested: bool = False, tail: bool = False, **norm: Any,
) -> Case:  # fmt: skip
    """BatchNorm behind an If whose branches are Convs, each with one more operator behind it."""
    net = Net(label)
    x, cond = net.input((2, 3, 6, 6)), net.input((), "cond", BOOL)
    shape = (2, 4, 6, 6)
    bodies = {}
    for k, end in zip(("then_branch", "else_branch"), ends, strict=True):
        made = [node("Conv", [x, f"{k}_w"], f"{k}_c"), node(end, [f"{k}_c"], f"{k}_y")]
        w = tensor(f"{k}_w", net.random(4, 3, 1, 1).astype(np.float32))
        bodies[k] = helper.make_graph(made, k, [], [value(f"{k}_y", shape)], [w])
    if nested:
        inner = node("If", [cond], "inner", **bodies)
        for k in list(bodies):
            made = [node("Conv", [x, f"outer_{k}_w"], f"outer_{k}")] if k[0] == "e" else [inner]
            w = tensor(f"outer_{k}_w", net.random(4, 3, 1, 1).astype(np.float32))
            bodies[k] = helper.make_graph(made, k, [], [value(made[0].output[0], shape)], [w])
    y = net.op("If", cond, **bodies)
    z = net.bn(y, 4, **norm)
    if params == "computed":
        made_bn = net.nodes.pop()
        made_bn.input[1] = net.op("Mul", made_bn.input[1], net.input((4,), "z"))
        net.nodes.append(made_bn)
    net.out(*([y] if read else []), net.op("Relu", z) if tail else z)
    return case(net, *codes, **({"stay": 1} if codes else {}))


ROWS: list[Case] = [
    captured_weights("If-ir3-captured-weights", ir=3),
    captured_weights("If-captured-weights", ir=8),
    outside_if("If-branches-are-Convs"),
    outside_if("If-branches-are-Convs-and-on", tail=True),
    outside_if("If-branches-nested", nested=True),
    outside_if("If-branches-Relu-pure", ends=("Relu", "Identity"), positive=True, shift=False),
    outside_if("If-branch-Relu-STAYS", "not-yet", ends=("Relu", "Identity")),
    outside_if("If-branch-Sigmoid-STAYS", "not-yet", ends=("Identity", "Sigmoid")),
    outside_if("If-output-read-STAYS", "not-yet", *EDGE, read=True),
    outside_if("If-parameter-computed-STAYS", "parameter-not-constant", params="computed"),
]
