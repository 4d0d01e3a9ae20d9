"""Sliding windows: pads, output sizes, and the strided view that each kernel tap sees."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bnfold.ops64.call import Array, Call

Sizes = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Window:
    """Geometry over the spatial axes; `extra` is what ceil_mode reads beyond the end pads."""

    kernel: Sizes
    strides: Sizes
    dilations: Sizes
    begin: Sizes
    end: Sizes
    extra: Sizes
    out: Sizes

    def pad(self, x: Array, fill: float) -> Array:
        """Pads, and ceil_mode's extra cells, set to `fill`."""
        rank = len(self.kernel)
        ends = [end + extra for end, extra in zip(self.end, self.extra, strict=True)]
        widths = [(0, 0)] * (x.ndim - rank) + list(zip(self.begin, ends, strict=True))
        return pad_signed(x, widths, fill)

    def taps(self, padded: Array) -> Iterator[tuple[Sizes, Array]]:
        """Each kernel position with the view (..., *out) of the values it meets."""
        for tap in itertools.product(*map(range, self.kernel)):
            yield tap, padded[last(self._view(tap))]

    def _view(self, tap: Sizes) -> tuple[slice, ...]:
        starts = [t * d for t, d in zip(tap, self.dilations, strict=True)]
        return tuple(
            slice(start, start + stride * (out - 1) + 1, stride)
            for start, stride, out in zip(starts, self.strides, self.out, strict=True)
        )


def last(where: Sequence[Any]) -> tuple[Any, ...]:
    """An index into the last axes: `x[last(tap)]` is `x[..., *tap]`."""
    return (Ellipsis, *where)


def pad_signed(x: Array, widths: Sequence[tuple[int, int]], fill: float) -> Array:
    """Constant padding; negative widths crop."""
    if any(width < 0 for pair in widths for width in pair):
        keep = [slice(max(-b, 0), size - max(-e, 0)) for (b, e), size in zip(widths, x.shape)]  # noqa: B905
        x = x[tuple(keep)]
        widths = [(max(b, 0), max(e, 0)) for b, e in widths]
    if not any(width for pair in widths for width in pair):
        return x
    return np.pad(x, widths, constant_values=np.asarray(fill, dtype=x.dtype))


def window(call: Call, spatial: Sizes, kernel: Sizes) -> Window:
    """The geometry that strides, dilations, pads, auto_pad and ceil_mode give.

    Raises:
        ValueError: an unknown auto_pad, or a window larger than the padded input.
    """
    rank = len(kernel)
    strides = tuple(call.ints("strides") or [1] * rank)
    dilations = tuple(call.ints("dilations") or [1] * rank)
    spans = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True))
    begin, end = _pads(call, spatial, spans, strides)
    ceil = bool(call.attr("ceil_mode", 0)) and call.text("auto_pad", "NOTSET") == "NOTSET"
    out, extra = [], []
    for size, b, e, span, stride in zip(spatial, begin, end, spans, strides, strict=True):
        room = size + b + e - span
        count = (-(-room // stride) if ceil else room // stride) + 1
        if ceil and (count - 1) * stride >= size + b:  # it would start in the end pads
            count -= 1
        if count < 1:
            raise ValueError(f"{call.op_type}: a window of {span} on {size + b + e} values")
        out.append(count)
        extra.append(max(0, (count - 1) * stride + span - (size + b + e)))
    return Window(kernel, strides, dilations, begin, end, tuple(extra), tuple(out))


def _pads(call: Call, spatial: Sizes, spans: Sizes, strides: Sizes) -> tuple[Sizes, Sizes]:
    how = call.text("auto_pad", "NOTSET")
    rank = len(spatial)
    if how == "VALID":
        return (0,) * rank, (0,) * rank
    if how in ("NOTSET", ""):
        pads = call.ints("pads") or [0] * (2 * rank)
        return tuple(pads[:rank]), tuple(pads[rank:])
    if how not in ("SAME_UPPER", "SAME_LOWER"):
        raise ValueError(f"{call.op_type}: auto_pad {how}")
    begin, end = [], []
    for size, span, stride in zip(spatial, spans, strides, strict=True):
        total = max((-(-size // stride) - 1) * stride + span - size, 0)
        small, large = total // 2, total - total // 2
        begin.append(small if how == "SAME_UPPER" else large)
        end.append(large if how == "SAME_UPPER" else small)
    return tuple(begin), tuple(end)
