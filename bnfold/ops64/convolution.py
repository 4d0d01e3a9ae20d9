"""Conv, ConvTranspose and ConvInteger in any number of spatial axes, by matrix products."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import numpy as np

from bnfold.ops64.call import Array, Call, Kernel, Result
from bnfold.ops64.windows import Sizes, Window, last, pad_signed, window

_COLUMNS = 1 << 23  # values of the im2col buffer: 64 MiB


def _conv(call: Call) -> Result:
    """Y = W x + b.  x (N, C, *s), W (M, C/g, *k), b (M,)."""
    return convolve(call, call.need(0), call.need(1), call.get(2))


def convolve(call: Call, x: Array, weight: Array, bias: Array | None) -> Array:
    """Conv with the geometry of `call`'s attributes."""
    kernel = weight.shape[2:]
    group = int(call.attr("group", 1))
    geometry = window(call, x.shape[2:], kernel)
    padded = geometry.pad(x, 0)
    inner = weight.shape[1]
    if inner == 1 and weight.shape[0] == group == x.shape[1]:
        out = _depthwise(padded, weight, geometry)
    elif inner * math.prod(kernel) * math.prod(geometry.out) * group <= _COLUMNS and inner < 16:
        out = _by_columns(padded, weight, geometry, group)
    else:
        out = _by_taps(padded, weight, geometry, group)
    return out if bias is None else out + bias.reshape(-1, *[1] * len(kernel))


def _depthwise(padded: Array, weight: Array, geometry: Window) -> Array:
    out = np.zeros((*padded.shape[:2], *geometry.out))
    for tap, view in geometry.taps(padded):
        out += view * weight[:, 0][last(tap)].reshape(-1, *[1] * len(tap))
    return out


def _by_taps(padded: Array, weight: Array, geometry: Window, group: int) -> Array:
    """One product a kernel position: little memory, fast where the channels are many."""
    n, c = padded.shape[:2]
    m = weight.shape[0]
    spots = math.prod(geometry.out)
    out = np.zeros((n, group, m // group, spots))
    for tap, view in geometry.taps(padded):
        rows = weight[last(tap)].reshape(group, m // group, c // group)
        out += rows @ view.reshape(n, group, c // group, spots)
    return out.reshape(n, m, *geometry.out)


def _by_columns(padded: Array, weight: Array, geometry: Window, group: int) -> Array:
    """One product a sample over all kernel positions: fast where the channels are few."""
    n, c = padded.shape[:2]
    m, spots, taps = weight.shape[0], math.prod(geometry.out), math.prod(geometry.kernel)
    rows = weight.reshape(group, m // group, -1)
    out = np.empty((n, group, m // group, spots))
    for sample in range(n):
        columns = np.empty((c, taps, spots))
        for k, (_, view) in enumerate(geometry.taps(padded[sample])):
            columns[:, k] = view.reshape(c, spots)
        out[sample] = rows @ columns.reshape(group, (c // group) * taps, spots)
    return out.reshape(n, m, *geometry.out)


def _conv_transpose(call: Call) -> Result:
    """The adjoint of Conv.  x (N, C, *s), W (C, M/g, *k), b (M,)."""
    x, weight, bias = call.need(0), call.need(1), call.get(2)
    spatial, kernel = x.shape[2:], weight.shape[2:]
    rank, group = len(kernel), int(call.attr("group", 1))
    strides = tuple(call.ints("strides") or [1] * rank)
    dilations = tuple(call.ints("dilations") or [1] * rank)
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    reach = tuple(s * (n - 1) + e for s, n, e in zip(strides, spatial, spans, strict=True))
    full = _scatter(x, weight, group, (strides, dilations, reach))
    begin, sizes = transpose_crop(call, spatial, strides, reach)
    crops = [(-b, b + size - have) for b, size, have in zip(begin, sizes, reach, strict=True)]
    out = pad_signed(full, [(0, 0), (0, 0), *crops], 0.0)
    return out if bias is None else out + bias.reshape(-1, *[1] * rank)


def _scatter(x: Array, weight: Array, group: int, how: tuple[Sizes, Sizes, Sizes]) -> Array:
    strides, dilations, reach = how
    (n, c), spatial, kernel = x.shape[:2], x.shape[2:], weight.shape[2:]
    inner = weight.shape[1]
    full = np.zeros((n, group, inner, *reach))
    columns = x.reshape(n, group, c // group, -1)
    for tap in itertools.product(*map(range, kernel)):
        rows = weight[last(tap)].reshape(group, c // group, inner).swapaxes(1, 2)
        spots = tuple(
            slice(t * d, t * d + s * (size - 1) + 1, s)
            for t, d, s, size in zip(tap, dilations, strides, spatial, strict=True)
        )
        full[last(spots)] += (rows @ columns).reshape(n, group, inner, *spatial)
    return full.reshape(n, group * inner, *reach)


def transpose_crop(call: Call, spatial: Sizes, strides: Sizes, reach: Sizes) -> tuple[Sizes, Sizes]:
    """Where ConvTranspose's output begins in the full sum, and its sizes."""
    rank = len(spatial)
    extra = call.ints("output_padding") or [0] * rank
    how = call.text("auto_pad", "NOTSET")
    wanted = call.ints("output_shape")
    same = how in ("SAME_UPPER", "SAME_LOWER")
    if wanted is None and not same:
        pads = call.ints("pads") or [0] * (2 * rank)
        pads = [0] * (2 * rank) if how == "VALID" else pads
        sizes = [full + extra[k] - pads[k] - pads[rank + k] for k, full in enumerate(reach)]
        return tuple(pads[:rank]), tuple(sizes)
    if wanted is None:
        wanted = [size * stride for size, stride in zip(spatial, strides, strict=True)]
    wanted = wanted[-rank:]
    begin = []
    for k, full in enumerate(reach):
        total = max(full + extra[k] - wanted[k], 0)
        begin.append(total // 2 if how == "SAME_UPPER" else total - total // 2)
    return tuple(begin), tuple(wanted)


def _conv_integer(call: Call) -> Result:
    """int32 of exact products; a zero point of W may be one a row."""
    x, weight = call.need(0).astype(np.float64), call.need(1).astype(np.float64)
    x_zero, w_zero = call.get(2), call.get(3)
    if x_zero is not None:
        x = x - x_zero.astype(np.float64)
    if w_zero is not None:
        weight = weight - w_zero.astype(np.float64).reshape(-1, *[1] * (weight.ndim - 1))
    return convolve(call, x, weight, None).astype(np.int32)


KERNELS: Mapping[str, Kernel] = {
    "Conv": _conv,
    "ConvInteger": _conv_integer,
    "ConvTranspose": _conv_transpose,
}
