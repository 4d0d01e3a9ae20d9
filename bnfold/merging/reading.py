"""One node of the graph as a linear operator of its only computed input, where it is one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod

import numpy as np

from bnfold.folding.affine import Array
from bnfold.folding.answers import Facts
from bnfold.folding.facts import DEFAULT_DOMAINS, facts
from bnfold.folding.reasons import Reason
from bnfold.folding.rules.pieces import slices
from bnfold.folding.spot import ARITHMETIC, Spot, belongs_to_gelu, map_of
from bnfold.graph.constants import Constant
from bnfold.graph.index import GraphIndex, Node
from bnfold.graph.numbers import FLOATS
from bnfold.merging import matrices
from bnfold.merging.frames import framed
from bnfold.merging.geometry import Axis, Geometry, Layout, Size, Spread, diagonal
from bnfold.merging.linear import Linear, Read, identity, turned

OPEN_END = 2**31 - 1  # how exporters write "to the end"; larger numbers as well


def linear_of(index: GraphIndex, node: Node, layout: Layout) -> Read | Reason | None:
    """What a node makes of its one computed input; None if it is no linear operator at all."""
    if node.domain not in DEFAULT_DOMAINS or not node.inputs or not node.outputs:
        return None
    rule = _RULES.get(node.op_type)
    if rule is None:
        return None
    if index.type_of(node.outputs[0]).elem_type not in (0, *FLOATS):
        return None if rule is framed else Reason.NOT_YET  # movers move sizes and indices too
    return rule(index, node, layout)


def spatial_sizes(index: GraphIndex, name: str, rank: int) -> tuple[Size, ...]:
    """The extents of a tensor's spatial axes behind batch and channels."""
    shape = index.type_of(name).shape
    if shape is None or len(shape) != rank + 2:
        return (None,) * rank
    return tuple(d if isinstance(d, int) else None for d in shape[2:])


def channels_of(index: GraphIndex, name: str, layout: Layout) -> tuple[int, int] | None:
    """(channels, rank) of a tensor, where both are known."""
    shape = index.type_of(name).shape
    if shape is None or len(shape) < (2 if layout is Layout.LAST else 3):
        return None
    channels = shape[-1 if layout is Layout.LAST else 1]
    return (channels, len(shape) - 2) if isinstance(channels, int) else None


def _conv(index: GraphIndex, node: Node, layout: Layout) -> Read | Reason | None:
    held = None if layout is Layout.LAST else _parameters(index, node)
    if held is None:
        return None
    weight, bias = held
    axes = _axes(index, facts(index, node), weight.shape[2:])
    if isinstance(axes, Reason):
        return axes
    if layout is Layout.TRANSPOSED:  # as far as it moves nothing, it is both
        if any(axis != Axis() for axis in axes):
            return None
        axes = (Spread(),) * len(axes)
    group = int(node.attributes.get("group", 1))
    geometry = Geometry(weight.shape[1] * group, weight.shape[0], group, axes, layout)
    return node.inputs[0], Linear(geometry, weight.value, None if bias is None else bias.value)


def _parameters(index: GraphIndex, node: Node) -> tuple[Constant, Constant | None] | None:
    """Weight and bias, where both are constants."""
    weight = index.constant(node.inputs[1])
    biased = len(node.inputs) > 2 and bool(node.inputs[2])
    bias = index.constant(node.inputs[2]) if biased else None
    if weight is None or weight.elem_type not in FLOATS or len(weight.shape) < 3:
        return None
    if biased and (bias is None or len(bias.shape) != 1):
        return None
    return weight, bias


def _conv_transpose(index: GraphIndex, node: Node, layout: Layout) -> Read | Reason | None:
    """Its weight is (inputs, outputs/group, *taps)."""
    held = _parameters(index, node) if layout is Layout.TRANSPOSED else None
    if held is None:
        return None
    weight, bias = held
    told = node.attributes
    if told.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID") or told.get("output_shape"):
        return Reason.NOT_YET
    rank, group = len(weight.shape) - 2, int(told.get("group", 1))
    strides, dilations = (told.get(name) or [1] * rank for name in ("strides", "dilations"))
    pads, added = told.get("pads") or [0] * 2 * rank, told.get("output_padding") or [0] * rank
    axes = []
    for k, taps in enumerate(weight.shape[2:]):
        span = dilations[k] * (taps - 1) + 1
        slack = added[k] + span - pads[k] - pads[k + rank] - strides[k] - 1
        axes.append(Spread(-pads[k], dilations[k], taps, strides[k], slack))
    outputs = weight.shape[1] * group
    geometry = Geometry(weight.shape[0], outputs, group, tuple(axes), layout)
    return node.inputs[0], Linear(
        geometry, lambda: turned(weight.value(), group), None if bias is None else bias.value
    )


def _axes(index: GraphIndex, node: Facts, kernel: Sequence[int]) -> tuple[Axis, ...] | Reason:
    """Strides, dilations and pads as taps; SAME padding needs the size, unless the stride is 1."""
    sizes = spatial_sizes(index, node.inputs[0].name, len(kernel))
    rank = len(kernel)
    strides = list(node.attributes.get("strides") or [1] * rank)
    dilations = list(node.attributes.get("dilations") or [1] * rank)
    axes = []
    for k, taps in enumerate(kernel):
        span = (taps - 1) * dilations[k] + 1
        pads = _pads(node, k, rank, (span, strides[k]), sizes[k])
        if isinstance(pads, Reason):
            return pads
        begin, end = pads
        axes.append(Axis(-begin, dilations[k], taps, strides[k], begin + end - span))
    return tuple(axes)


def _pads(
    node: Facts, axis: int, rank: int, window: tuple[int, int], size: Size
) -> tuple[int, int] | Reason:
    span, stride = window
    auto = node.attributes.get("auto_pad", "NOTSET")
    if auto == "VALID":
        return 0, 0
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        if size is None and stride != 1:
            return Reason.SHAPE_UNKNOWN
        n = size if size is not None else 0
        total = max(0, (-(-n // stride) - 1) * stride + span - n)
        small, large = total // 2, total - total // 2
        return (small, large) if auto == "SAME_UPPER" else (large, small)
    pads = list(node.attributes.get("pads") or [0] * (2 * rank))
    return int(pads[axis]), int(pads[axis + rank])


def _average_pool(index: GraphIndex, node: Node, layout: Layout) -> Read | Reason | None:
    """The mean over a full window. Where the divisor shrinks at the border, it is no kernel."""
    known = channels_of(index, node.inputs[0], layout)
    kernel = list(node.attributes.get("kernel_shape", ()))
    if layout is not Layout.FIRST or known is None or len(kernel) != known[1]:
        return None
    axes = _axes(index, facts(index, node), kernel)
    if isinstance(axes, Reason):
        return axes
    sizes = spatial_sizes(index, node.inputs[0], len(kernel))
    padded = any(
        axis.meets_zeros(o, n) for axis, n in zip(axes, sizes, strict=True) for o in axis.offsets
    )
    if padded and not node.attributes.get("count_include_pad", 0):
        return Reason.GEOMETRY_DIFFERS
    if node.attributes.get("ceil_mode", 0) and not _fits(axes, sizes):
        return Reason.GEOMETRY_DIFFERS
    channels = known[0]
    geometry = Geometry(channels, channels, channels, axes, Layout.FIRST)
    shape = (channels, 1, *kernel)
    return node.inputs[0], Linear(geometry, lambda: np.full(shape, 1.0 / prod(kernel)))


def _fits(axes: Sequence[Axis], sizes: Sequence[Size]) -> bool:
    """Whether windows fill the padded input exactly, so that ceil_mode adds none."""
    pairs = zip(axes, sizes, strict=True)
    return all(
        axis.stride == 1 or (n is not None and (n + axis.slack) % axis.stride == 0)
        for axis, n in pairs
    )


def _pad(index: GraphIndex, node: Node, layout: Layout) -> Read | Reason | None:
    """Zeros around the spatial axes."""
    known = channels_of(index, node.inputs[0], layout)
    seen = facts(index, node)
    pads = seen.integers(1, "pads")
    mode = node.attributes.get("mode", "constant")
    if layout is not Layout.FIRST or known is None or pads is None or mode != "constant":
        return None
    channels, rank = known
    fill = seen.value(2)
    given = seen.input(3)
    if fill is None and not seen.input(2).absent:
        return None
    if not given.absent and given.constant is None:
        return None
    value = node.attributes.get("value", 0.0) if fill is None else np.ravel(fill)
    axes = range(rank + 2) if given.absent else [int(a) % (rank + 2) for a in seen.value(3)]  # type: ignore[union-attr]
    widths = {a: (pads[i], pads[i + len(axes)]) for i, a in enumerate(axes)}
    if np.any(np.asarray(value) != 0) or any(any(widths.get(a, (0, 0))) for a in (0, 1)):
        return None
    spatial = [widths.get(a + 2, (0, 0)) for a in range(rank)]
    grid = tuple(Axis(-begin, 1, 1, 1, begin + end - 1) for begin, end in spatial)
    return node.inputs[0], identity(Geometry(channels, channels, channels, grid, Layout.FIRST))


def _slice(index: GraphIndex, node: Node, layout: Layout) -> Read | Reason | None:
    """Rows and columns cut away, or every so many of them kept."""
    known = channels_of(index, node.inputs[0], layout)
    cuts = None if known is None else slices(facts(index, node), known[1] + 2)
    if layout is not Layout.FIRST or known is None or cuts is None or cuts.keys() & {0, 1}:
        return None
    channels, rank = known
    sizes = spatial_sizes(index, node.inputs[0], rank)
    grid = [_cut(cuts.get(k + 2), n) for k, n in enumerate(sizes)]
    if None in grid:
        return Reason.SHAPE_UNKNOWN
    axes = tuple(axis for axis in grid if axis is not None)
    return node.inputs[0], identity(Geometry(channels, channels, channels, axes, Layout.FIRST))


def _cut(cut: slice | None, n: Size) -> Axis | None:
    """The axis that a slice leaves; of an open size it may tell no row from the wrong end."""
    if cut is None:
        return Axis()
    start, end, step = cut.start, cut.stop, cut.step
    if n is not None:
        start, end, _ = cut.indices(n)
        end -= n
    elif end >= OPEN_END:
        end = 0
    if step < 1 or start < 0 or end > 0 or (n is not None and end + n <= start):
        return None
    return Axis(start, 1, 1, step, end - 1 - start)


def _same(index: GraphIndex, node: Node, layout: Layout) -> Read | Reason | None:
    known = channels_of(index, node.inputs[0], layout)
    if known is None or (len(node.inputs) > 2 and node.inputs[2]):  # a Dropout that may be live
        return None
    return node.inputs[0], identity(diagonal(*known, layout))


def _negative(index: GraphIndex, node: Node, layout: Layout) -> Read | Reason | None:
    known = channels_of(index, node.inputs[0], layout)
    if known is None:
        return None
    return node.inputs[0], _of_map(np.full(1, -1.0), None, diagonal(*known, layout))


def _batch_norm(index: GraphIndex, node: Node, layout: Layout) -> Read | Reason | None:
    return _mapped(index, Spot(node, "batchnorm", 0), layout)


def _arithmetic(index: GraphIndex, node: Node, layout: Layout) -> Read | Reason | None:
    if len(node.inputs) != 2:
        return None
    constant = [index.is_constant(name) for name in node.inputs]
    if constant[0] == constant[1] or (node.op_type == "Div" and constant[0]):
        return None
    spot = Spot(node, "affine", 1 if constant[0] else 0)
    return None if belongs_to_gelu(index, spot) else _mapped(index, spot, layout)


def _mapped(index: GraphIndex, spot: Spot, layout: Layout) -> Read | Reason | None:
    """A map whose parameters lie along the channels."""
    known = channels_of(index, spot.node.inputs[spot.slot], layout)
    if known is None:
        return None
    channels, rank = known
    m = map_of(index, spot)
    if isinstance(m, Reason):
        return m
    axis = m.rank - 1 if layout is Layout.LAST else 1
    if any(a != axis for a in m.axes) or m.rank != rank + 2:
        return None
    shift = None if m.is_scale_only else m.shift
    return spot.node.inputs[spot.slot], _of_map(m.scale, shift, diagonal(channels, rank, layout))


def _of_map(scale: Array, shift: Array | None, geometry: Geometry) -> Linear:
    channels = geometry.outputs
    kernel = np.broadcast_to(scale.reshape(-1), (channels,)).reshape(-1, 1, *geometry.taps)
    if shift is None:
        return Linear(geometry, lambda: kernel)
    bias = np.broadcast_to(shift.reshape(-1), (channels,))
    return Linear(geometry, lambda: kernel, lambda: bias)


Rule = Callable[[GraphIndex, Node, Layout], Read | Reason | None]
_RULES: Mapping[str, Rule] = {
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Dropout": _same,
    "Gemm": matrices.gemm,
    "Identity": _same,
    "MatMul": matrices.matmul,
    "Neg": _negative,
    "Pad": _pad,
    "Slice": _slice,
    **dict.fromkeys(("Concat", "ScatterElements", "ScatterND", "Transpose", "Where"), framed),
    **dict.fromkeys(ARITHMETIC, _arithmetic),
}
