"""Who reads what: shared weights, shared parameters, outputs, captures, order and names."""

from __future__ import annotations

from dataclasses import replace

import onnx
from onnx import helper

from tests.build import BOOL, node, value
from tests.folding.cases.case import Case, case, either
from tests.net import Net

USED = ("value-used-elsewhere",)


def shared_weight(label: str, *, both: bool, bias: bool = True) -> Case:
    """Two Convs read one weight: it is copied for the one that changes."""
    net = Net(label)
    x = net.input(("N", 3, 6, 6))
    w, b = net.weight(4, 3, 3, 3), net.weight(4)
    one, two = (net.op("Conv", x, w, *([b] if bias else [])) for _ in range(2))
    two = net.op("Relu", two) if not both else net.bn(two, 4)
    return case(net.out(net.bn(one, 4), two))


def same_fold_twice(label: str) -> Case:
    """Two Convs with one weight, two BatchNorms with one set of parameters."""
    net = Net(label)
    x, z = net.input(("N", 3, 6, 6)), net.input(("N", 3, 6, 6), "z")
    w = net.weight(4, 3, 3, 3)
    one, two = net.op("Conv", x, w), net.op("Conv", z, w)
    first = net.bn(one, 4, prefix="p")
    second = net.op("BatchNormalization", two, "p.scale", "p.bias", "p.mean", "p.var")
    return case(net.out(first, second))


def shared_parameters(label: str) -> Case:
    """Two BatchNorms, one of them staying, read the same parameters."""
    net = Net(label)
    x = net.input(("N", 4, 6, 6))
    first = net.bn(net.conv(x, 4, 4), 4, prefix="p")
    stays = net.op(
        "BatchNormalization", net.op("Sigmoid", x), "p.scale", "p.bias", "p.mean", "p.var"
    )
    return case(net.out(first, stays), "nonlinear-neighbours", *USED, stay=1)


def bias_is_parameter(label: str) -> Case:
    """One initializer is Conv bias, beta and mean at once."""
    net = Net(label)
    w, b = net.weight(4, 3, 3, 3), net.init(net.random(4), "b")
    y = net.op("Conv", net.input(("N", 3, 6, 6)), w, b)
    var = net.init(net.rng.uniform(0.3, 2, 4))
    return case(net.out(net.op("BatchNormalization", y, b, b, b, var)))


def weight_is_output(label: str) -> Case:
    net = Net(label)
    y = net.conv(net.input(("N", 3, 6, 6)), 3, 4)
    w = net.initializers[0].name
    return case(net.out(net.bn(y, 4), value(w, (4, 3, 3, 3))))


def parameter_is_output(label: str) -> Case:
    net = Net(label)
    y = net.bn(net.conv(net.input(("N", 3, 6, 6)), 3, 4), 4)
    return case(net.out(y, value(f"{y}.mean", (4,))))


def conv_is_output(label: str) -> Case:
    """The Conv's own values are an output: they may not change."""
    net = Net(label)
    y = net.conv(net.input(("N", 3, 6, 6)), 3, 4)
    return case(net.out(net.bn(y, 4), y), *USED)


def conv_read_by(label: str, op: str, **attrs: object) -> Case:
    net = Net(label)
    y = net.conv(net.input(("N", 3, 6, 6)), 3, 4)
    return case(net.out(net.bn(y, 4), net.op(op, y, **attrs)), *USED)


def norm_is_output(label: str) -> Case:
    """The BatchNorm's output is an output and read inside too: the name must live on."""
    net = Net(label)
    y = net.bn(net.conv(net.input(("N", 3, 6, 6)), 3, 4), 4, out="named")
    return case(net.out(y, net.op("Relu", y)))


def middle_is_output(label: str) -> Case:
    """Conv -> Relu (an output) -> BN of pure scale: Relu's values may not change."""
    net = Net(label)
    y = net.op("Relu", net.conv(net.input(("N", 3, 6, 6)), 3, 4))
    return case(net.out(net.bn(y, 4, positive=True, shift=False), y), *USED)


def output_twice(label: str) -> Case:
    """An Identity gives the BatchNorm a second output name."""
    net = Net(label)
    y = net.bn(net.conv(net.input(("N", 3, 6, 6)), 3, 4), 4)
    return case(net.out(y, net.op("Identity", y)))


def captured(label: str, *codes: str, shape_only: bool = False, norm: bool = False) -> Case:
    """An If body reads the Conv's (or the BatchNorm's) values by name."""
    net = Net(label)
    x, cond = net.input((2, 3, 6, 6)), net.input((), "cond", BOOL)
    y = net.conv(x, 3, 4)
    z = net.bn(y, 4)
    seen = z if norm else y
    out = value("inner", (4,), 7) if shape_only else value("inner", (2, 4, 4, 4))
    op = "Shape" if shape_only else "Relu"
    bodies = {
        k: helper.make_graph([node(op, [seen], f"inner_{k}")], k, [], [_named(out, f"inner_{k}")])
        for k in ("then_branch", "else_branch")
    }
    net.out(z, net.op("If", cond, **bodies))
    return either(net, exact=True) if shape_only else case(net, *codes)


def _named(info: onnx.ValueInfoProto, name: str) -> onnx.ValueInfoProto:
    copy = onnx.ValueInfoProto()
    copy.CopyFrom(info)
    copy.name = name
    return copy


def captured_weight(label: str) -> Case:
    """An If body reads the Conv's weight: the original must stay."""
    net = Net(label)
    x, cond = net.input((2, 3, 6, 6)), net.input((), "cond", BOOL)
    z = net.bn(net.conv(x, 3, 4), 4)
    w = net.initializers[0].name
    bodies = {
        k: helper.make_graph([node(op, [w], k)], k, [], [value(k, (4, 3, 3, 3))])
        for k, op in (("then_branch", "Identity"), ("else_branch", "Neg"))
    }
    return case(net.out(z, net.op("If", cond, **bodies)))


def unsorted(label: str) -> Case:
    """Nodes in the wrong order, as ultraface's."""
    net = Net(label)
    y = net.conv(net.bn(net.conv(net.input(("N", 3, 9, 9)), 3, 4), 4), 4, 4)
    row = case(net.out(net.op("Relu", net.bn(y, 4))))
    nodes = list(row.model.graph.node)[::-1]
    del row.model.graph.node[:]
    row.model.graph.node.extend(nodes)
    return replace(row, flawed=True)


def same_names(label: str) -> Case:
    """Node names are swapped; tensors are called like the names that a fold might choose."""
    net = Net(label)
    x = net.input(("N", 3, 9, 9))
    y = net.bn(net.conv(x, 3, 4), 4, out="bn")
    taken = {t.name for t in net.initializers}
    tails = ("_folded", "_bnfold", ".folded", "_1", "_fused", "/folded", "_bias", ".bias")
    for name in (stem + tail for stem in ("w1", "k2", "bn.scale", "bn") for tail in tails):
        if name not in taken:
            net.initializers.append(onnx.numpy_helper.from_array(net.random(2), name))
    row = case(net.out(y))
    for n, name in zip(row.model.graph.node, ("bn", "conv1"), strict=True):
        n.name = name  # each has the other's
    return row


def foreign(label: str, kind: str, *codes: str) -> Case:
    """A foreign operator between Conv and BatchNorm, and beside it one that is left alone."""
    net = Net(label, extra_opsets=[("test.custom", 1)])
    y = net.op(kind, net.conv(net.input(("N", 3, 6, 6)), 3, 4), domain="test.custom")
    return case(net.out(value(net.bn(y, 4), ("N", 4, 4, 4))), *codes)


def foreign_beside(label: str) -> Case:
    net = Net(label, extra_opsets=[("test.custom", 1)])
    x = net.input(("N", 3, 6, 6))
    y = net.bn(net.conv(x, 3, 4), 4)
    z = net.op("Square", x, domain="test.custom")
    return case(net.out(y, value(z, ("N", 3, 6, 6))))


def dead(label: str) -> Case:
    """Nobody reads the BatchNorm."""
    net = Net(label)
    y = net.conv(net.input(("N", 3, 6, 6)), 3, 4)
    net.bn(y, 4)
    return either(net.out(net.op("Relu", y)))


def dead_reader(label: str) -> Case:
    """Two BatchNorms on one constant; what reads the first ends in a constant and is gone."""
    net = Net(label)
    y = net.op("Conv", net.init(net.random(2, 3, 6, 6)), net.weight(4, 3, 3, 3))
    constant = net.op("Relu", net.bn(y, 4))
    total = net.op("Add", net.conv(net.input((2, 3, 6, 6)), 3, 4), constant)
    return case(net.out(net.bn(total, 4), net.bn(y, 4)))


ROWS: list[Case] = [
    shared_weight("shared-weight-one-norm", both=False),
    shared_weight("shared-weight-two-norms", both=True),
    shared_weight("shared-weight-no-bias", both=True, bias=False),
    same_fold_twice("shared-weight-shared-parameters"),
    shared_parameters("shared-parameters-one-stays"),
    bias_is_parameter("shared-bias-and-parameters"),
    weight_is_output("weight-is-output"),
    parameter_is_output("parameter-is-output"),
    conv_is_output("Conv-is-output-STAYS"),
    conv_read_by("Conv-read-by-Relu-STAYS", "Relu"),
    conv_read_by("Conv-read-by-ReduceSum-STAYS", "ReduceSum", keepdims=0),
    norm_is_output("norm-is-output-and-read"),
    middle_is_output("Relu-is-output-STAYS"),
    output_twice("norm-output-and-Identity"),
    captured("captured-Conv-STAYS", *USED),
    captured("captured-shape-only", shape_only=True),
    captured("captured-norm", norm=True),
    captured_weight("captured-weight"),
    unsorted("unsorted"),
    same_names("taken-names"),
    foreign("foreign-Double-STAYS", "Double", "operator-unknown"),
    foreign("foreign-Square-STAYS", "Square", "operator-unknown"),
    foreign_beside("foreign-beside"),
    dead("dead-norm"),
    dead_reader("constant-of-two-norms"),
]
