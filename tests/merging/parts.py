"""Pieces of small models: a Conv, a BatchNorm, a constant scale, and what stands around them."""

from __future__ import annotations

import numpy as np
import onnx

from tests.build import batchnorm, make_model, node, randn, tensor, value

RNG = np.random.default_rng(7)
Parts = tuple[list[onnx.NodeProto], list[onnx.TensorProto]]


def net(
    *parts: Parts, size: int | str | None = 8, channels: int = 4, also: tuple[str, ...] = ()
) -> onnx.ModelProto:
    """Parts from x to y, a Relu on either side; `also` are tensors that are outputs too."""
    nodes = [n for made, _ in parts for n in made]
    constants = [c for _, made in parts for c in made]
    nodes = [node("Relu", ["in"], "x"), *nodes, node("Relu", ["y"], "out")]
    return make_model(nodes, [value("in", ["N", channels, size, size])], ["out", *also], constants)


def conv(
    x: str, y: str, outputs: int = 4, inputs: int = 4, *, bias: bool = True, **attrs: object
) -> Parts:
    kernel = attrs.pop("kernel", (3, 3))
    group = int(attrs.get("group", 1))  # type: ignore[call-overload]
    weight = tensor(f"{y}.w", randn(RNG, outputs, inputs // group, *kernel))  # type: ignore[misc]
    made = [tensor(f"{y}.b", randn(RNG, outputs))] if bias else []
    names = [weight.name, *(b.name for b in made)]
    return [node("Conv", [x, *names], y, **attrs)], [weight, *made]


def norm(x: str, y: str, channels: int = 4) -> Parts:
    made, constants = batchnorm(x, y, channels, RNG)
    return [made], constants


def op(op_type: str, inputs: list[str], y: str, **attrs: object) -> Parts:
    return [node(op_type, inputs, y, **attrs)], []


def scale(x: str, y: str, shape: tuple[int, ...] = (4, 1, 1)) -> Parts:
    return [node("Mul", [x, f"{y}.k"], y)], [tensor(f"{y}.k", randn(RNG, *shape))]


def gelu(x: str, y: str) -> Parts:
    """0.5 x (1 + erf(x / sqrt 2)), as exporters spell it."""
    made = [
        node("Div", [x, f"{y}.r"], f"{y}1"),
        node("Erf", [f"{y}1"], f"{y}2"),
        node("Add", [f"{y}2", f"{y}.1"], f"{y}3"),
        node("Mul", [x, f"{y}3"], f"{y}4"),
        node("Mul", [f"{y}4", f"{y}.5"], y),
    ]
    return made, [tensor(f"{y}.r", 2.0**0.5), tensor(f"{y}.1", 1.0), tensor(f"{y}.5", 0.5)]


def huge(x: str, y: str) -> Parts:
    """A Conv whose weights have no double in float32."""
    weight = np.full((4, 4, 1, 1), 3e38, np.float32)
    return [node("Conv", [x, f"{y}.w"], y)], [tensor(f"{y}.w", weight)]
