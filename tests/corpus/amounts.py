"""Little files that ask for much: constants that inflate, very many or very long things."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.corpus.making import Maker, model, setting

Nodes = Sequence[onnx.NodeProto]
HUGE = 1 << 40


def ints(name: str, *items: int) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(items, np.int64), name)


def _scaled(nodes: Nodes, *tensors: onnx.TensorProto) -> Maker:
    """The Relu's output times the largest of `big`, which constants make up."""

    def add(m: onnx.ModelProto) -> None:
        m.graph.initializer.extend(tensors)
        m.graph.node[2].output[0] = "before"
        largest = _op("ReduceMax", ["big"], "largest", keepdims=0)
        m.graph.node.extend([*nodes, largest, _op("Mul", ["before", "largest"], "y")])

    return model(add)


def _op(kind: str, inputs: Sequence[str], output: str = "big", **given: object) -> onnx.NodeProto:
    return helper.make_node(kind, list(inputs), [output], **given)


def _doubling(depth: int) -> Nodes:
    """Concat of a constant with itself, and of that with itself, and so on."""
    names = ["norm.bias", *(f"c{k}" for k in range(depth - 1)), "big"]
    return [_op("Concat", [a, a], b, axis=0) for a, b in pairwise(names)]


def _squaring() -> Nodes:
    return [_op("Mul", ["column", "row"])]


def _sparse(dims: list[int]) -> Callable[[onnx.ModelProto], object]:
    values = helper.make_tensor("big", TensorProto.FLOAT, [1], [1.0])
    places = helper.make_tensor("", TensorProto.INT64, [1], [0])
    return lambda m: m.graph.sparse_initializer.append(
        helper.make_sparse_tensor(values, places, dims)
    )


def _sparse_read(dims: list[int]) -> Maker:
    def add(m: onnx.ModelProto) -> None:
        _sparse(dims)(m)
        m.graph.node[2].output[0] = "before"
        m.graph.node.append(helper.make_node("Mul", ["before", "big"], ["y"]))

    return model(add)


def _vectors() -> tuple[onnx.TensorProto, onnx.TensorProto]:
    ones = np.ones(200_000, np.float32)
    return (
        numpy_helper.from_array(ones.reshape(-1, 1), "column"),
        numpy_helper.from_array(ones.reshape(1, -1), "row"),
    )


def _chain(length: int) -> Callable[[onnx.ModelProto], object]:
    """Multiplications and additions by constants, one behind the other."""

    def add(m: onnx.ModelProto) -> None:
        m.graph.node[2].output[0] = "v0"
        for k in range(length):
            kind = "Mul" if k % 2 else "Add"
            after = "y" if k == length - 1 else f"v{k + 1}"
            m.graph.node.append(helper.make_node(kind, [f"v{k}", "one"], [after]))
        m.graph.initializer.append(numpy_helper.from_array(np.ones((), np.float32), "one"))

    return add


def _fan(width: int) -> Callable[[onnx.ModelProto], object]:
    """One tensor with very many readers, each of them an output."""

    def add(m: onnx.ModelProto) -> None:
        for k in range(width):
            m.graph.node.append(helper.make_node("Relu", ["norm"], [f"o{k}"]))
            m.graph.output.append(helper.make_tensor_value_info(f"o{k}", 1, ["N", 4, 6, 6]))

    return add


def _functions(count: int) -> Callable[[onnx.ModelProto], object]:
    ids = [helper.make_opsetid("", 17)]

    def add(m: onnx.ModelProto) -> None:
        m.opset_import.append(helper.make_opsetid("own", 1))
        for k in range(count):
            relu = helper.make_node("Relu", ["a"], ["b"])
            m.functions.append(helper.make_function("own", f"F{k}", ["a"], ["b"], [relu], ids))

    return add


INFLATING: dict[str, Maker] = {  # sound, but what they ask for has no room anywhere
    "inflating_constant_of_shape": _scaled([_op("ConstantOfShape", ["s"])], ints("s", HUGE)),
    "inflating_constant_of_shape_64_gb": _scaled(
        [_op("ConstantOfShape", ["s"])], ints("s", 1 << 34)
    ),
    "inflating_expand": _scaled(
        [_op("Expand", ["norm.bias", "s"])], ints("s", 1 << 20, 1 << 20, 4)
    ),
    "inflating_tile": _scaled([_op("Tile", ["norm.bias", "s"])], ints("s", HUGE)),
    "inflating_range": _scaled(
        [_op("Range", ["a", "b", "c"], "i"), _op("Cast", ["i"], to=1)],
        *(
            numpy_helper.from_array(np.array(v, np.int64), n)
            for n, v in zip("abc", (0, HUGE, 1), strict=True)
        ),
    ),
    "inflating_pad": _scaled([_op("Pad", ["norm.bias", "s"])], ints("s", HUGE, HUGE)),
    "inflating_onehot": _scaled(
        [_op("OneHot", ["i", "d", "v"])],
        ints("i", 0),
        ints("d", HUGE),
        numpy_helper.from_array(np.array([0, 1], np.float32), "v"),
    ),
    "inflating_doubling": _scaled(_doubling(60)),
    "inflating_squaring": _scaled(_squaring(), *_vectors()),
    "inflating_eye": _scaled(
        [_op("EyeLike", ["z"])], numpy_helper.from_array(np.zeros((1, 1), np.float32), "z")
    ),
    "inflating_sparse": _sparse_read([1 << 36]),
    "inflating_sparse_unread": model(_sparse([1 << 50])),
    "inflating_resize": _scaled(
        [_op("Resize", ["norm.bias", "", "s"], mode="nearest")],
        numpy_helper.from_array(np.array([1e10], np.float32), "s"),
    ),
    "inflating_random": _scaled([_op("RandomNormal", [], shape=[HUGE])]),
}
MANY: dict[str, Maker] = {
    "chain_of_2000": model(_chain(2000)),
    "fan_of_2000": model(_fan(2000)),
    "functions_1000": model(_functions(1000)),
    "opsets_10000": model(
        lambda m: m.opset_import.extend(helper.make_opsetid(f"d{k}", 1) for k in range(10_000))
    ),
    "values_20000": model(
        lambda m: m.graph.value_info.extend(
            helper.make_tensor_value_info(f"v{k}", 1, [1]) for k in range(20_000)
        )
    ),
    "initializers_5000": model(
        lambda m: m.graph.initializer.extend(ints(f"i{k}", k) for k in range(5000))
    ),
}
LONG = "n\x1b[31m\u202e<b>" * 100_000
LONG_TEXTS: dict[str, Maker] = {
    "long_input_name": model(lambda m: m.graph.node[0].input.__setitem__(0, LONG)),
    "long_operator": setting(lambda m: m.graph.node[2], "op_type", LONG),
    "long_domain": setting(lambda m: m.graph.node[2], "domain", LONG),
    "long_attribute": model(
        lambda m: m.graph.node[2].attribute.append(helper.make_attribute(LONG, 1))
    ),
    "long_opset_domain": model(
        lambda m: [m.opset_import.append(helper.make_opsetid(LONG, v)) for v in (1, 2)]
    ),
    "long_tensor_name": model(
        lambda m: [m.graph.initializer.add(name=LONG, data_type=1, dims=[9]) for _ in range(2)]
    ),
}
