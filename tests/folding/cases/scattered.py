"""GatherND, ScatterND, ScatterElements; computed Conv weights; constant vectors; sequences."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.build import INT64
from tests.folding.cases.case import EDGE, Build, Case, between, case
from tests.net import Net

NO = ("axis-mismatch", "shape-unknown", "negative-scale", *EDGE)
PURE = {"shift": False}
DEAD = [np.array([0.0, 1, 2, 3]), np.ones(4), np.zeros(4), np.ones(4)]
GRID = np.stack(np.meshgrid([0, 1], [0, 1, 2, 3], indexing="ij"), -1)  # each (n, c) of (2, 4)
INNER = np.stack(np.meshgrid([0, 1], range(4), [1, 2], [1, 2], indexing="ij"), -1)
SPACE = (2, 3, 6, 6)


def ints(n: Net, values: object) -> str:
    return n.init(np.asarray(values, np.int64))


def data(n: Net, x: str) -> str:
    """(2, 4, 4, 4)."""
    return n.conv(x, 3, 4)


def gathered(indices: object, **how: Any) -> Build:
    return lambda n, x: n.op("GatherND", x, ints(n, indices), **how)


def gather_pull(label: str, indices: object, *codes: str, **how: Any) -> Case:
    def before(n: Net, x: str) -> str:
        return gathered(indices)(n, data(n, x))

    return between(f"GatherND-pull-{label}", before, None, *codes, shape=SPACE, **how)


def gather_push(label: str, indices: object, *codes: str, c: int = 3, **norm: Any) -> Case:
    net = Net(f"GatherND-push-{label}")
    y = gathered(indices)(net, net.bn(net.op("Tanh", net.input(SPACE)), 3, **norm))
    return case(net.out(net.op("Tanh", net.conv(y, c, 4))), *codes)


def tokens(label: str, *codes: str, flipped: bool) -> Case:
    """Tokens taken of each sample of a batch: the map lies on their features, or counts them."""
    net = Net(f"GatherND-batch-{label}")
    y = net.matmul(net.input((2, 5, 3)), 3, 4)
    y = net.op("GatherND", y, ints(net, [[[4], [0], [2]], [[1], [3], [0]]]), batch_dims=1)
    y = net.bn(net.op("Transpose", y, perm=[0, 2, 1]) if flipped else y, 4 if flipped else 3)
    return case(net.out(net.op("Tanh", y)), *codes)


def table(label: str, channels: int) -> Case:
    net = Net(f"GatherND-table-{label}")
    ids = net.input(("N", 1), "ids", INT64)
    return case(
        net.out(net.bn(net.op("GatherND", net.weight(3, channels), ids), channels)),
        feeds={"ids": np.array([[2], [0], [1], [2]])},
    )


def elements(axis: int, *, channels: int = 4, **how: Any) -> Build:
    """Two rows of the data overwritten, or added to, by another convolution."""

    def made(n: Net, x: str) -> str:
        updates = n.conv(x, 3, channels, (5, 3))
        indices = np.ones((2, channels, 2, 4), np.int64) * np.array([3, 1])[:, None]
        if axis == 1:
            indices = np.broadcast_to(np.arange(channels)[:, None, None], indices.shape)
        return n.op("ScatterElements", data(n, x), ints(n, indices), updates, axis=axis, **how)

    return made


def elements_of(kind: str) -> Build:
    """With a constant on one side, or something that nothing crosses."""

    def made(n: Net, x: str) -> str:
        rows = ints(n, np.ones((2, 4, 2, 4), np.int64) * np.array([3, 1])[:, None])
        moving = n.conv(x, 3, 4, (5, 3))
        base = n.weight(2, 4, 4, 4) if kind == "data" else data(n, x)
        over = n.weight(2, 4, 2, 4) if kind == "updates" else moving
        over = n.op("Tanh", over) if kind == "tanh" else over
        return n.op("ScatterElements", base, rows, over, axis=2)

    return made


def pulled(label: str, before: Build, *codes: str, **how: Any) -> Case:
    return between(f"Scatter-pull-{label}", before, None, *codes, shape=SPACE, **how)


def scattered(indices: object, *, nd: bool = True, **how: Any) -> Build:
    """ScatterND of one convolution over another, the updates as the indices ask for them."""

    def made(n: Net, x: str) -> str:
        places = np.asarray(indices)
        inner = places.shape[-1] == 4
        updates = n.conv(x, 3, 4, 5 if inner else 3)
        base = n.weight(2, 4, 4, 4) if inner else data(n, x)
        return n.op("ScatterND", base, ints(n, places), updates, **how)

    return made


def at_run_time(n: Net, x: str) -> str:
    places = n.input((2, 4, 2), "places", INT64)
    return n.op("ScatterND", data(n, x), places, n.conv(x, 3, 4))


def pushed(label: str, kind: str, *codes: str, axis: int = 2, **norm: Any) -> Case:
    """BatchNorm on the data, on the updates or on both -> ScatterElements -> Conv."""
    net = Net(f"Scatter-push-{label}")
    size = {1: (2, 2, 4, 4), 2: (2, 4, 2, 4)}[axis]
    x = net.op("Tanh", net.input((2, 4, 4, 4)))
    base = net.weight(2, 4, 4, 4) if kind == "updates" else net.bn(x, 4, **norm)
    over = net.weight(*size) if kind == "data" else base
    if kind == "both":
        over = net.op("Slice", base, net.ints(1), net.ints(3), net.ints(2))
    if kind in ("updates", "foreign"):
        over = net.op("Tanh", net.input(size, "z"))
        over = net.bn(over, 4, **norm) if kind == "updates" else over
    rows = np.array([3, 1]).reshape([2 if i == axis else 1 for i in range(4)])
    y = net.op("ScatterElements", base, ints(net, np.ones(size) * rows), over, axis=axis)
    return case(net.out(net.op("Tanh", net.conv(y, 4, 4))), *codes)


def pushed_nd(label: str, indices: object, size: tuple[int, ...], *codes: str) -> Case:
    """BatchNorm -> ScatterND of constant updates -> Conv."""
    net = Net(f"ScatterND-push-{label}")
    x = net.bn(net.op("Tanh", net.input((2, 4, 4, 4))), 4)
    y = net.op("ScatterND", x, ints(net, indices), net.weight(*size))
    return case(net.out(net.op("Tanh", net.conv(y, 4, 4))), *codes)


def padded_by_constant(label: str, *codes: str, varying: bool) -> Case:
    """BatchNorm -> written into a constant frame -> Conv, as diverse-branch blocks pad."""
    net = Net(f"ScatterND-frame-{label}")
    z = net.op("Tanh", net.input((2, 4, 2, 2)))
    updates = net.bn(z, 4)
    places = INNER[:, [0, 1, 3, 2]] if varying else INNER
    y = net.op("ScatterND", net.weight(2, 4, 4, 4), ints(net, places), updates)
    return case(net.out(net.op("Tanh", net.conv(y, 4, 4))), *codes)


def filtered(label: str, made: Build, *codes: str, bias: Any = False, group: int = 1) -> Case:
    """A Conv whose weight is made at run time -> BatchNorm."""
    net = Net(f"Conv-weight-{label}")
    x, z = net.input(SPACE), net.input((6, 27 // group), "z")
    weight = made(net, z)
    tail = {True: [net.weight(4)], False: [], "computed": [net.input((4,), "b")]}[bias]
    y = net.bn(net.op("Conv", x, weight, *tail, group=group if group > 1 else None), 4)
    return case(net.out(net.op("Relu", y)), *codes)


def mixed(n: Net, z: str) -> str:
    """A constant's rows make the filters."""
    return n.op("Reshape", n.op("MatMul", n.weight(4, 6), z), n.ints(4, 3, 3, 3))


def squashed(n: Net, z: str) -> str:
    return n.op("Reshape", n.op("Tanh", n.op("MatMul", n.weight(4, 6), z)), n.ints(4, 3, 3, 3))


def read_twice(n: Net, z: str) -> str:
    n.out(mixed(n, z))
    return n.nodes[-1].output[0]


def with_vector(
    label: str, *codes: str, shape: Any = ("N", 3), left: bool = False, **how: Any
) -> Case:
    """BatchNorm -> product with a constant vector -> its bias, where there is one."""
    net = Net(f"MatMul-vector-push-{label}")
    bias, norm = how.pop("bias", False), how
    x = net.bn(net.op("Tanh", net.input(shape)), shape[1], **norm)
    summed = shape[-2] if left else shape[-1]
    pair = (net.weight(summed), x) if left else (x, net.weight(summed))
    y = net.op("MatMul", *pair)
    y = net.op("Add", y, net.weight(1)) if bias else y
    return case(net.out(net.op("Tanh", y)), *codes)


def over_channels(label: str) -> Case:
    """BatchNorm -> a vector sums over the channels of every position: the bias is an Add."""
    net = Net(f"MatMul-vector-push-{label}")
    x = net.bn(net.op("Tanh", net.input((2, 3, 5, 4))), 3)
    y = net.op("MatMul", net.weight(3), net.op("Transpose", x, perm=[0, 2, 1, 3]))
    return case(net.out(net.op("Tanh", y)))


def onto_gemm(label: str, *codes: str, **norm: Any) -> Case:
    """BatchNorm on an axis that stays -> product with a vector -> Gemm."""
    net = Net(f"MatMul-vector-onward-{label}")
    x = net.bn(net.op("Tanh", net.input(("N", 3, 5))), 3, **norm)
    return case(net.out(net.op("Tanh", net.gemm(net.matmul(x, 5), 3, 4))), *codes)


def behind_vector(label: str, *codes: str, linear: bool = True, **norm: Any) -> Case:
    """Conv1d -> product with a vector over its positions -> BatchNorm."""
    net = Net(f"MatMul-vector-pull-{label}")
    x = net.conv(net.input(("N", 3, 7)), 3, 4, rank=1)
    y = net.matmul(x if linear else net.op("Tanh", x), 5)
    return case(net.out(net.op("Tanh", net.bn(y, 4, **norm))), *codes)


def pieces(n: Net, x: str, split: object, *places: int) -> list[str]:
    """Elements of x cut into a sequence along its channels."""
    cut = n.op("SplitToSequence", x, ints(n, split), axis=1)
    return [n.op("SequenceAt", cut, ints(n, place)) for place in places]


def chunked(label: str, split: object, *codes: str, places: Any = (0, 1), mid: int = 2) -> Case:
    """One piece as it is beside a convolution of another -> BatchNorm, as torch exports chunk."""
    net = Net(f"Sequence-pull-{label}")
    kept, other = pieces(net, net.conv(net.input(("N", 3, 6, 6)), 3, 4), split, *places)
    y = net.bn(net.op("Concat", kept, net.conv(other, mid, 2, 1), axis=1), 6 - mid)
    return case(net.out(net.op("Tanh", y)), *codes)


def pushed_pieces(label: str, *codes: str, rest: bool = False, place: object = 1) -> Case:
    """BatchNorm -> a sequence of which one piece, or every one, goes to a convolution."""
    net = Net(f"Sequence-push-{label}")
    x = net.bn(net.op("Tanh", net.input(("N", 5, 6, 6))), 5)
    if place == "computed":
        cut = net.op("SplitToSequence", x, ints(net, 2), axis=1)
        net.out(net.op("Tanh", net.op("SequenceAt", cut, net.input((), "at", INT64))))
        return case(net, *codes, feeds={"x": net.random(2, 5, 6, 6), "at": np.array(1)})
    first, second = pieces(net, x, 3, 0, -1)
    first = net.op("Tanh", first) if rest else net.conv(first, 3, 4)
    return case(net.out(first, net.conv(second, 2, 4)), *codes)


ROWS: list[Case] = [
    chunked("halves", 2),
    chunked("unequal-STAYS", [1, 3], "shape-unknown", mid=3),
    chunked("from-the-end", 2, places=(-2, -1)),
    chunked("the-same-piece-STAYS", 2, *NO, places=(0, 0)),
    pushed_pieces("all"),
    pushed_pieces("one-squashed-STAYS", *NO, rest=True),
    pushed_pieces("computed-STAYS", *NO, place="computed"),
    gather_pull("samples", [[1], [0], [1]]),
    gather_pull("channels-STAYS", [[1, 2], [0, 3]], *NO, c=4, norm={}),
    gather_push("samples", [[1], [0], [1]]),
    gather_push("negative", [[-1], [0]]),
    gather_push("channels-STAYS", np.minimum(GRID, [1, 2]), *NO, c=4),
    tokens("features", flipped=True),
    tokens("counted-STAYS", *NO, flipped=False),
    table("rows", 4),
    pulled("elements", elements(2)),
    pulled("elements-channels-STAYS", elements(1), *NO),
    pulled("elements-short-STAYS", elements(2, channels=3), *NO),
    pulled("elements-added", elements(2, reduction="add"), opset=18),
    pulled("elements-multiplied-STAYS", elements(2, reduction="mul"), *NO, opset=18),
    pulled("elements-constant-data", elements_of("data")),
    pulled("elements-constant-updates", elements_of("updates")),
    pulled("elements-tanh-STAYS", elements_of("tanh"), *NO),
    pulled(
        "nd-samples", lambda n, x: n.op("ScatterND", data(n, x), ints(n, [[1], [0]]), data(n, x))
    ),
    pulled("nd-channels", scattered(GRID)),
    pulled("nd-channels-permuted", scattered(GRID[:, [2, 0, 3, 1]])),
    pulled("nd-channels-negative", scattered(GRID - [0, 4])),
    pulled("nd-added", scattered(GRID[:, [2, 0, 3, 1]], reduction="add"), opset=18),
    pulled("nd-frame", scattered(INNER)),
    pulled("nd-run-time-STAYS", at_run_time, *NO, more={"feeds": None}),
    pushed("both", "both"),
    pushed("constant-updates", "data"),
    pushed("constant-data", "updates"),
    pushed("constant-data-dead-STAYS", "updates", *NO, parameters=DEAD),
    pushed("constant-updates-channels-STAYS", "data", *NO, axis=1),
    pushed("updates-beside-STAYS", "foreign", *NO),
    pushed_nd("samples", [[1]], (1, 4, 4, 4)),
    pushed_nd("channel", [[0, 1], [1, 3]], (2, 4, 4)),
    padded_by_constant("channels", varying=False),
    padded_by_constant("permuted-STAYS", *NO, varying=True),
    filtered("rows", mixed),
    filtered("rows-bias", mixed, bias=True),
    filtered("bias-computed-STAYS", mixed, *NO, bias="computed"),
    filtered("squashed-STAYS", squashed, *NO),
    filtered("read-twice-STAYS", read_twice, *NO),
    with_vector("pure", **PURE),
    with_vector("bias", bias=True),
    with_vector("no-bias-STAYS", *NO),
    over_channels("rank-4"),
    with_vector("left", shape=(4, 4, 5), left=True, bias=True),
    with_vector("left-samples-STAYS", *NO, shape=(4, 4), left=True, **PURE),
    onto_gemm("shift"),
    onto_gemm("pure", **PURE),
    behind_vector("pure", **PURE),
    behind_vector("shift-STAYS", "would-cost-more"),
    behind_vector("tanh-STAYS", *NO, linear=False, **PURE),
]
