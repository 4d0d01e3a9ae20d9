"""Steps of the rarer operators, for the random graphs of `grow`."""

from __future__ import annotations

import numpy as np

from tests.properties.grow import Grower, Step, Tensor
from tests.properties.moves import axes_call


def length(g: Grower, t: Tensor) -> list[Tensor]:
    """Lengths over windows or axes."""
    if t.rank < 3:
        return []
    if g.chance(0.3) and t.rank == 4 and min(t.shape[2:]) >= 2:
        shape = (*t.shape[:2], *(n - 1 for n in t.shape[2:]))
        return g.add("LpPool", [t.name], shape, kernel_shape=[2, 2])
    kind = g.pick(["ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSumExp"])
    axis = int(g.rng.integers(1, t.rank))
    shape = tuple(1 if i == axis else n for i, n in enumerate(t.shape))
    return axes_call(g, kind, t, [axis], shape)


def norm_layer(g: Grower, t: Tensor) -> list[Tensor]:
    """LayerNormalization over the last axis, or InstanceNormalization."""
    if g.net.opset >= 17 and t.rank >= 2 and g.chance(0.6):
        n = t.shape[-1]
        parts = [g.constant(g.values((n,))) for _ in range(1 + g.chance(0.7))]
        return g.add("LayerNormalization", [t.name, *parts], t.shape, axis=-1, epsilon=1e-2)
    if t.rank < 3:
        return []
    parts = [g.constant(g.values((t.shape[1],))) for _ in range(2)]
    return g.add("InstanceNormalization", [t.name, *parts], t.shape, epsilon=1e-2)


def order(g: Grower, t: Tensor) -> list[Tensor]:
    """The largest few of an axis; their values alone."""
    if t.rank < 2:
        return []
    axis = int(g.rng.integers(1, t.rank))
    k = int(g.rng.integers(1, t.shape[axis] + 1))
    how = {"axis": axis, "largest": int(g.chance(0.7))}
    values = g.net.ops("TopK", [t.name, g.net.ints(k)], 2, **how)[0]
    return [Tensor(values, (*t.shape[:axis], k, *t.shape[axis + 1 :]))]


def running(g: Grower, t: Tensor) -> list[Tensor]:
    """Sums along an axis, or a triangle."""
    if g.net.opset >= 14 and t.rank >= 2 and g.chance(0.4):
        return g.add("Trilu", [t.name], t.shape, upper=int(g.chance(0.5)))
    axis = g.net.init(np.array(int(g.rng.integers(1, t.rank)) if t.rank > 1 else 0))
    return g.add("CumSum", [t.name, axis], t.shape, reverse=int(g.chance(0.3)))


def einsum(g: Grower, t: Tensor) -> list[Tensor]:
    """A product by labels: with one axis summed, kept, or replaced."""
    if g.net.opset < 12 or not 2 <= t.rank <= 4:
        return []
    mine = "abcd"[: t.rank]
    at = int(g.rng.integers(1, t.rank))
    n, label = int(g.rng.integers(1, 4)), mine[at]
    kept = g.chance(0.3)
    result = mine if kept else mine.replace(label, "z")
    theirs, shape = (label, (t.shape[at],)) if kept else (f"{label}z", (t.shape[at], n))
    pair, terms = [t.name, g.constant(g.values(shape))], [mine, theirs]
    if g.chance(0.5):
        pair, terms = pair[::-1], terms[::-1]
    out = t.shape if kept else (*t.shape[:at], n, *t.shape[at + 1 :])
    return g.add("Einsum", pair, out, equation=f"{','.join(terms)}->{result}")


def recurrent(g: Grower, t: Tensor) -> list[Tensor]:
    """A recurrent layer over a sequence (T, N, C) of static length."""
    if t.rank != 3 or g.dynamic:
        return []
    kind, gates = g.pick([("LSTM", 4), ("GRU", 3), ("RNN", 1)])
    h, c = 2, t.shape[2]
    parts = [g.constant(g.values((1, gates * h, n))) for n in (c, h)]
    if g.chance(0.6):
        parts.append(g.constant(g.values((1, 2 * gates * h))))
    y = g.net.ops(kind, [t.name, *parts], 1, hidden_size=h)[0]
    return axes_call(g, "Squeeze", Tensor(y, ()), [1], (t.shape[0], t.shape[1], h))


def bounded(g: Grower, t: Tensor) -> list[Tensor]:
    """A maximum, minimum or one-sided Clip by a constant."""
    kind = g.pick(["Max", "Min", "Clip", "HardSigmoid"])
    if kind == "HardSigmoid":
        return g.add(kind, [t.name], t.shape, alpha=0.25)
    if kind == "Clip":
        bound = g.net.init(np.float32(0.3))
        return g.add(kind, [t.name, *([bound] if g.chance(0.5) else ["", bound])], t.shape)
    shape = g.pick([(), (t.shape[1], *[1] * (t.rank - 2)) if t.rank > 1 else ()])
    return g.add(kind, [t.name, g.constant(g.values(shape))], t.shape)


STEPS: list[tuple[float, Step]] = [
    (0.5, length), (0.6, norm_layer), (0.4, order), (0.4, running), (0.8, einsum),
    (0.5, recurrent), (0.7, bounded),
]  # fmt: skip
