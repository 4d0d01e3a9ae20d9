"""Steps that move elements, pool or resize, for the random graphs of `grow`."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.properties.grow import MODES, Grower, Step, Tensor


def axes_call(
    g: Grower, kind: str, t: Tensor, axes: list[int], shape: tuple[int, ...], **attrs: Any
) -> list[Tensor]:
    """Axes as an attribute or an input, as the opset has it."""
    since = {"ReduceSum": 13, "Squeeze": 13, "Unsqueeze": 13}.get(kind, 18)
    if g.net.opset >= since:
        return g.add(kind, [t.name, g.net.ints(*axes)], shape, **attrs)
    return g.add(kind, [t.name], shape, axes=axes, **attrs)


def transpose(g: Grower, t: Tensor) -> list[Tensor]:
    order = [0, *(1 + g.rng.permutation(t.rank - 1))] if g.dynamic else g.rng.permutation(t.rank)
    perm = [int(i) for i in order]
    return g.add("Transpose", [t.name], tuple(t.shape[i] for i in perm), perm=perm)


def reshape(g: Grower, t: Tensor) -> list[Tensor]:
    """Merge two neighbouring axes, or split one."""
    shape, first = [*t.shape], 1 if g.dynamic else 0
    if t.rank < first + 2:
        return []
    if g.chance(0.5) and t.rank > 2:
        at = int(g.rng.integers(first, t.rank - 1))
        shape[at : at + 2] = [shape[at] * shape[at + 1]]
    else:
        at = int(g.rng.integers(first, t.rank))
        parts = [d for d in (2, 3, 4) if shape[at] % d == 0 and shape[at] > d]
        if not parts or t.rank > 4:
            return []
        d = int(g.pick(parts))
        shape[at : at + 1] = [d, shape[at] // d]
    target = [*shape]
    if g.dynamic:
        target[0] = int(g.pick([0, -1]))
    elif g.chance(0.3):
        target[int(g.rng.integers(len(target)))] = -1
    return g.add("Reshape", [t.name, g.net.ints(*target)], tuple(shape))


def flatten(g: Grower, t: Tensor) -> list[Tensor]:
    if t.rank < 3 or np.prod(t.shape[1:]) > 150:
        return []
    return g.add("Flatten", [t.name], (t.shape[0], int(np.prod(t.shape[1:]))))


def squeeze(g: Grower, t: Tensor) -> list[Tensor]:
    ones = [i for i, n in enumerate(t.shape) if n == 1 and i]
    if ones and g.chance(0.6):
        at = int(g.pick(ones))
        return axes_call(g, "Squeeze", t, [at], t.shape[:at] + t.shape[at + 1 :])
    if t.rank > 4:
        return []
    at = int(g.rng.integers(1, t.rank + 1))
    return axes_call(g, "Unsqueeze", t, [at], (*t.shape[:at], 1, *t.shape[at:]))


def cut(g: Grower, t: Tensor) -> list[Tensor]:
    """Slice, Gather or Split along any axis but a dynamic batch."""
    if t.rank < 2:
        return []
    axis = 1 if g.chance(0.6) else int(g.rng.integers(g.dynamic, t.rank))
    n = t.shape[axis]
    if n < 2:
        return []
    how = g.pick(["slice", "gather", "split"])
    put = lambda m: (*t.shape[:axis], m, *t.shape[axis + 1 :])  # noqa: E731
    if how == "slice":
        a, b = sorted(int(i) for i in g.rng.choice(n + 1, 2, replace=False))
        step = int(g.pick([1, 1, 2]))
        parts = [g.net.ints(v) for v in (a, b, axis, step)]
        return g.add("Slice", [t.name, *parts], put(-(-(b - a) // step)))
    if how == "gather":
        ids = g.rng.integers(0, n, int(g.rng.integers(1, n + 1)))
        if g.chance(0.5):
            ids = g.rng.permutation(n)
        return g.add("Gather", [t.name, g.net.init(ids.astype(np.int64))], put(len(ids)), axis=axis)
    a = int(g.rng.integers(1, n))
    sizes = [a, n - a]
    if g.net.opset < 13:
        outs = g.net.ops("Split", [t.name], 2, axis=axis, split=sizes)
    else:
        outs = g.net.ops("Split", [t.name, g.net.ints(*sizes)], 2, axis=axis)
    return [Tensor(o, put(m)) for o, m in zip(outs, sizes, strict=True)]


def spread(g: Grower, t: Tensor) -> list[Tensor]:
    """Tile or Expand."""
    if t.rank < 2 or np.prod(t.shape) > 300:
        return []
    ones = [i for i, n in enumerate(t.shape) if n == 1 and i]
    if ones and g.chance(0.6):
        target, at = [1] * t.rank, int(g.pick(ones))
        target[at] = 3
        shape = (*t.shape[:at], 3, *t.shape[at + 1 :])
        return g.add("Expand", [t.name, g.net.ints(*target)], shape)
    times, at = [1] * t.rank, int(g.rng.integers(g.dynamic, t.rank))
    times[at] = 2
    return g.add(
        "Tile",
        [t.name, g.net.ints(*times)],
        tuple(n * k for n, k in zip(t.shape, times, strict=True)),
    )


def depth_space(g: Grower, t: Tensor) -> list[Tensor]:
    if t.rank != 4:
        return []
    n, c, h, w = t.shape
    if c % 4 == 0 and g.chance(0.5):
        mode = g.pick(["DCR", "CRD"])
        return g.add("DepthToSpace", [t.name], (n, c // 4, 2 * h, 2 * w), blocksize=2, mode=mode)
    if h % 2 or w % 2 or c > 6:
        return []
    return g.add("SpaceToDepth", [t.name], (n, 4 * c, h // 2, w // 2), blocksize=2)


def pool(g: Grower, t: Tensor) -> list[Tensor]:
    if not 3 <= t.rank <= 5 or min(t.shape[2:]) < 2:
        return []
    if g.chance(0.3):
        kind = g.pick(["GlobalAveragePool", "GlobalMaxPool"])
        return g.add(kind, [t.name], (*t.shape[:2], *[1] * (t.rank - 2)))
    r = t.rank - 2
    kind, k, s = g.pick(["MaxPool", "AveragePool"]), 2, int(g.pick([1, 2]))
    pads = [int(g.chance(0.3)) for _ in range(2 * r)]
    attrs: dict[str, Any] = {"kernel_shape": [k] * r, "strides": [s] * r}
    if kind == "AveragePool":
        attrs["count_include_pad"] = int(g.chance(0.5))
    if g.chance(0.2):
        attrs["auto_pad"] = "SAME_UPPER"
        out = [-(-n // s) for n in t.shape[2:]]
    else:
        attrs["pads"] = pads
        out = [(n + pads[i] + pads[i + r] - k) // s + 1 for i, n in enumerate(t.shape[2:])]
    return g.add(kind, [t.name], (*t.shape[:2], *out), **attrs)


def reduce(g: Grower, t: Tensor) -> list[Tensor]:
    if t.rank < 3:
        return []
    kind = g.pick(["ReduceMean", "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"])
    axes = sorted({int(a) for a in g.rng.integers(1, t.rank, 2)})
    keep = int(g.chance(0.6))
    shape = [1 if i in axes else n for i, n in enumerate(t.shape)]
    if not keep:
        shape = [n for i, n in enumerate(t.shape) if i not in axes]
    return axes_call(g, kind, t, axes, tuple(shape), keepdims=keep)


def resize(g: Grower, t: Tensor) -> list[Tensor]:
    if t.rank != 4 or max(t.shape[2:]) > 7:
        return []
    up = [float(g.pick([1.0, 2.0, 1.5])) for _ in range(2)]
    scales = g.net.init(np.array([1.0, 1.0, *up], np.float32))
    shape = (*t.shape[:2], *(int(n * u) for n, u in zip(t.shape[2:], up, strict=True)))
    roi = g.net.init(np.zeros(0, np.float32)) if g.net.opset < 13 else ""
    how = {"mode": g.pick(["nearest", "linear"]), "coordinate_transformation_mode": g.pick(MODES)}
    return g.add("Resize", [t.name, roi, scales], shape, **how)


def pad(g: Grower, t: Tensor) -> list[Tensor]:
    if t.rank != 4 or min(t.shape[2:]) < 3:
        return []
    amounts = [0] * 8
    for i in (2, 3, 6, 7):
        amounts[i] = int(g.pick([0, 1, 1, -1]))
    mode = g.pick(["constant", "constant", "reflect", "edge"])
    if mode != "constant":
        amounts = [max(a, 0) for a in amounts]
    fill = (
        [g.net.init(np.float32(g.pick([0.0, 1.5])))] if mode == "constant" and g.chance(0.5) else []
    )
    shape = tuple(n + amounts[i] + amounts[i + 4] for i, n in enumerate(t.shape))
    return g.add("Pad", [t.name, g.net.ints(*amounts), *fill], shape, mode=mode)


STEPS: list[tuple[float, Step]] = [
    (4.0, Grower.grow_norm), (3.0, Grower.grow_conv), (1.0, Grower.grow_deconv),
    (2.0, Grower.grow_gemm), (1.5, Grower.grow_matmul), (1.5, Grower.grow_constant_arithmetic),
    (1.5, Grower.grow_unary), (0.5, Grower.grow_prelu_clip), (2.0, Grower.grow_join),
    (1.5, Grower.grow_concat), (0.3, Grower.grow_softmax), (1.0, transpose), (1.0, reshape),
    (0.7, flatten), (0.5, squeeze), (1.2, cut), (0.5, spread), (0.5, depth_space), (1.0, pool),
    (0.8, reduce), (0.6, resize), (0.7, pad),
]  # fmt: skip
