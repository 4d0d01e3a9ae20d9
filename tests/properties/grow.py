"""Random graphs around BatchNorms: one step adds one operator to a tensor already there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from tests.build import value
from tests.net import Net

OPSETS = (11, 13, 15, 17, 18, 21)
MODES = ("half_pixel", "asymmetric", "align_corners")


@dataclass(frozen=True)
class Tensor:
    """A name and its shape at batch 2; `fixed`: the first axis is no longer the batch."""

    name: str
    shape: tuple[int, ...]

    @property
    def rank(self) -> int:
        return len(self.shape)


class Grower:
    """A net under construction; each `grow_*` method takes a tensor and may return new ones."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.net = Net(f"fuzz{seed}", int(self.rng.choice(OPSETS)))
        self.dynamic = bool(self.rng.random() < 0.5)
        self.pool: list[Tensor] = []
        self.wild = int(self.rng.integers(0, 4))  # how many adversarial constants may come
        self.weights: dict[tuple[int, ...], str] = {}

    # choices
    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def pick(self, options: Any) -> Any:
        return options[int(self.rng.integers(len(options)))]

    def some(self) -> Tensor:
        """Mostly the latest that nobody reads yet."""
        if self.chance(0.85):
            read = {i for n in self.net.nodes for i in n.input}
            unread = [t for t in self.pool if t.name not in read]
            if unread:
                return unread[-1] if self.chance(0.7) else self.pick(unread)
        return self.pick(self.pool)

    def like(self, t: Tensor, but: int | None = None) -> Tensor:
        """Another tensor of the same shape (but for one axis), itself at least."""

        def fit(u: Tensor) -> bool:
            pairs = enumerate(zip(u.shape, t.shape, strict=True))
            return all(a == b or i == but for i, (a, b) in pairs)

        fits = [u for u in self.pool if u.rank == t.rank and fit(u)]
        read = {i for n in self.net.nodes for i in n.input}
        unread = [u for u in fits if u.name not in read and u != t]
        return self.pick(unread or fits) if self.chance(0.8) else self.pick(fits)

    # constants
    def values(self, shape: tuple[int, ...], *, away_from_zero: bool = False) -> np.ndarray:
        v = self.rng.normal(size=shape)
        if away_from_zero:
            v = np.sign(v) * (np.abs(v) + 0.5)
        if self.wild and self.chance(0.15):
            self.wild -= 1
            mask = self.rng.random(shape) < 0.5
            v = np.where(
                mask,
                v * self.pick([0.0, -1.0, 1e-12, 1e6] if not away_from_zero else [1e-6, 1e6]),
                v,
            )
        return v

    def constant(self, array: np.ndarray) -> str:
        shape = tuple(array.shape)
        if shape in self.weights and self.chance(0.1):
            return self.weights[shape]
        name = self.net.const(array) if self.chance(0.2) else self.net.init(array)
        self.weights[shape] = name
        return name

    def add(
        self, kind: str, inputs: list[str], shape: tuple[int, ...], **attrs: Any
    ) -> list[Tensor]:
        return [Tensor(self.net.op(kind, *inputs, **attrs), tuple(int(n) for n in shape))]

    # BatchNorm
    def grow_norm(self, t: Tensor) -> list[Tensor]:
        if t.rank < 2:
            return []
        c = t.shape[1]
        gamma, beta, mean = (self.values((c,)) for _ in range(3))
        if self.chance(0.5):
            gamma = np.abs(gamma)
        if self.chance(0.3):
            beta, mean = np.zeros(c), np.zeros(c)
        if self.chance(0.15):
            gamma, beta, mean = (np.full(c, a[0]) for a in (gamma, beta, mean))
        var = self.rng.uniform(0.3, 2, c)
        if self.chance(0.1):
            var = np.where(self.rng.random(c) < 0.5, self.pick([0.0, 1e-12, 1e6]), var)
        if self.chance(0.1):
            var[:] = var[0]
        eps = self.pick([None, None, 1e-5, 1e-3, 1e-12]) if (var > 1e-3).all() else None
        return [
            Tensor(self.net.bn(t.name, c, parameters=(gamma, beta, mean, var), eps=eps), t.shape)
        ]

    # linear operators
    def _bias(self, n: int) -> list[str]:
        return self.pick(
            [[], [""], [self.constant(self.values((n,)))], [self.constant(self.values((n,)))]]
        )

    def grow_conv(self, t: Tensor) -> list[Tensor]:
        if not 3 <= t.rank <= 5:
            return []
        r, c = t.rank - 2, t.shape[1]
        group = self.pick([g for g in (1, 1, 2, c) if c % g == 0])
        cout = group * int(self.rng.integers(1, 4))
        k = [int(self.rng.integers(1, min(3, n) + 1)) for n in t.shape[2:]]
        s = [int(self.pick([1, 1, 2])) for _ in k]
        pads = (
            [int(self.pick([0, 0, 1])) for _ in range(2 * r)] if self.chance(0.5) else [0] * 2 * r
        )
        attrs: dict[str, Any] = {"group": group, "strides": s}
        if self.chance(0.2):
            attrs["auto_pad"] = self.pick(["SAME_UPPER", "SAME_LOWER"])
            out = [-(-n // q) for n, q in zip(t.shape[2:], s, strict=True)]
        else:
            attrs["pads"] = pads
            out = [
                (n + pads[i] + pads[i + r] - k[i]) // s[i] + 1 for i, n in enumerate(t.shape[2:])
            ]
        w = self.constant(self.values((cout, c // group, *k)))
        return self.add("Conv", [t.name, w, *self._bias(cout)], (t.shape[0], cout, *out), **attrs)

    def grow_deconv(self, t: Tensor) -> list[Tensor]:
        if t.rank != 4 or max(t.shape[2:]) > 8:
            return []
        c = t.shape[1]
        group = self.pick([g for g in (1, 2) if c % g == 0])
        per, k, s = (
            int(self.rng.integers(1, 3)),
            int(self.rng.integers(1, 4)),
            int(self.pick([1, 2])),
        )
        p = int(self.rng.integers(0, min(k, 2)))
        out = [(n - 1) * s + k - 2 * p for n in t.shape[2:]]
        if min(out) < 1:
            return []
        w = self.values((c, per, k, k))
        if self.chance(0.3):
            w = np.broadcast_to(w[..., :1, :1], w.shape).copy()
        return self.add(
            "ConvTranspose", [t.name, self.constant(w), *self._bias(per * group)],
            (t.shape[0], per * group, *out), group=group, strides=[s, s], pads=[p] * 4,
        )  # fmt: skip

    def grow_gemm(self, t: Tensor) -> list[Tensor]:
        if t.rank != 2:
            return []
        k, n, trans = t.shape[1], int(self.rng.integers(1, 5)), int(self.chance(0.5))
        w = self.constant(self.values((n, k) if trans else (k, n)))
        c = self.pick([[], [()], [(n,)], [(1, n)], [(1,)]])
        extra = [self.constant(self.values(s)) for s in c]
        how = {
            "transB": trans,
            "alpha": self.pick([None, 0.7]),
            "beta": self.pick([None, 0.3, 0.0]),
        }
        return self.add("Gemm", [t.name, w, *extra], (t.shape[0], n), **how)

    def grow_matmul(self, t: Tensor) -> list[Tensor]:
        if t.rank < 2:
            return []
        n = int(self.rng.integers(1, 5))
        if t.rank >= 3 and self.chance(0.3):
            w = self.constant(self.values((n, t.shape[-2])))
            return self.add("MatMul", [w, t.name], (*t.shape[:-2], n, t.shape[-1]))
        w = self.constant(self.values((t.shape[-1], n)))
        y = self.add("MatMul", [t.name, w], (*t.shape[:-1], n))
        if self.chance(0.5):
            y = self.add("Add", [y[0].name, self.constant(self.values((n,)))], y[0].shape)
        return y

    # elementwise
    def grow_constant_arithmetic(self, t: Tensor) -> list[Tensor]:
        kind = self.pick(["Mul", "Add", "Sub", "Div"])
        axis = int(self.rng.integers(t.rank)) if not self.chance(0.5) else min(1, t.rank - 1)
        shape = self.pick([(), (1,), tuple(n if i == axis else 1 for i, n in enumerate(t.shape))])
        if len(shape) == t.rank and axis and self.chance(0.5):
            shape = shape[axis:]
        if shape and shape[0] == t.shape[0] and len(shape) == t.rank and axis == 0 and self.dynamic:
            shape = ()
        k = self.constant(self.values(shape, away_from_zero=kind == "Div"))
        pair = [k, t.name] if kind != "Div" and self.chance(0.3) else [t.name, k]
        return self.add(kind, pair, t.shape)

    def grow_unary(self, t: Tensor) -> list[Tensor]:
        kind, attrs = self.pick([
            ("Relu", {}), ("Relu", {}), ("LeakyRelu", {"alpha": 0.2}), ("Neg", {}), ("Sigmoid", {}),
            ("Identity", {}), ("Dropout", {}), ("Cast", {"to": 1}), ("Abs", {}), ("Tanh", {}),
        ])  # fmt: skip
        return self.add(kind, [t.name], t.shape, **attrs)

    def grow_prelu_clip(self, t: Tensor) -> list[Tensor]:
        if self.chance(0.5):
            lo, hi = (self.net.init(np.float32(v)) for v in (-0.5, 2.0))
            return self.add("Clip", [t.name, lo, hi], t.shape)
        shape = (t.shape[1], *[1] * (t.rank - 2)) if t.rank >= 2 else (1,)
        return self.add("PRelu", [t.name, self.constant(self.values(shape))], t.shape)

    def grow_join(self, t: Tensor) -> list[Tensor]:
        u = self.like(t)
        kind = self.pick(["Add", "Add", "Sub", "Sum", "Mean", "Max", "Min", "Mul"])
        names = [t.name, u.name]
        if kind in ("Sum", "Mean", "Max", "Min") and self.chance(0.3):
            names.append(self.like(t).name)
        return self.add(kind, names if self.chance(0.5) else names[::-1], t.shape)

    def grow_concat(self, t: Tensor) -> list[Tensor]:
        if t.rank < 2:
            return []
        axis = 1 if self.chance(0.8) else int(self.rng.integers(self.dynamic, t.rank))
        u = self.like(t, axis)
        shape = [*t.shape]
        shape[axis] += u.shape[axis]
        if shape[axis] > 24:
            return []
        return self.add("Concat", [t.name, u.name], tuple(shape), axis=axis)

    def grow_softmax(self, t: Tensor) -> list[Tensor]:
        return self.add("Softmax", [t.name], t.shape, axis=t.rank - 1)

    def finish(self) -> onnx.ModelProto:
        """Outputs: what nobody reads, and now and then something in the middle."""
        read = {i for n in self.net.nodes for i in n.input}
        made = {o for n in self.net.nodes for o in n.output}
        outs = [
            t for t in self.pool if t.name in made and (t.name not in read or self.chance(0.07))
        ]
        names = list(dict.fromkeys(t.name for t in outs))
        shapes = {t.name: t.shape for t in outs}
        free = [(f"d{i}_{n}" if self.dynamic else 0) for i, n in enumerate(names)]
        infos = [
            value(n, (f, *shapes[n][1:]) if f else shapes[n])
            for n, f in zip(names, free, strict=True)
        ]
        if self.chance(0.3):
            for made_node in self.net.nodes:
                made_node.name = ""
        model = self.net.out(*infos).model()
        return onnx.shape_inference.infer_shapes(model) if self.chance(0.3) else model


Step = Callable[[Grower, Tensor], list[Tensor]]
