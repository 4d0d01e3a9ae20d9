"""Scopes: right whatever becomes of them."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper

from tests.build import BOOL, INT64, batchnorm, node, tensor, value
from tests.folding.cases.case import Case, either
from tests.net import Net


def _body(
    net: Net, name: str, source: str, *, stay: bool = False
) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Conv -> BatchNorm inside a body."""
    w = tensor(f"{name}_w", net.random(3, 3, 1, 1).astype(np.float32))
    made, consts = batchnorm(source if stay else f"{name}_c", f"{name}_y", 3, net.rng)
    nodes = [made] if stay else [node("Conv", [source, w.name], f"{name}_c"), made]
    return nodes, [*consts] if stay else [w, *consts]


def in_if(label: str, *, both: bool = False, outer: bool = False, bare: bool = False) -> Case:
    """BatchNorms inside If branches; `outer`: the Conv is captured from outside."""
    net = Net(label)
    x, cond = net.input((2, 3, 6, 6)), net.input((), "cond", BOOL)
    source = net.conv(x, 3, 3, 1) if outer else x
    bodies = {}
    for i, k in enumerate(("then_branch", "else_branch")):
        nodes, inits = _body(net, k, source, stay=bare or outer)
        if i and not both:
            nodes, inits = [node("Neg", [source], f"{k}_y")], []
        out = value(f"{k}_y", (2, 3, 6, 6))
        bodies[k] = helper.make_graph(nodes, k, [], [out], inits)
    return either(net.out(net.op("If", cond, **bodies)))


def outside_if(label: str) -> Case:
    """BatchNorm behind an If whose branches are Convs."""
    net = Net(label)
    x, cond = net.input((2, 3, 6, 6)), net.input((), "cond", BOOL)
    bodies = {
        k: helper.make_graph(
            [node("Conv", [x, f"{k}_w"], f"{k}_y")], k, [], [value(f"{k}_y", (2, 4, 6, 6))],
            [tensor(f"{k}_w", net.random(4, 3, 1, 1).astype(np.float32))],
        )
        for k in ("then_branch", "else_branch")
    }  # fmt: skip
    return either(net.out(net.bn(net.op("If", cond, **bodies), 4)))


def in_loop(label: str, *, after: bool = False) -> Case:
    """Conv -> BN as a Loop's body, and (fault 16) once more behind it."""
    net = Net(label)
    x = net.input((2, 3, 6, 6))
    nodes, inits = _body(net, "loop", "state")
    inputs = [value("i", (), INT64), value("cond_in", (), BOOL), value("state", (2, 3, 6, 6))]
    nodes.append(node("Identity", ["cond_in"], "cond_out"))
    body = helper.make_graph(
        nodes, "body", inputs, [value("cond_out", (), BOOL), value("loop_y", (2, 3, 6, 6))], inits
    )
    y = net.op("Loop", net.init(np.array(2)), net.init(np.array(True)), x, body=body)
    if after:
        y = net.bn(net.conv(y, 3, 4), 4)
    return either(net.out(value(y, (2, 4, 4, 4) if after else (2, 3, 6, 6))))


def in_scan(label: str) -> Case:
    net = Net(label)
    x = net.input((4, 2, 3, 6, 6))
    nodes, inits = _body(net, "scan", "item")
    body = helper.make_graph(
        nodes, "body", [value("item", (2, 3, 6, 6))], [value("scan_y", (2, 3, 6, 6))], inits
    )
    return either(net.out(net.op("Scan", x, body=body, num_scan_inputs=1)))


def in_function(label: str, *, calls: int, constants: bool) -> Case:
    """A local function of Conv and BatchNorm, their constants inside or arguments."""
    net = Net(label, extra_opsets=[("local", 1)])
    net.options["functions"] = [_function(net, constants=constants)]
    x = net.input((2, 3, 6, 6))
    outs = []
    for _ in range(calls):
        extra = (
            []
            if constants
            else [net.weight(3, 3, 1, 1), *(net.init(net.rng.uniform(0.5, 2, 3)) for _ in range(4))]
        )
        outs.append(value(net.op("Block", x, *extra, domain="local"), (2, 3, 6, 6)))
    return either(net.out(*outs))


def _function(net: Net, *, constants: bool) -> onnx.FunctionProto:
    names = ["w", "s", "b", "m", "v"]
    nodes = [
        node("Conv", ["x", "w"], "c"),
        node("BatchNormalization", ["c", "s", "b", "m", "v"], "y"),
    ]
    if constants:
        data = [net.random(3, 3, 1, 1), *(net.rng.uniform(0.5, 2, 3) for _ in range(4))]
        made = zip(names, data, strict=True)
        nodes = [
            node("Constant", [], n, value=tensor("", d.astype(np.float32))) for n, d in made
        ] + nodes
    inputs = ["x"] if constants else ["x", *names]
    return helper.make_function(
        "local", "Block", inputs, ["y"], nodes, [helper.make_opsetid("", 17)]
    )


ROWS: list[Case] = [
    in_if("If-one-branch"),
    in_if("If-both-branches", both=True),
    in_if("If-captured-Conv", outer=True),
    in_if("If-bare-norms", both=True, bare=True),
    outside_if("If-branches-are-Convs"),
    in_loop("Loop-body"),
    in_loop("Loop-body-and-after", after=True),
    in_scan("Scan-body"),
    *(
        in_function(f"function-{n}-{'constants' if c else 'arguments'}", calls=n, constants=c)
        for n in (1, 2)
        for c in (True, False)
    ),
]
