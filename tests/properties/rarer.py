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


def taken(g: Grower, t: Tensor) -> list[Tensor]:
    """Elements of the leading axes by GatherND."""
    depth = int(g.rng.integers(1, t.rank + 1))
    if g.net.opset < 12 or g.dynamic or depth == t.rank:
        return []
    batch = int(g.chance(0.4) and t.rank - depth > 1)
    sizes = t.shape[batch : batch + depth]
    lead = (*t.shape[:batch], int(g.rng.integers(1, 4)))
    places = np.stack([g.rng.integers(-n, n, lead) for n in sizes], -1)
    how = {"batch_dims": batch} if batch else {}
    shape = (*lead, *t.shape[batch + depth :])
    return g.add("GatherND", [t.name, g.net.init(places)], shape, **how)


def placed(g: Grower, t: Tensor) -> list[Tensor]:
    """A part of a tensor, or constants, written over it or added to it."""
    if g.net.opset < 13 or g.dynamic or t.rank < 2:
        return []
    axis = int(g.rng.integers(t.rank))
    n = int(g.rng.integers(1, t.shape[axis] + 1))
    shape = tuple(n if i == axis else m for i, m in enumerate(t.shape))
    part = g.constant(g.values(shape))
    if g.chance(0.6):
        bounds = [g.net.ints(k) for k in (0, n, axis)]
        part = g.net.op("Slice", t.name if g.chance(0.5) else g.like(t).name, *bounds)
    how = {"reduction": "add"} if g.net.opset >= 16 and g.chance(0.3) else {}
    order = g.rng.permutation(t.shape[axis])[:n]
    base = g.constant(g.values(t.shape)) if g.chance(0.3) else t.name
    if g.chance(0.5):
        laid = order.reshape([n if i == axis else 1 for i in range(t.rank)])
        indices = np.broadcast_to(laid, shape).astype(np.int64)
        names = [base, g.net.init(indices), part]
        return g.add("ScatterElements", names, t.shape, axis=axis, **how)
    axes = [order if i == axis else np.arange(m) for i, m in enumerate(t.shape)]
    depth = int(g.rng.integers(axis + 1, t.rank + 1))
    places = np.stack(np.meshgrid(*axes[:depth], indexing="ij"), -1).astype(np.int64)
    return g.add("ScatterND", [base, g.net.init(places), part], t.shape, **how)


def by_vector(g: Grower, t: Tensor) -> list[Tensor]:
    """A product with a constant vector, from either side."""
    if t.rank < 3:
        return []
    left = g.chance(0.5)
    vector = g.constant(g.values((t.shape[-2 if left else -1],)))
    pair = [vector, t.name] if left else [t.name, vector]
    shape = (*t.shape[:-2], t.shape[-1]) if left else t.shape[:-1]
    y = g.add("MatMul", pair, shape)
    return g.add("Add", [y[0].name, g.constant(g.values((1,)))], shape) if g.chance(0.5) else y


def filtered(g: Grower, t: Tensor) -> list[Tensor]:
    """A Conv whose weight is computed from another input."""
    if t.rank != 4:
        return []
    c, cout = t.shape[1], int(g.rng.integers(1, 4))
    name = g.net.fresh("z")
    weight = g.net.op("MatMul", g.constant(g.values((cout, 3))), g.net.input((3, c), name))
    weight = g.net.op("Tanh", weight) if g.chance(0.2) else weight
    weight = g.net.op("Reshape", weight, g.net.ints(cout, c, 1, 1))
    tail = [g.constant(g.values((cout,)))] if g.chance(0.5) else []
    return g.add("Conv", [t.name, weight, *tail], (t.shape[0], cout, *t.shape[2:]))


def cut_up(g: Grower, t: Tensor) -> list[Tensor]:
    """Pieces out of a sequence, as torch's raw exports split."""
    if t.rank < 2:
        return []
    axis, n = 1, int(g.rng.integers(1, t.shape[1] + 1))
    cut = g.net.op("SplitToSequence", t.name, g.net.init(np.array(n)), axis=axis)
    count = -(-t.shape[axis] // n)
    places = g.rng.permutation(count)[: int(g.rng.integers(1, 3))]
    made = []
    for place in map(int, places):
        length = min(n, t.shape[axis] - place * n)
        at = g.net.init(np.array(place - count * g.chance(0.3), np.int64))
        shape = tuple(length if i == axis else m for i, m in enumerate(t.shape))
        made += g.add("SequenceAt", [cut, at], shape)
    return made


STEPS: list[tuple[float, Step]] = [
    (0.5, length), (0.6, norm_layer), (0.4, order), (0.4, running), (0.8, einsum),
    (0.5, recurrent), (0.7, bounded), (0.5, taken), (0.9, placed), (0.6, by_vector),
    (0.5, filtered), (0.5, cut_up),
]  # fmt: skip
