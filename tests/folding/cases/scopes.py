"""BatchNorms in bodies of If, Loop and Scan, and in local functions."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper

from tests.build import BOOL, INT64, batchnorm, node, tensor, value
from tests.folding.cases.case import EDGE, Case, case
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
    codes = ("value-used-elsewhere",) if outer or bare else ()
    return case(net.out(net.op("If", cond, **bodies)), *codes)


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
    return case(net.out(value(y, (2, 4, 4, 4) if after else (2, 3, 6, 6))))


def in_scan(label: str) -> Case:
    net = Net(label)
    x = net.input((4, 2, 3, 6, 6))
    nodes, inits = _body(net, "scan", "item")
    body = helper.make_graph(
        nodes, "body", [value("item", (2, 3, 6, 6))], [value("scan_y", (2, 3, 6, 6))], inits
    )
    return case(net.out(net.op("Scan", x, body=body, num_scan_inputs=1)))


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
    return case(net.out(*outs))


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


def body(nodes: list[onnx.NodeProto], net: Net, shape: tuple[int, ...], **how: Any) -> Any:
    """A body that gives its last node's output."""
    out = value(nodes[-1].output[0], shape)
    return helper.make_graph(nodes, "body", how.get("inputs", []), [out], how.get("inits", []))


def captured_constants(label: str, *, shared: bool) -> Case:
    """Every constant stands outside; `shared`: the main graph reads the weight as well."""
    net = Net(label)
    x, cond = net.input((2, 3, 6, 6)), net.input((), "cond", BOOL)
    w = net.weight(3, 3, 1, 1)
    norms = [[net.init(net.rng.uniform(0.5, 2, 3)) for _ in range(4)] for _ in range(2)]
    bodies = {}
    for k, (branch, norm) in enumerate(zip(("then_branch", "else_branch"), norms, strict=True)):
        nodes = [
            node("Conv", [x, w], f"c{k}"),
            node("BatchNormalization", [f"c{k}", *norm], f"y{k}"),
        ]
        bodies[branch] = body(nodes, net, (2, 3, 6, 6))
    y = net.op("If", cond, **bodies)
    return case(net.out(net.op("Add", net.op("Conv", x, w), y) if shared else y))


def computed_outside(label: str) -> Case:
    """A Conv in the body reads a Constant node and an Identity of an initializer outside."""
    net = Net(label)
    x, cond = net.input((2, 3, 6, 6)), net.input((), "cond", BOOL)
    w, b = net.const(net.random(3, 3, 1, 1)), net.op("Identity", net.weight(3))
    made, inits = batchnorm("c", "y", 3, net.rng)
    taken = body([node("Conv", [x, w, b], "c"), made], net, (2, 3, 6, 6), inits=inits)
    other = body([node("Neg", [x], "n")], net, (2, 3, 6, 6))
    return case(net.out(net.op("If", cond, then_branch=taken, else_branch=other)))


def captured_result(label: str) -> Case:
    """A Conv outside, its result captured: the BatchNorm behind it outside must not change it."""
    net = Net(label)
    x, cond = net.input((2, 3, 6, 6)), net.input((), "cond", BOOL)
    c = net.conv(x, 3, 3, 1)
    taken = body([node("Relu", [c], "r")], net, (2, 3, 6, 6))
    other = body([node("Neg", [c], "n")], net, (2, 3, 6, 6))
    y = net.op("If", cond, then_branch=taken, else_branch=other)
    return case(net.out(net.op("Add", net.op("Relu", net.bn(c, 3)), y)), *EDGE, stay=1)


def nested(label: str) -> Case:
    """An If in a Loop in the main graph; the weight stands in the outermost."""
    net = Net(label)
    x, w = net.input((2, 3, 6, 6)), net.weight(3, 3, 1, 1)
    made, inits = batchnorm("c", "inner", 3, net.rng)
    taken = body([node("Conv", ["state", w], "c"), made], net, (2, 3, 6, 6), inits=inits)
    other = body([node("Neg", ["state"], "n")], net, (2, 3, 6, 6))
    choose = node("If", ["cond_in"], "next", then_branch=taken, else_branch=other)
    inputs = [value("i", (), INT64), value("cond_in", (), BOOL), value("state", (2, 3, 6, 6))]
    loop = helper.make_graph(
        [choose, node("Identity", ["cond_in"], "cond_out")], "loop", inputs,
        [value("cond_out", (), BOOL), value("next", (2, 3, 6, 6))],
    )  # fmt: skip
    y = net.op("Loop", net.init(np.array(2)), net.init(np.array(True)), x, body=loop)
    return case(net.out(value(net.op("Relu", y), (2, 3, 6, 6))))


def carried(label: str) -> Case:
    """A BatchNorm right on the state that a Loop carries: neither border may change."""
    net = Net(label)
    made, inits = batchnorm("state", "next", 3, net.rng)
    inputs = [value("i", (), INT64), value("cond_in", (), BOOL), value("state", (2, 3, 6, 6))]
    loop = helper.make_graph(
        [made, node("Identity", ["cond_in"], "cond_out")], "loop", inputs,
        [value("cond_out", (), BOOL), value("next", (2, 3, 6, 6))], inits,
    )  # fmt: skip
    x = net.input((2, 3, 6, 6))
    y = net.op("Loop", net.init(np.array(2)), net.init(np.array(True)), x, body=loop)
    return case(net.out(value(y, (2, 3, 6, 6))), *EDGE, stay=1)


def function(name: str, inputs: list[str], nodes: list[onnx.NodeProto], **how: Any) -> Any:
    """A local function with the output y."""
    opsets = [helper.make_opsetid("", how.get("opset", 17)), helper.make_opsetid("local", 1)]
    return helper.make_function(
        "local", name, inputs, ["y"], nodes, opsets, how.get("attributes", [])
    )


PARTS = ["s", "b", "m", "v"]


def norm_function() -> onnx.FunctionProto:
    """FrozenNorm(x, s, b, m, v), its epsilon an attribute of the call."""
    made = node("BatchNormalization", ["x", *PARTS], "y")
    made.attribute.add(name="epsilon", ref_attr_name="eps", type=onnx.AttributeProto.FLOAT)
    return function("FrozenNorm", ["x", *PARTS], [made], attributes=["eps"])


def called(label: str, *behind: str, eps: float = 1e-3) -> Case:
    """FrozenNorm called behind each of these operators; a Sigmoid cannot take it."""
    net = Net(label, extra_opsets=[("local", 1)], functions=[norm_function()])
    y = net.input((2, 3, 6, 6))
    for op in behind:
        y = net.conv(y, 3, 3, 1) if op == "Conv" else net.op(op, y)
        parts = [net.init(net.rng.uniform(0.5, 2, 3)) for _ in range(4)]
        y = net.op("Relu", net.op("FrozenNorm", y, *parts, domain="local", eps=eps))
    stays = sum(op != "Conv" for op in behind)
    return case(net.out(value(y, (2, 3, 6, 6))), *(EDGE if stays else ()), stay=min(stays, 1))


def nested_functions(label: str) -> Case:
    """A function that calls FrozenNorm behind a Conv, twice with other weights."""
    inner = node("FrozenNorm", ["c", *PARTS], "n", domain="local", eps=0.01)
    nodes = [node("Conv", ["x", "w"], "c"), inner, node("Relu", ["n"], "y")]
    outer = function("Block", ["x", "w", *PARTS], nodes)
    net = Net(label, extra_opsets=[("local", 1)], functions=[norm_function(), outer])
    y = net.input((2, 3, 6, 6))
    for _ in range(2):
        parts = [net.init(net.rng.uniform(0.5, 2, 3)) for _ in range(4)]
        y = net.op("Block", y, net.weight(3, 3, 1, 1), *parts, domain="local")
    return case(net.out(value(y, (2, 3, 6, 6))))


def plain_function(label: str) -> Case:
    """A function without a BatchNorm stays a function, and a BatchNorm behind it stays."""
    double = function("Double", ["x"], [node("Add", ["x", "x"], "y")])
    net = Net(label, extra_opsets=[("local", 1)], functions=[double])
    y = net.bn(net.conv(net.input((2, 3, 6, 6)), 3, 3, 1), 3)
    y = net.op("Double", y, domain="local")
    return case(net.out(value(net.op("Relu", y), (2, 3, 6, 6))))


ROWS: list[Case] = [
    in_if("If-one-branch"),
    in_if("If-both-branches", both=True),
    in_if("If-captured-Conv", outer=True),
    in_if("If-bare-norms", both=True, bare=True),
    in_loop("Loop-body"),
    in_loop("Loop-body-and-after", after=True),
    in_scan("Scan-body"),
    *(
        in_function(f"function-{n}-{'constants' if c else 'arguments'}", calls=n, constants=c)
        for n in (1, 2)
        for c in (True, False)
    ),
    captured_constants("If-captured-constants", shared=False),
    captured_constants("If-captured-shared-constants", shared=True),
    computed_outside("If-captured-computed-constants"),
    captured_result("If-captures-a-result"),
    nested("Loop-If-nested"),
    carried("Loop-carried-state"),
    called("function-attribute", "Conv", eps=0.25),
    called("function-every-call-folds", "Conv", "Conv", "Conv"),
    called("function-one-call-stays", "Conv", "Sigmoid", "Conv"),
    called("function-most-calls-stay", "Conv", "Sigmoid", "Sigmoid"),
    nested_functions("function-nested"),
    plain_function("function-plain"),
]
