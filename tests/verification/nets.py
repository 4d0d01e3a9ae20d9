"""A small convolution net with BatchNorms, folded by hand, with faults planted into the fold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx

from tests.build import make_model, node, tensor, value

EPS = 1e-5
Params = dict[str, np.ndarray]
# name, output channels, input channels of a group, kernel, group, padding
LAYERS = (
    ("stem", 8, 3, 3, 1, 1),
    ("depth", 8, 1, 3, 8, 1),
    ("point", 12, 8, 1, 1, 0),
    ("group", 12, 6, 3, 2, 1),
)


@dataclass(frozen=True)
class Pair:
    """The parameters of the original and of its correct fold, both in float64."""

    original: Params
    folded: Params


def pair(*, ill: bool = False, seed: int = 0) -> Pair:
    """Random statistics that fit the activations; `ill` shifts mean and bias by 300 sigma."""
    rng = np.random.default_rng(seed)
    p: Params = {}
    x = rng.normal(size=(4, 3, 16, 16))
    for name, out, inner, kernel, group, pad in LAYERS:
        w = rng.normal(size=(out, inner, kernel, kernel)) / np.sqrt(inner * kernel * kernel)
        b = rng.normal(size=out) * 0.2
        z = _conv(x, w, b, group, pad)
        mean, var = z.mean(axis=(0, 2, 3)), z.var(axis=(0, 2, 3)) * rng.uniform(0.7, 1.4, out)
        if ill:
            shift = 300 * np.sqrt(var) * rng.choice([-1, 1], out)
            b, mean = b + shift, mean + shift
        p |= {f"{name}.w": w, f"{name}.b": b, f"{name}.mean": mean, f"{name}.var": var}
        p[f"{name}.gamma"] = rng.uniform(0.5, 1.5, out)
        p[f"{name}.beta"] = rng.normal(size=out) * 0.3
        p = {k: v.astype(np.float32).astype(np.float64) for k, v in p.items()}
        z = _conv(x, p[f"{name}.w"], p[f"{name}.b"], group, pad)
        s = p[f"{name}.gamma"] / np.sqrt(p[f"{name}.var"] + EPS)
        x = np.maximum((z - _row(p[f"{name}.mean"])) * _row(s) + _row(p[f"{name}.beta"]), 0)
    p["head.w"] = rng.normal(size=(12, 10)).astype(np.float32).astype(np.float64)
    p["head.b"] = np.zeros(10)
    return Pair(p, fold(p))


def fold(p: Params) -> Params:
    """The correct fold, in float64."""
    q = {"head.w": p["head.w"], "head.b": p["head.b"]}
    for name, *_ in LAYERS:
        s = p[f"{name}.gamma"] / np.sqrt(p[f"{name}.var"] + EPS)
        q[f"{name}.w"] = p[f"{name}.w"] * s.reshape(-1, 1, 1, 1)
        q[f"{name}.b"] = (p[f"{name}.b"] - p[f"{name}.mean"]) * s + p[f"{name}.beta"]
    return q


def _row(v):
    return v.reshape(1, -1, 1, 1)


def _conv(x, w, b, group, pad):
    from bnfold.ops64 import compute

    return compute("Conv", 17, [x, w, b], {"group": group, "pads": [pad] * 4})[0]


def model(p: Params, *, norms: bool, tail: str | None = None) -> onnx.ModelProto:
    """The net with its BatchNorms, or without; `tail` is an activation behind the head."""
    nodes, last = [], "x"
    for name, _, _, _, group, pad in LAYERS:
        conv = f"{name}.z" if norms else f"{name}.y"
        ports = [last, f"{name}.w", f"{name}.b"]
        nodes.append(node("Conv", ports, conv, group=group, pads=[pad] * 4))
        if norms:
            ports = [conv, *(f"{name}.{part}" for part in ("gamma", "beta", "mean", "var"))]
            nodes.append(node("BatchNormalization", ports, f"{name}.y", epsilon=EPS))
        nodes.append(node("Relu", [f"{name}.y"], f"{name}.a"))
        last = f"{name}.a"
    nodes += [
        node("GlobalAveragePool", [last], "pooled"),
        node("Flatten", ["pooled"], "flat"),
        node("Gemm", ["flat", "head.w", "head.b"], "logits"),
    ]
    if tail:
        nodes.append(node(tail, ["logits"], "y"))
    used = {name for n in nodes for name in n.input}
    constants = [tensor(k, v.astype(np.float32)) for k, v in p.items() if k in used]
    out = "y" if tail else "logits"
    return make_model(nodes, [value("x", ["n", 3, 16, 16])], [value(out, ["n", 10])], constants)


def _one_bias(p: Params, q: Params) -> None:
    q["point.b"][3] += 0.05


def _one_weight(p: Params, q: Params) -> None:
    q["stem.w"][2, 1, 0, 2] *= 1.01


def _eps_forgotten(p: Params, q: Params) -> None:
    _refold(p, q, "depth", eps=0.0)


def _eps_thousandfold(p: Params, q: Params) -> None:
    _refold(p, q, "stem", eps=1e-3)


def _sqrt_forgotten(p: Params, q: Params) -> None:
    s = p["group.gamma"] / (p["group.var"] + EPS)
    q["group.w"] = p["group.w"] * s.reshape(-1, 1, 1, 1)
    q["group.b"] = (p["group.b"] - p["group.mean"]) * s + p["group.beta"]


def _wrong_channel(p: Params, q: Params) -> None:
    _refold(p, q, "point", gamma=np.roll(p["point.gamma"], 1))


def _shift_lost(p: Params, q: Params) -> None:
    q["depth.b"] = q["depth.b"] - p["depth.beta"]


def _one_shift_lost(p: Params, q: Params) -> None:
    q["depth.b"][5] -= p["depth.beta"][5]


def _mean_unscaled(p: Params, q: Params) -> None:
    s = p["stem.gamma"] / np.sqrt(p["stem.var"] + EPS)
    q["stem.b"] = (p["stem.b"] - p["stem.mean"] / s) * s + p["stem.beta"]


def _bias_unscaled(p: Params, q: Params) -> None:
    s = p["point.gamma"] / np.sqrt(p["point.var"] + EPS)
    q["point.b"] = p["point.b"] - p["point.mean"] * s + p["point.beta"]


def _all_weights_off(p: Params, q: Params) -> None:
    q["group.w"] = q["group.w"] * (1 + 1e-4)


def _scaled_along_inputs(p: Params, q: Params) -> None:
    s = p["group.gamma"] / np.sqrt(p["group.var"] + EPS)
    q["group.w"] = p["group.w"] * s[:6].reshape(1, -1, 1, 1)


def _rounded_to_half(p: Params, q: Params) -> None:
    q["stem.w"] = q["stem.w"].astype(np.float16).astype(np.float64)


def _groups_swapped(p: Params, q: Params) -> None:
    q["group.w"] = np.concatenate([q["group.w"][6:], q["group.w"][:6]])


def _folded_twice(p: Params, q: Params) -> None:
    s = p["depth.gamma"] / np.sqrt(p["depth.var"] + EPS)
    q["depth.w"] = q["depth.w"] * s.reshape(-1, 1, 1, 1)


def _beta_sign(p: Params, q: Params) -> None:
    q["point.b"] = q["point.b"] - 2 * p["point.beta"]


def _refold(p: Params, q: Params, name: str, *, eps: float = EPS, gamma=None) -> None:
    gamma = p[f"{name}.gamma"] if gamma is None else gamma
    s = gamma / np.sqrt(p[f"{name}.var"] + eps)
    q[f"{name}.w"] = p[f"{name}.w"] * s.reshape(-1, 1, 1, 1)
    q[f"{name}.b"] = (p[f"{name}.b"] - p[f"{name}.mean"]) * s + p[f"{name}.beta"]


# fault -> what it does to the folded parameters, and the layer in which it lies
FAULTS: Mapping[str, tuple[Callable[[Params, Params], None], str]] = {
    "one channel's bias off": (_one_bias, "point"),
    "one weight off by 1e-2": (_one_weight, "stem"),
    "epsilon forgotten": (_eps_forgotten, "depth"),
    "epsilon 1e-3 for 1e-5": (_eps_thousandfold, "stem"),
    "sqrt forgotten": (_sqrt_forgotten, "group"),
    "gamma of the wrong channel": (_wrong_channel, "point"),
    "shift lost": (_shift_lost, "depth"),
    "one channel's shift lost": (_one_shift_lost, "depth"),
    "mean not scaled": (_mean_unscaled, "stem"),
    "bias not scaled": (_bias_unscaled, "point"),
    "weights off by 1e-4": (_all_weights_off, "group"),
    "scaled along the inputs": (_scaled_along_inputs, "group"),
    "rounded to half": (_rounded_to_half, "stem"),
    "groups swapped": (_groups_swapped, "group"),
    "folded twice": (_folded_twice, "depth"),
    "sign of beta": (_beta_sign, "point"),
}


def faulty(fault: str, found: Pair) -> Params:
    """The fold with the fault in it."""
    q = {name: array.copy() for name, array in found.folded.items()}
    FAULTS[fault][0](found.original, q)
    return q
