"""Kinds of faults that a fold may have, and the folded model with one of them in it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

Array = np.ndarray


@dataclass(frozen=True)
class Site:
    """A Conv in front of a BatchNorm, and the Conv that it became."""

    folded: int
    output: str
    w: Array
    b: Array
    gamma: Array
    beta: Array
    mean: Array
    var: Array
    eps: float
    group: int

    @property
    def s(self) -> Array:
        """Gamma / sqrt(var + eps)."""
        return self.gamma / np.sqrt(self.var + self.eps)

    def fold(self, s: Array, beta: Array | None = None, mean: Array | None = None) -> list[Array]:
        """W' and b' with another scale, beta or mean."""
        beta = self.beta if beta is None else beta
        mean = self.mean if mean is None else mean
        return [_rows(s, self.w) * self.w, (self.b - mean) * s + beta]


def _rows(s: Array, w: Array) -> Array:
    return s.reshape(-1, *[1] * (w.ndim - 1))


def _one(values: Array, rng: np.random.Generator, change: Callable[[float], float]) -> Array:
    out = values.copy()
    spot = rng.integers(out.size)
    out.reshape(-1)[spot] = change(float(out.reshape(-1)[spot]))
    return out


def _swapped(values: Array) -> Array:
    out = values.copy()
    out[[0, 1]] = out[[1, 0]]
    return out


Fault = Callable[[Site, np.random.Generator], "list[Array] | None"]


def _inputs_scaled(site: Site, _: np.random.Generator) -> list[Array] | None:
    inner = site.w.shape[1]
    if inner < 2 or inner > site.s.size:
        return None
    s = site.s[:inner].reshape(1, -1, *[1] * (site.w.ndim - 2))
    return [s * site.w, site.fold(site.s)[1]]


def _groups(site: Site, _: np.random.Generator) -> list[Array] | None:
    w, b = site.fold(site.s)
    return None if site.group < 2 else [np.roll(w, w.shape[0] // site.group, axis=0), b]


def _flipped(site: Site, _: np.random.Generator) -> list[Array] | None:
    w, b = site.fold(site.s)
    return None if w.shape[-1] < 2 else [w[..., ::-1].copy(), b]


def _turned(site: Site, _: np.random.Generator) -> list[Array] | None:
    w, b = site.fold(site.s)
    return None if w.ndim < 4 or w.shape[-1] < 2 else [w.swapaxes(-1, -2).copy(), b]


def _weight(factor: float) -> Fault:
    return lambda site, rng: [
        _one(site.fold(site.s)[0], rng, lambda v: v * (1 + factor)),
        site.fold(site.s)[1],
    ]


def _rounded(kind: str) -> Fault:
    def fault(site: Site, _: np.random.Generator) -> list[Array]:
        import ml_dtypes

        dtype = np.float16 if kind == "float16" else ml_dtypes.bfloat16
        return [x.astype(dtype).astype(np.float64) for x in site.fold(site.s)]

    return fault


FAULTS: dict[str, Fault] = {
    "one bias off by a tenth": lambda f, r: [
        f.fold(f.s)[0], _one(f.fold(f.s)[1], r, lambda v: v + 0.1)],
    "one bias zero": lambda f, r: [f.fold(f.s)[0], _one(f.fold(f.s)[1], r, lambda v: 0.0)],
    "one weight off by 1e-4": _weight(1e-4),
    "one weight off by 1e-2": _weight(1e-2),
    "one weight of the wrong sign": _weight(-2.0),
    "all weights off by 1e-4": lambda f, r: [f.fold(f.s)[0] * (1 + 1e-4), f.fold(f.s)[1]],
    "eps 1e-3 for the model's": lambda f, r: f.fold(f.gamma / np.sqrt(f.var + 1e-3)),
    "eps forgotten": lambda f, r: f.fold(f.gamma / np.sqrt(np.maximum(f.var, 1e-30))),
    "sqrt forgotten": lambda f, r: f.fold(f.gamma / (f.var + f.eps)),
    "gamma of the wrong channel": lambda f, r: f.fold(
        np.roll(f.gamma, 1) / np.sqrt(f.var + f.eps)),
    "variance of the wrong channel": lambda f, r: f.fold(
        f.gamma / np.sqrt(np.roll(f.var, 1) + f.eps)),
    "mean of the wrong channel": lambda f, r: f.fold(f.s, mean=np.roll(f.mean, 1)),
    "beta lost": lambda f, r: f.fold(f.s, beta=np.zeros_like(f.beta)),
    "beta of the wrong sign": lambda f, r: f.fold(f.s, beta=-f.beta),
    "one channel's beta lost": lambda f, r: f.fold(f.s, beta=_one(f.beta, r, lambda v: 0.0)),
    "mean lost": lambda f, r: f.fold(f.s, mean=np.zeros_like(f.mean)),
    "mean not scaled": lambda f, r: [f.fold(f.s)[0], f.b * f.s - f.mean + f.beta],
    "bias not scaled": lambda f, r: [f.fold(f.s)[0], f.b - f.mean * f.s + f.beta],
    "scaled twice": lambda f, r: [_rows(f.s, f.w) * f.fold(f.s)[0], f.fold(f.s)[1]],
    "scaled along the inputs": _inputs_scaled,
    "two channels swapped": lambda f, r: [_swapped(x) for x in f.fold(f.s)],
    "the wrong group": _groups,
    "kernel mirrored": _flipped,
    "kernel transposed": _turned,
    "rounded to float16": _rounded("float16"),
    "rounded to bfloat16": _rounded("bfloat16"),
    "saturated at float16's end": lambda f, r: [
        np.clip(x, -np.quantile(np.abs(x), 0.99), np.quantile(np.abs(x), 0.99))
        for x in f.fold(f.s)],
}  # fmt: skip


def constants(model: onnx.ModelProto) -> dict[str, Array]:
    """Initializers and Constant nodes of the main graph, in float64 where they are floats."""
    found = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            found[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    return {k: v.astype(np.float64) if v.dtype.kind == "f" else v for k, v in found.items()}


def attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    """An attribute's value."""
    return next((helper.get_attribute_value(a) for a in node.attribute if a.name == name), default)


def sites(original: onnx.ModelProto, folded: onnx.ModelProto) -> Iterator[Site]:
    """Conv-BatchNorm pairs whose Conv has taken the BatchNorm's output name, and nothing more."""
    known, after = constants(original), constants(folded)
    makers = {n.output[0]: n for n in original.graph.node}
    places = {n.output[0]: k for k, n in enumerate(folded.graph.node)}
    for norm in original.graph.node:
        conv = makers.get(norm.input[0]) if norm.op_type == "BatchNormalization" else None
        place = places.get(norm.output[0])
        if conv is None or conv.op_type != "Conv" or place is None:
            continue
        now = folded.graph.node[place]
        names = [*norm.input[1:], *conv.input[1:]]
        if now.op_type != "Conv" or len(now.input) < 3 or not all(n in known for n in names):
            continue
        w = known[conv.input[1]]
        b = known[conv.input[2]] if len(conv.input) > 2 else np.zeros(w.shape[0])
        rest = [known[name] for name in norm.input[1:5]]
        eps, group = attribute(norm, "epsilon", 1e-5), int(attribute(conv, "group", 1))
        site = Site(place, norm.output[0], w, b, *rest, eps, group)
        if all(
            name in after and np.allclose(after[name], right, rtol=1e-5, atol=1e-6)
            for name, right in zip(now.input[1:3], site.fold(site.s), strict=True)
        ):
            yield site


def ill(model: onnx.ModelProto) -> onnx.ModelProto:
    """Means and biases moved by 300 sigma: the same function, cancelling at every BatchNorm."""
    out = onnx.ModelProto()
    out.CopyFrom(model)
    known = constants(out)
    makers = {n.output[0]: n for n in out.graph.node}
    rng = np.random.default_rng(0)
    for k, norm in enumerate(list(out.graph.node)):
        conv = makers.get(norm.input[0]) if norm.op_type == "BatchNormalization" else None
        names = [] if conv is None else [*norm.input[3:5], *conv.input[1:]]
        if conv is None or conv.op_type != "Conv":
            continue
        if sum(norm.input[0] in n.input for n in out.graph.node) > 1:
            continue
        if not all(name in known for name in names):
            continue
        mean, var = known[norm.input[3]], known[norm.input[4]]
        bias = known[conv.input[2]] if len(conv.input) > 2 else np.zeros(mean.size)
        shift = 300 * np.sqrt(var) * rng.choice([-1, 1], mean.size)
        for values, node, slot in ((mean, norm, 3), (bias, conv, 2)):
            name = f"ill.{k}.{slot}"
            moved = (values + shift).astype(np.float32)
            out.graph.initializer.append(numpy_helper.from_array(moved, name))
            if slot < len(node.input):
                node.input[slot] = name
            else:
                node.input.append(name)
    return out


@dataclass(frozen=True)
class Planted:
    """A fold with a fault in it, and the first tensor that the fault moves."""

    model: onnx.ModelProto
    tensor: str


def _copy(folded: onnx.ModelProto) -> onnx.ModelProto:
    """The fold without its record: as another tool would have written it."""
    out = onnx.ModelProto()
    out.CopyFrom(folded)
    del out.metadata_props[:]
    return out


def _held(model: onnx.ModelProto, name: str, values: Array) -> str:
    tensor = numpy_helper.from_array(np.ascontiguousarray(values, np.float32), name)
    model.graph.initializer.append(tensor)
    return name


def with_constants(folded: onnx.ModelProto, site: Site, values: list[Array]) -> Planted:
    """Other constants at the site."""
    out = _copy(folded)
    for slot, value in enumerate(values, start=1):
        out.graph.node[site.folded].input[slot] = _held(out, f"planted.{slot}", value)
    return Planted(out, site.output)


def border_shift_lost(folded: onnx.ModelProto, site: Site) -> Planted | None:
    """The shift comes only with the taps that meet real values: whole inside, less at the rim.

    It is what a shift becomes that was pushed through zero padding: a convolution of a plane of
    ones, padded as the site is.
    """
    node = folded.graph.node[site.folded]
    padded = any(attribute(node, "pads", [])) or "SAME" in str(attribute(node, "auto_pad", b""))
    if not padded or site.w.ndim < 3:
        return None
    w, b = site.fold(site.s)
    taps = w.shape[2:]
    ones = (1,) * len(taps)
    out = _copy(folded)
    product = out.graph.node[site.folded]
    rest = [a for a in product.attribute if a.name != "group"]
    inputs = [
        _held(out, "planted.none", np.zeros((1, w.shape[1] * site.group, *ones))),
        _held(out, "planted.one", np.ones(1)),
        _held(out, "planted.spread", _rows(b / math.prod(taps), w) * np.ones((b.size, 1, *taps))),
    ]
    plane = helper.make_node("Conv", [product.input[0], *inputs[:2]], ["planted.plane"])
    shift = helper.make_node("Conv", ["planted.plane", inputs[2]], ["planted.shift"])
    shift.attribute.extend(rest)
    total = helper.make_node("Add", ["planted.product", "planted.shift"], [site.output])
    product.output[0] = "planted.product"
    del product.input[2:]
    for offset, extra in enumerate((plane, shift, total), start=1):
        out.graph.node.insert(site.folded + offset, extra)
    return Planted(out, site.output)


def feature_maps(model: onnx.ModelProto) -> set[str]:
    """Tensors known to be floats of rank 3 or more."""
    inferred = onnx.shape_inference.infer_shapes(model).graph
    values = (*inferred.value_info, *inferred.output)
    tensors = {value.name: value.type.tensor_type for value in values}
    return {
        name for name, kind in tensors.items() if kind.elem_type == 1 and len(kind.shape.dim) > 2
    }


def branches_swapped(
    original: onnx.ModelProto, folded: onnx.ModelProto, rng: np.random.Generator
) -> Planted | None:
    """The first two branches of a Concat of feature maps change places."""
    maps = feature_maps(folded)
    named = {name for node in original.graph.node for name in node.output}
    places = [
        k
        for k, node in enumerate(folded.graph.node)
        if node.op_type == "Concat"
        and attribute(node, "axis", 0) != 0
        and len(set(node.input[:2])) == 2
        and node.output[0] in maps & named
    ]
    if not places:
        return None
    out = _copy(folded)
    node = out.graph.node[int(rng.choice(places))]
    node.input[0], node.input[1] = node.input[1], node.input[0]
    return Planted(out, node.output[0])
