"""Random graphs of linear branches: Convs, pools, BatchNorms, constant maps, met in sums."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from tests.build import batchnorm, ints, node, randn, tensor

Dims = tuple[int, ...]


class Branches:
    """A net that grows by branches of one input; every tensor knows its shape (N left out)."""

    def __init__(self, seed: int, dtype: Any = np.float32) -> None:
        self.dtype = dtype
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.rank = int(self.rng.choice([1, 2, 2, 2, 3]))
        self.channels = int(self.rng.choice([1, 2, 4, 4, 6]))
        most = {1: 14, 2: 9, 3: 6}[self.rank]
        self.shape: Dims = (
            self.channels,
            *(int(n) for n in self.rng.integers(3, most, self.rank)),
        )
        self.open = bool(self.rng.random() < 0.4)  # spatial sizes unknown before run time

    def new(self) -> str:
        return f"t{len(self.nodes)}"

    def constant(self, array: object) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(tensor(name, np.asarray(array, self.dtype)))
        return name

    def add(self, op_type: str, inputs: list[str], **attributes: object) -> str:
        out = self.new()
        self.nodes.append(node(op_type, inputs, out, **attributes))
        return out

    def conv(
        self, x: str, shape: Dims, outputs: int, target: Dims | None = None
    ) -> tuple[str, Dims]:
        """A Conv of random kernel, dilation, groups and padding; `target`: spatial sizes to hit."""
        group = self._group(shape[0], outputs)
        kernel, dilations, pads, strides, made = [], [], [], [], []
        for axis, n in enumerate(shape[1:]):
            want = None if target is None else target[axis + 1]
            k, d, begin, end, s, out = self._axis(n, want)
            kernel.append(k)
            dilations.append(d)
            strides.append(s)
            pads.append((begin, end))
            made.append(out)
        weight = randn(self.rng, outputs, shape[0] // group, *kernel)
        if self.rng.random() < 0.15:  # exact zeros in rows, as pruned nets have them
            weight[0] = 0
        inputs = [x, self.constant(weight)]
        if self.rng.random() < 0.5:
            inputs.append(self.constant(randn(self.rng, outputs)))
        out = self.add(
            "Conv",
            inputs,
            group=group if group > 1 else None,
            dilations=dilations if any(d > 1 for d in dilations) else None,
            strides=strides if any(s > 1 for s in strides) else None,
            pads=[b for b, _ in pads] + [e for _, e in pads],
        )
        return out, (outputs, *made)

    def _axis(self, n: int, want: int | None) -> tuple[int, int, int, int, int, int]:
        """(kernel, dilation, begin, end, stride, outputs); about `want` outputs if asked."""
        for _ in range(60):
            k = int(self.rng.choice([1, 1, 2, 3, 3, 5]))
            d = int(self.rng.choice([1, 1, 2, 3])) if k > 1 else 1
            s = int(self.rng.choice([1, 1, 1, 2, 3]))
            span = (k - 1) * d + 1
            if self.rng.random() < 0.6:
                begin = (span - 1) // 2
                end = span - 1 - begin
            else:
                begin, end = (int(v) for v in self.rng.integers(0, 4, 2))
            out = (n + begin + end - span) // s + 1
            if n + begin + end >= span and out >= 1 and (want is None or out == want):
                return k, d, begin, end, s, out
        if want is None:
            return 1, 1, 0, 0, 1, n
        return self._forced(n, want)

    @staticmethod
    def _forced(n: int, want: int) -> tuple[int, int, int, int, int, int]:
        """A kernel or padding that gives just that many outputs."""
        if want <= n:
            return n - want + 1, 1, 0, 0, 1, want
        return 1, 1, 0, want - n, 1, want

    def _group(self, inputs: int, outputs: int) -> int:
        fits = [g for g in range(1, inputs + 1) if inputs % g == 0 and outputs % g == 0]
        return int(self.rng.choice([fits[0], fits[-1], int(self.rng.choice(fits))]))

    def norm(self, x: str, shape: Dims) -> str:
        out = self.new()
        made, parameters = batchnorm(x, out, shape[0], self.rng, dtype=self.dtype)
        self.nodes.append(made)
        self.constants += parameters
        return out

    def map(self, x: str, shape: Dims) -> str:
        op_type = str(self.rng.choice(["Mul", "Div", "Add", "Sub", "Neg", "Identity"]))
        if op_type in ("Neg", "Identity"):
            return self.add(op_type, [x])
        size = (shape[0], *[1] * self.rank) if self.rng.random() < 0.7 else ()
        c: NDArray[np.float32] = (
            self.rng.uniform(0.5, 2, size) * self.rng.choice([-1, 1], size)
        ).astype(np.float32)
        inputs = [x, self.constant(c)]
        if op_type != "Div" and self.rng.random() < 0.3:
            inputs.reverse()
        return self.add(op_type, inputs)

    def pool(self, x: str, shape: Dims, target: Dims | None) -> tuple[str, Dims]:
        """AveragePool; its padding may or may not count."""
        axes = [
            self._axis(n, None if target is None else target[i + 1])
            for i, n in enumerate(shape[1:])
        ]
        if any(d > 1 or max(b, e) >= k for k, d, b, e, _, _ in axes):
            axes = [(1, 1, 0, 0, 1, n) for n in shape[1:]]
        made = (shape[0], *(a[5] for a in axes))
        if target is not None and made[1:] != target[1:]:
            return self.conv(x, shape, shape[0], target)
        out = self.add(
            "AveragePool",
            [x],
            kernel_shape=[a[0] for a in axes],
            strides=[a[4] for a in axes],
            pads=[a[2] for a in axes] + [a[3] for a in axes],
            count_include_pad=int(self.rng.random() < 0.6),
        )
        return out, made

    def pad(self, x: str, shape: Dims) -> tuple[str, Dims]:
        widths = self.rng.integers(0, 3, (2, self.rank))
        pads = ints(
            f"c{len(self.constants)}", 0, 0, *map(int, widths[0]), 0, 0, *map(int, widths[1])
        )
        self.constants.append(pads)
        grown = [n + int(w) for n, w in zip(shape[1:], widths.sum(0), strict=True)]
        return self.add("Pad", [x, pads.name]), (shape[0], *grown)

    def cut(self, x: str, shape: Dims) -> tuple[str, Dims]:
        """A Slice off the borders, perhaps of every other row."""
        start, cut, step = (self.rng.integers(0, 2, self.rank) for _ in range(3))
        made = [
            (n - a - e - 1) // (1 + s) + 1
            for n, a, e, s in zip(shape[1:], start, cut, step, strict=True)
        ]
        if min(made) < 1:
            return x, shape
        ends = [-1 if e else 2**63 - 1 for e in cut]
        columns = [start, ends, range(2, self.rank + 2), step + 1]
        first = len(self.constants)
        names = [f"c{first + i}" for i in range(4)]
        self.constants += [
            ints(name, *map(int, column)) for name, column in zip(names, columns, strict=True)
        ]
        return self.add("Slice", [x, *names]), (shape[0], *map(int, made))

    def joined(self, x: str, shape: Dims, target: Dims) -> tuple[str, Dims]:
        """A Concat of two Convs that makes up the target's channels."""
        part = int(self.rng.integers(1, target[0]))
        a, made = self.conv(x, shape, part, target)
        b, other = self.conv(x, shape, target[0] - part, target)
        if made[1:] != other[1:]:
            return a, made
        return self.add("Concat", [a, b], axis=1), (target[0], *made[1:])

    def spread(
        self, x: str, shape: Dims, target: tuple[int, Dims, Dims] | None
    ) -> tuple[str, Dims]:
        """A ConvTranspose; `target`: its outputs, strides and spatial sizes, if they are given."""
        if target is None:
            strides = tuple(int(s) for s in self.rng.choice([1, 2, 2, 3], self.rank))
            outputs, sizes = int(self.rng.choice([shape[0], 2, 4])), None
        else:
            outputs, strides, sizes = target
        axes = [
            self._spread_axis(n, s, None if sizes is None else sizes[i])
            for i, (n, s) in enumerate(zip(shape[1:], strides, strict=True))
        ]
        group = self._group(shape[0], outputs)
        kernel = [a[0] for a in axes]
        inputs = [x, self.constant(randn(self.rng, shape[0], outputs // group, *kernel))]
        if self.rng.random() < 0.5:
            inputs.append(self.constant(randn(self.rng, outputs)))
        out = self.add(
            "ConvTranspose",
            inputs,
            group=group,
            strides=list(strides),
            dilations=[a[1] for a in axes],
            pads=[a[2] for a in axes] + [a[3] for a in axes],
            output_padding=[a[4] for a in axes],
        )
        return out, (outputs, *(a[5] for a in axes))

    def _spread_axis(
        self, n: int, stride: int, want: int | None
    ) -> tuple[int, int, int, int, int, int]:
        """(kernel, dilation, begin, end, output padding, outputs)."""
        while True:
            k = int(self.rng.choice([1, 2, 3, 4, 5]))
            d = int(self.rng.choice([1, 1, 2])) if k > 1 else 1
            begin, end = (int(v) for v in self.rng.integers(0, 3, 2))
            added = int(self.rng.integers(0, max(stride, d)))
            out = stride * (n - 1) + added + (k - 1) * d + 1 - begin - end
            if out >= 1 and (out == want or (want is None and out >= 2)):
                return k, d, begin, end, added, out

    def branch(self, x: str, shape: Dims, target: Dims, depth: int) -> str | None:
        """A chain from x to a tensor of the target's shape."""
        for _ in range(int(self.rng.integers(0, 3)) if depth else 0):
            x, shape = self._step(x, shape, depth)
        if shape == target and self.rng.random() < 0.45:
            choice = self.rng.random()
            if choice < 0.35:
                return x
            return self.norm(x, shape) if choice < 0.7 else self.map(x, shape)
        if shape[0] == target[0] and self.rng.random() < 0.25:
            x, shape = self.pool(x, shape, target)
        elif target[0] > 1 and self.rng.random() < 0.2:
            x, shape = self.joined(x, shape, target)
        else:
            x, shape = self.conv(x, shape, target[0], target)
        if self.rng.random() < 0.3:
            x = self.norm(x, shape)
        if self.rng.random() < 0.2:
            x = self.map(x, shape)
        return x if shape == target else None

    def _step(self, x: str, shape: Dims, depth: int) -> tuple[str, Dims]:
        choice = self.rng.random()
        if choice < 0.35:
            return self.conv(x, shape, int(self.rng.choice([shape[0], 2, 4])))
        if choice < 0.5:
            return self.norm(x, shape), shape
        if choice < 0.65:
            return self.map(x, shape), shape
        if choice < 0.75:
            return self.pool(x, shape, None)
        if choice < 0.85:
            return self.pad(x, shape) if self.rng.random() < 0.6 else self.cut(x, shape)
        if depth > 1:
            return self.sum(x, shape, depth - 1)
        return x, shape

    def sum(self, x: str, shape: Dims, depth: int) -> tuple[str, Dims]:
        """Branches of one tensor, added up in a random tree."""
        first, target = self.conv(x, shape, int(self.rng.choice([shape[0], shape[0], 2, 4])))
        terms = [first]
        for _ in range(int(self.rng.integers(1, 4))):
            made = self.branch(x, shape, target, depth)
            if made is not None:
                terms.append(made)
        if self.rng.random() < 0.2:
            terms.append(str(self.rng.choice(terms)))  # one branch twice
        self.rng.shuffle(terms)
        while len(terms) > 1:
            i = int(self.rng.integers(0, len(terms) - 1))
            a, b = terms.pop(i), terms.pop(i)
            op_type = str(self.rng.choice(["Add", "Add", "Add", "Sub", "Sum", "Mean"]))
            terms.insert(i, self.add(op_type, [a, b]))
            if self.rng.random() < 0.15:
                terms[i] = self.map(terms[i], target)
        return terms[0], target


def spread_sum(net: Branches, x: str, shape: Dims) -> tuple[str, Dims]:
    """ConvTransposes of one tensor, added up, scaled, normed, with a 1x1 Conv here and there."""
    first, made = net.spread(x, shape, None)
    strides = onnx.helper.get_attribute_value(
        next(a for a in net.nodes[-1].attribute if a.name == "strides")
    )
    terms = [first]
    for _ in range(int(net.rng.integers(1, 4))):
        inner, inside = x, shape
        if net.rng.random() < 0.3:
            weight = net.constant(randn(net.rng, 4, shape[0], *[1] * net.rank))
            inner, inside = net.add("Conv", [x, weight]), (4, *shape[1:])
        term, _ = net.spread(inner, inside, (made[0], tuple(strides), made[1:]))
        if net.rng.random() < 0.4:
            term = net.norm(term, made) if net.rng.random() < 0.5 else net.map(term, made)
        terms.append(term)
    while len(terms) > 1:
        op_type = str(net.rng.choice(["Add", "Sub", "Sum", "Mean"]))
        terms.append(net.add(op_type, [terms.pop(0), terms.pop(0)]))
    return terms[0], made
