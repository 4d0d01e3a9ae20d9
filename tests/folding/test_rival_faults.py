"""Models on which other optimisers were seen to fail: wrong, crashed, or wrote a broken file."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

import bnfold
from tests.build import BOOL, FLOAT16, INT64, bfloat16, node, tensor, value
from tests.folding.cases.case import Case, case, either
from tests.folding.verdict import assert_claim
from tests.net import Net

FLOATS = {np.dtype(np.float16): FLOAT16, np.dtype(np.float32): 1}


def conv_norm(
    label: str,
    *codes: str,
    dtype: Any = np.float32,
    weight: object = None,
    opset: int = 17,
    **norm: Any,
) -> tuple[Net, str]:
    """Conv -> BatchNorm, the commonest pair."""
    net = Net(label, opset)
    net.dtype = dtype
    x = net.input((2, 3, 6, 6), dtype=FLOATS[np.dtype(dtype)])
    return net, net.bn(net.conv(x, 3, 4, weight=weight), 4, **norm)


def training_with_one_read() -> Case:
    """1. training_mode=1, three outputs, only Y read: not an inference BatchNorm."""
    net, y = conv_norm("1-training-mode", opset=15, training_mode=1)
    net.nodes[-1].output.extend(["running_mean", "running_var"])
    return case(net.out(value(y, (2, 4, 4, 4))), "training-mode")


def foreign_name() -> Case:
    """2. A local function of that name, Y = X * X."""
    net = Net("2-foreign-name", extra_opsets=[("custom", 1)])
    made = [node("Mul", ["X", "X"], "Y")]
    names = ["X", "s", "b", "m", "v"]
    opset = [helper.make_opsetid("", 17)]
    net.options["functions"] = [
        helper.make_function("custom", "BatchNormalization", names, ["Y"], made, opset)
    ]
    y = net.conv(net.input((2, 3, 6, 6)), 3, 4)
    y = net.op("BatchNormalization", y, *(net.weight(4) for _ in range(4)), domain="custom")
    return case(net.out(value(y, (2, 4, 4, 4))))


def width_constant(*ops: str) -> Case:
    """3. Conv out (1, 3, 3, 3), a constant (3,) acts on width, not on channels."""
    net = Net(f"3-width-{'-'.join(ops)}")
    y = net.conv(net.input((1, 3, 5, 5)), 3, 3)
    for op in ops:
        y = net.op(op, y, net.weight(3))
    return either(net.out(net.bn(y, 3)))


def overridable() -> Case:
    """4. Initializers that are inputs, IR 8: callers may feed them, and an unrelated one."""
    net, y = conv_norm("4-overridable")
    y = net.op("Mul", net.op("Relu", y), net.init(np.ones((1,)) * 2, "unrelated"))
    net.options |= {"ir": 8, "initializers_as_inputs": True}
    return case(net.out(y), "parameter-overridable", "nonlinear-neighbours")


def old_ir() -> Case:
    """5. IR 3, and parameters of ConstantOfShape: new initializers must be listed as inputs."""
    net = Net("5-ir3", 9, ir=3)
    y = net.conv(net.input((2, 3, 6, 6)), 3, 4, bias=False)
    var = net.op("ConstantOfShape", net.ints(4), value=tensor("", np.ones(1, np.float32)))
    mean = net.op("ConstantOfShape", net.ints(4))
    return case(net.out(net.op("BatchNormalization", y, net.weight(4), net.weight(4), mean, var)))


def value_floats() -> Case:
    """6. Constant nodes with value_floats as parameters."""
    net = Net("6-value-floats")
    y = net.conv(net.input((2, 3, 6, 6)), 3, 4)
    parts = [net.op("Constant", value_floats=[0.5, 1.5, 2.0, v]) for v in (1.0, -1.0, 0.5, 3.0)]
    return case(net.out(net.op("BatchNormalization", y, *parts)))


def per_activation() -> Case:
    """7. Opset 7, spatial=0, parameters (C, H, W)."""
    net = Net("7-spatial-0", 7)
    y = net.conv(net.input((2, 3, 6, 6)), 3, 4)
    drawn = [net.rng.uniform(0.5, 2, (4, 4, 4)) for _ in range(4)]
    y = net.bn(y, (4, 4, 4), spatial=0, parameters=drawn)
    return case(net.out(y), "axis-mismatch", "parameter-invalid", "not-yet")


def empty_bias() -> Case:
    """8. Conv inputs [x, w, ""]."""
    net = Net("8-empty-bias")
    return case(net.out(net.bn(net.conv(net.input((2, 3, 6, 6)), 3, 4, bias="empty"), 4)))


def weight_is_output() -> Case:
    """9. The weight is a graph output as well."""
    net, y = conv_norm("9-weight-is-output")
    return case(net.out(y, value(net.initializers[0].name, (4, 3, 3, 3))))


def mixed_types(x: Any, statistics: Any) -> Case:
    """10. mean and var of another type than x: the weight keeps x's."""
    net, y = conv_norm(f"10-mixed-{np.dtype(x)}-{np.dtype(statistics)}", dtype=x, opset=15)
    for t in net.initializers[-2:]:
        wide = onnx.numpy_helper.to_array(t).astype(statistics)
        t.CopyFrom(onnx.numpy_helper.from_array(wide, t.name))
    return either(net.out(y)) if x is np.float16 else case(net.out(y))


def brain(op: str) -> Case:
    """11. bfloat16 throughout, opset 22: weights stay bfloat16."""
    net = Net(f"11-bfloat16-{op}", 22)
    shape, w = ((2, 3), (3, 4)) if op == "Gemm" else ((2, 3, 6, 6), (4, 3, 3, 3))
    x = net.input(shape, dtype=onnx.TensorProto.BFLOAT16)
    data = {"w": net.random(*w), "b": net.random(4), "s": net.random(4), "t": net.random(4)}
    data |= {"m": net.random(4), "v": net.rng.uniform(0.5, 2, 4)}
    net.initializers += [bfloat16(k, v) for k, v in data.items()]
    y = net.op(op, x, "w", "b")
    return either(net.out(net.op("BatchNormalization", y, "s", "t", "m", "v")))


def half_overflow(part: str) -> Case:
    """12. float16: the product, or the shift, leaves 65504."""
    mean = 300.0 if part == "shift" else 0.0
    weight = np.full((4, 3, 3, 3), 200.0 if part == "weight" else 0.1)
    net, y = conv_norm(
        f"12-half-overflow-{part}", dtype=np.float16, weight=weight,
        parameters=([60.0] * 4, [0.0] * 4, [mean] * 4, [1e-3] * 4), eps=1e-6,
    )  # fmt: skip
    return either(net.out(y))


def half_small_variance() -> Case:
    """13. float16, var 6e-8, eps 1e-7: s in half is 8 % off."""
    parts = ([1.0] * 4, [0.0] * 4, [0.0] * 4, [6e-8] * 4)
    net, y = conv_norm("13-half-variance", dtype=np.float16, parameters=parts, eps=1e-7)
    return either(net.out(y))


def single_overflow() -> Case:
    """14. float32: a finite product leaves the type."""
    parts = ([1e15] * 4, [0.0] * 4, [0.0] * 4, [1e-12] * 4)
    weight = np.full((4, 3, 3, 3), 1e20)
    net, y = conv_norm("14-overflow", weight=weight, parameters=parts, eps=1e-12)
    return case(net.out(y), "number-range", "parameter-invalid")


def not_finite(what: str) -> Case:
    """15. gamma = inf, or var = 0 with eps = 0."""
    gamma = [np.inf, 1.0, 1.0, 1.0] if what == "gamma" else [1.0] * 4
    var = [0.0, 1.0, 1.0, 1.0] if what == "variance" else [1.0] * 4
    parts = (gamma, [0.5] * 4, [0.5] * 4, var)
    net, y = conv_norm(f"15-not-finite-{what}", parameters=parts, eps=0.0)
    return case(net.out(y), "parameter-invalid")


def loop_and_after() -> Case:
    """16. Conv -> BN in a Loop body and again behind it: names stay unique, ranks stay known."""
    net = Net("16-loop")
    x = net.input((2, 3, 6, 6))
    inner = Net("16-inner")
    inner.inputs += [value("i", (), INT64), value("go", (), BOOL), value("s", (2, 3, 6, 6))]
    y = inner.bn(inner.conv("s", 3, 3, 1), 3, out="inner")
    inner.nodes.append(node("Identity", ["go"], "went"))
    outs = [value("went", (), BOOL), value(y, (2, 3, 6, 6))]
    body = helper.make_graph(inner.nodes, "body", inner.inputs, outs, inner.initializers)
    for t in body.initializer:
        t.name = f"in_{t.name}"
    for n in body.node:
        n.input[:] = [
            f"in_{i}" if i in {t.name for t in inner.initializers} else i for i in n.input
        ]
        n.output[:] = [f"in_{o}" if o.startswith("conv") else o for o in n.output]
        n.input[:] = [f"in_{i}" if i.startswith("conv") else i for i in n.input]
    y = net.op("Loop", net.init(np.array(2)), net.init(np.array(True)), x, body=body)
    return either(net.out(value(net.bn(net.conv(y, 3, 4), 4), (2, 4, 4, 4))))


def quantised_matmul() -> Case:
    """17. DQ(int8 per column) -> MatMul -> Add -> BN."""
    net = Net("17-DQ-MatMul")
    w = net.init(net.rng.integers(-127, 128, (3, 4)).astype(np.int8))
    dq = net.op("DequantizeLinear", w, net.init(net.rng.uniform(0.01, 0.1, 4)), axis=1)
    y = net.op("Add", net.op("MatMul", net.input((2, 3)), dq), net.weight(4))
    return either(net.out(net.bn(y, 4)))


def constant_nodes() -> Case:
    """18. Weight and parameters as Constant nodes."""
    net = Net("18-Constant-nodes")
    x = net.input((2, 3, 6, 6))
    y = net.op("Conv", x, net.const(net.random(4, 3, 3, 3)), net.const(net.random(4)))
    parts = [net.const(net.rng.uniform(0.5, 2, 4)) for _ in range(4)]
    return case(net.out(net.op("BatchNormalization", y, *parts)))


ROWS = [
    training_with_one_read(), foreign_name(), width_constant("Mul"), width_constant("Mul", "Add"),
    overridable(), old_ir(), value_floats(), per_activation(), empty_bias(), weight_is_output(),
    mixed_types(np.float32, np.float64), mixed_types(np.float16, np.float32), brain("Conv"),
    brain("Gemm"), half_overflow("weight"), half_overflow("shift"), half_small_variance(),
    single_overflow(), not_finite("gamma"), not_finite("variance"), loop_and_after(),
    quantised_matmul(), constant_nodes(),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=[row.id for row in ROWS])
def test_fault_is_not_ours(row: Case) -> None:
    onnx.checker.check_model(row.model, full_check=True)
    result = assert_claim(row)
    onnx.checker.check_model(result.model, full_check=True)
    assert list(result.model.graph.output) == list(row.model.graph.output)


def test_overridable_inputs_are_all_still_there() -> None:
    row = overridable()
    folded = bnfold.fold(row.model).model
    assert [i.name for i in folded.graph.input] == [i.name for i in row.model.graph.input]
