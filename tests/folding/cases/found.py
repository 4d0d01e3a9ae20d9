"""What random graphs found: each once crashed, was not idempotent, or was dearer than need be."""

from __future__ import annotations

import numpy as np

from tests.folding.cases.case import ANY, Case, case, either
from tests.net import Net


def bias_goes_on(label: str, *, both: bool) -> Case:
    """BN -> MatMul(constant, x) -> Reshape -> MatMul -> Add: the one Add takes every shift."""
    net = Net(label)
    y = net.bn(net.input(("N", 1, 2, 5)), 1)
    y = net.op("MatMul", net.weight(4, 2), y)
    y = net.bn(y, 1) if both else y
    y = net.op("Reshape", y, net.ints(-1, 1, 20))
    y = net.op("Add", net.matmul(y, 20, 2), net.weight(2))
    return case(net.out(net.bn(y, 1)), affine=1)


def constant_with_two_readers(label: str) -> Case:
    """One constant is added and divided by: each reader gets its own."""
    net = Net(label)
    k = net.init(np.array([1.0, -2, 0.5, 3]).reshape(4, 1, 1))
    y = net.op("Mul", *[net.input(("N", 4, 6, 6))] * 2)
    y = net.op("Gather", net.bn(y, 4), net.init(np.array([2, 3, 1, 0])), axis=1)
    y = net.op("Add", k, net.bn(y, 4))
    return either(net.out(net.op("Div", y, k)))


def zero_scale_into_divisor(label: str) -> Case:
    """x / k -> BN with gamma = 0: 1 / s is no number."""
    net = Net(label)
    y = net.op(
        "Div", net.op("Sigmoid", net.input(("N", 4, 6, 6))), net.init(net.random(4, 1, 1) + 3)
    )
    parameters = ([0.0, 1, 0, 2], [1.0] * 4, [0.5] * 4, [1.0] * 4)
    return case(net.out(net.op("Tanh", net.bn(y, 4, parameters=parameters))), *ANY, stay=None)


def product_of_a_tensor_with_itself(label: str) -> Case:
    """x * x is not linear in x, though each operand is."""
    net = Net(label)
    y = net.conv(net.input(("N", 3, 6, 6)), 3, 4)
    y = net.bn(net.op("Mul", y, y), 4, shift=False, positive=True)
    return case(net.out(y), *ANY)


def inverse_constants(label: str) -> Case:
    """x / k * k: the product of both is 1 once it is rounded, so nothing is left of it."""
    net = Net(label)
    k = net.init(np.array([3.0, 7, 11, 0.1, -49, 1e3, 1.1, 0.7, 13]).reshape(1, 9))
    y = net.op("Sigmoid", net.input(("N", 9)))
    y = net.op("Mul", net.op("Div", y, k), k)
    return case(net.out(net.op("Tanh", y)), affine=0)


def dead_branch(label: str) -> Case:
    """Two BatchNorms on one tensor; what reads the first is read by nobody."""
    net = Net(label)
    y = net.op("Sigmoid", net.input(("N", 8, 6, 1)))
    net.op("Add", net.matmul(net.bn(y, 8), 1, 4), net.weight(4))
    return either(net.out(net.op("Tanh", net.bn(y, 8))))


def bare_product_with_two_readers(label: str) -> Case:
    """BN -> Einsum -> (Add(k), Mul): the Add is one reader's, so the Einsum has no bias yet."""
    net = Net(label)
    y = net.bn(net.input(("N", 2, 3)), 2)
    y = net.op("Einsum", net.weight(2, 1), y, equation="bz,abc->azc")
    return case(net.out(net.op("Mul", net.op("Add", net.weight(1), y), y)), affine=2)


def halves_of_an_open_batch(label: str, taken: str, *codes: str) -> Case:
    """Bounds reckoned from x's own channels, as torch's `chunk` is exported: the batch is open."""
    net = Net(label)
    x = net.conv(net.op("Pad", net.input(("N", 3, 6, 6)), net.ints(*[0] * 8)), 3, 4)
    sizes = net.op("Shape", x)
    if taken == "Gather":
        count = net.op("Gather", sizes, net.ints(1), axis=0)
    elif taken == "Slice":
        count = net.op("Slice", sizes, net.ints(-3), net.ints(-2))
    else:  # the batch, which is not known
        count = net.op("Slice", sizes, net.ints(0), net.ints(1))
    half = net.op("Div", count, net.ints(2))
    low = net.op("Slice", x, net.ints(0), half, net.ints(1))
    high = net.op("Slice", x, half, count, net.ints(1))
    y = net.bn(net.op("Concat", low, net.conv(high, 2, 2, 1), axis=1), 4)
    return case(net.out(net.op("Tanh", y)), *codes, sizes={"N": 4})


ROWS: list[Case] = [
    halves_of_an_open_batch("found-halves-by-gather", "Gather"),
    halves_of_an_open_batch("found-halves-by-slice", "Slice"),
    halves_of_an_open_batch("found-halves-by-batch-STAYS", "batch", "shape-unknown"),
    inverse_constants("found-inverse-constants"),
    dead_branch("found-dead-branch"),
    bare_product_with_two_readers("found-bare-product-with-two-readers"),
    bias_goes_on("found-bias-goes-on", both=False),
    bias_goes_on("found-bias-goes-on-both", both=True),
    constant_with_two_readers("found-constant-with-two-readers"),
    zero_scale_into_divisor("found-zero-scale-into-divisor"),
    product_of_a_tensor_with_itself("found-product-with-itself"),
]
