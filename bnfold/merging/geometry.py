"""Where a linear operator reads, without its weights: shapes, taps and grids, and their algebra.

Along one spatial axis an operator is  y[p] = sum over i of w_i x[stride p + first + step i]
for p = 0 .. floor((n + slack) / stride), where x is zero outside of [0, n). Padding is no notion
of its own: a tap whose offset is negative, or reaches beyond the end, reads those zeros. So
kernels of any size, dilation and padding are laid over each other by their offsets.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import gcd, prod

from bnfold.folding.reasons import Reason

Size = int | None  # of a spatial axis; None where it is not known before run time


class Layout(enum.Enum):
    """Which axis of a tensor the operator's channels lie along."""

    FIRST = "axis 1, spatial axes behind it: Conv"
    LAST = "the last axis: MatMul and Gemm"
    TRANSPOSED = "axis 1, spatial axes behind it: ConvTranspose"


@dataclass(frozen=True, slots=True)
class Axis:
    """The taps along one spatial axis."""

    first: int = 0
    step: int = 1
    taps: int = 1
    stride: int = 1
    slack: int = -1

    @property
    def last(self) -> int:
        """The offset of the last tap."""
        return self.first + self.step * (self.taps - 1)

    @property
    def begin(self) -> int:
        """The padding in front, as ONNX writes it."""
        return -self.first

    @property
    def end(self) -> int:
        """The padding behind, as ONNX writes it."""
        return self.slack + self.last + 1

    def count(self, n: int) -> int:
        """Outputs on an axis of n inputs."""
        return (n + self.slack) // self.stride + 1

    def known_count(self, n: Size) -> Size:
        """Outputs, or None where the inputs are not known."""
        return None if n is None else self.count(n)

    def meets_zeros(self, offset: int, n: Size) -> bool:
        """Whether the tap at an offset ever reads outside of [0, n)."""
        return offset < 0 or self.reads_beyond(offset, n)

    def reads_beyond(self, offset: int, n: Size) -> bool:
        """Whether the tap at an offset ever reads at n or behind it."""
        if n is None:  # whatever n is, the last output stands at most at n + slack
            return self.slack + offset >= 0
        return self.stride * (self.count(n) - 1) + offset >= n

    @property
    def offsets(self) -> tuple[int, ...]:
        """The offsets of all taps."""
        return tuple(self.first + self.step * i for i in range(self.taps))

    @property
    def is_in_place(self) -> bool:
        """Every position to itself."""
        return self == type(self)()

    @property
    def is_expressible(self) -> bool:
        """Whether ONNX can say it: padding is never negative there."""
        return self.begin >= 0 and self.end >= 0


@dataclass(frozen=True, slots=True)
class Spread(Axis):
    """An axis of ConvTranspose: y[stride i + first + step k] gets w_k x[i].

    It has stride n + slack + 1 outputs.
    """

    @property
    def end(self) -> int:
        """The padding behind, as ONNX writes it."""
        return max(0, self.last - self.stride - self.slack)

    @property
    def added(self) -> int:
        """The output padding."""
        return max(0, self.slack + self.stride - self.last)

    def count(self, n: int) -> int:
        """Outputs on an axis of n inputs."""
        return self.stride * n + self.slack + 1

    def meets_zeros(self, offset: int, n: Size) -> bool:
        """Taps overlap differently from place to place: a constant plane does not stay one."""
        return not self.is_in_place

    @property
    def is_expressible(self) -> bool:
        """Whether ONNX can say it: output padding is smaller than stride or dilation there."""
        return self.begin >= 0 and self.added < max(self.stride, self.step)


@dataclass(frozen=True, slots=True)
class Geometry:
    """Channels, groups and taps of an operator: its weight is (outputs, inputs/group, *taps)."""

    inputs: int
    outputs: int
    group: int
    axes: tuple[Axis, ...]
    layout: Layout

    @property
    def taps(self) -> tuple[int, ...]:
        """The kernel's extents."""
        return tuple(axis.taps for axis in self.axes)

    @property
    def weights(self) -> int:
        """Elements of the weight: multiply-adds for one output position."""
        return self.outputs * (self.inputs // self.group) * prod(self.taps)

    @property
    def is_diagonal(self) -> bool:
        """Every channel to itself, at one tap: a scale per channel, perhaps moved or strided."""
        return self.group == self.inputs == self.outputs and prod(self.taps) == 1

    @property
    def is_expressible(self) -> bool:
        """Whether one ONNX node can say it."""
        if self.layout is Layout.TRANSPOSED and all(axis.is_in_place for axis in self.axes):
            return False  # that is a Conv
        return all(axis.is_expressible for axis in self.axes)


def diagonal(channels: int, rank: int, layout: Layout) -> Geometry:
    """The geometry of the identity."""
    spatial = 0 if layout is Layout.LAST else rank
    axis = Spread() if layout is Layout.TRANSPOSED else Axis()
    return Geometry(channels, channels, channels, (axis,) * spatial, layout)


def summed(a: Geometry, b: Geometry, sizes: Sequence[Size]) -> Geometry | Reason:
    """The geometry of a(x) + b(x), for spatial sizes of x."""
    if (a.inputs, a.outputs, a.layout) != (b.inputs, b.outputs, b.layout):
        return Reason.GEOMETRY_DIFFERS
    if len(a.axes) != len(b.axes):
        return Reason.GEOMETRY_DIFFERS
    return _over_axes(_summed_axis, a, b, sizes, (a.inputs, a.outputs, gcd(a.group, b.group)))


def stacked(a: Geometry, b: Geometry, sizes: Sequence[Size]) -> Geometry | Reason:
    """The geometry of both outputs behind one another, for spatial sizes of x; no groups left."""
    if (a.inputs, a.layout, len(a.axes)) != (b.inputs, b.layout, len(b.axes)):
        return Reason.GEOMETRY_DIFFERS
    return _over_axes(_summed_axis, a, b, sizes, (a.inputs, a.outputs + b.outputs, 1))


def _summed_axis(a: Axis, b: Axis, n: Size) -> Axis | Reason:
    """All taps of both on one raster; both must give equally many outputs."""
    if a.stride != b.stride:
        return Reason.GEOMETRY_DIFFERS
    if a.slack != b.slack and (n is None or a.count(n) != b.count(n)):
        return Reason.GEOMETRY_DIFFERS
    first, last = min(a.first, b.first), max(a.last, b.last)
    step = gcd(_step(a), _step(b), b.first - a.first) or 1
    # of two slacks with the same outputs the larger one: its padding is not negative
    taps = (last - first) // step + 1
    return replace(a, first=first, step=step, taps=taps, slack=max(a.slack, b.slack))


def composed(outer: Geometry, inner: Geometry, sizes: Sequence[Size]) -> Geometry | Reason:
    """The geometry of outer(inner(x)); refused where outer pads what inner would not leave zero."""
    if inner.outputs != outer.inputs or inner.layout is not outer.layout:
        return Reason.GEOMETRY_DIFFERS
    if len(inner.axes) != len(outer.axes):
        return Reason.GEOMETRY_DIFFERS
    group = gcd(outer.group, inner.group)
    return _over_axes(_composed_axis, outer, inner, sizes, (inner.inputs, outer.outputs, group))


def _composed_axis(outer: Axis, inner: Axis, n: Size) -> Axis | Reason:
    """x[s1 (s2 p + o2) + o1]: offsets s1 o2 + o1; nested floors keep the count of outputs exact.

    Outside of its grid, inner's output counts as zero for outer. As one operator it would be
    computed there: both agree only if it reads nothing but zeros there.
    """
    if isinstance(outer, Spread):
        if inner.is_in_place or outer.is_in_place:
            return outer if inner.is_in_place else inner
        return Reason.GEOMETRY_DIFFERS
    middle = inner.known_count(n)
    if outer.first < 0 and inner.last >= inner.stride:
        return Reason.PADDING_SHIFT
    if outer.reads_beyond(outer.last, middle):
        behind = inner.slack + 1 if n is None or middle is None else inner.stride * middle - n
        if behind + inner.first < 0:
            return Reason.PADDING_SHIFT
    first = inner.stride * outer.first + inner.first
    last = inner.stride * outer.last + inner.last
    step = gcd(inner.stride * _step(outer), _step(inner)) or 1
    slack = inner.slack + inner.stride * (1 + outer.slack)
    stride = inner.stride * outer.stride
    return Axis(first, step, (last - first) // step + 1, stride, slack)


def _step(axis: Axis) -> int:
    """The raster that an axis needs: none for a single tap."""
    return axis.step if axis.taps > 1 else 0


def _over_axes(
    rule: Callable[[Axis, Axis, Size], Axis | Reason],
    a: Geometry,
    b: Geometry,
    sizes: Sequence[Size],
    channels: tuple[int, int, int],
) -> Geometry | Reason:
    axes: list[Axis] = []
    for one, other, n in zip(a.axes, b.axes, sizes, strict=True):
        axis = rule(one, other, n)
        if isinstance(axis, Reason):
            return axis
        axes.append(axis)
    inputs, outputs, group = channels
    return Geometry(inputs, outputs, group, tuple(axes), a.layout)
