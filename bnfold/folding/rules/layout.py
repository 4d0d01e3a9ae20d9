"""Operators that move elements one to one: the map moves with them, in either direction."""

from __future__ import annotations

from collections.abc import Mapping

from onnx import TensorProto

from bnfold.folding.affine import Affine, Array
from bnfold.folding.answers import Answers, Blocked, Facts, Operand, Passes
from bnfold.folding.reasons import Reason
from bnfold.folding.rules.broadcast import known_size
from bnfold.graph.shapes import Dim

Dims = tuple[Dim, ...]


def pull_identity(node: Facts, m: Affine) -> Answers:
    """Nothing happens to it."""
    return Passes({0: m})


def push_identity(node: Facts, m: Affine, k: int) -> Answers:
    """Nothing happens to it."""
    return Passes({0: m})


def pull_cast(node: Facts, m: Affine) -> Answers:
    """The map may go before a cast that narrows: one rounding less, and none in front of it."""
    return _cast(node, m, before="from", behind="to")


def push_cast(node: Facts, m: Affine, k: int) -> Answers:
    """The map may go behind a cast that widens: again one rounding less."""
    return _cast(node, m, before="to", behind="from")


# bfloat16 and float16 do not hold one another's numbers
_FINENESS: Mapping[int, int] = {
    TensorProto.FLOAT16: 1,
    TensorProto.BFLOAT16: 1,
    TensorProto.FLOAT: 2,
    TensorProto.DOUBLE: 3,
}


def _cast(node: Facts, m: Affine, *, before: str, behind: str) -> Answers:
    """Cross if the type where the map then stands is at least as fine as where it stood."""
    kinds = [int(node.attributes.get(key, 0)) for key in (before, behind)]
    if 0 in kinds:
        return Blocked(Reason.SHAPE_UNKNOWN)
    if any(kind not in _FINENESS for kind in kinds):
        return Blocked(Reason.NONLINEAR_NEIGHBOURS)
    if kinds[0] == kinds[1] or _FINENESS[kinds[0]] > _FINENESS[kinds[1]] or _to_double(node):
        return Passes({0: m})
    return Blocked(Reason.NUMBER_RANGE)


def _to_double(node: Facts) -> bool:
    """From float32 on, digits beyond the model's own are no loss."""
    pair = node.attributes.get("from"), node.attributes.get("to")
    return pair == (TensorProto.FLOAT, TensorProto.DOUBLE)


def pull_dropout(node: Facts, m: Affine) -> Answers:
    """In inference it is the identity; a training_mode that is not constant false is refused."""
    mode = node.input(2)
    if not mode.absent and (mode.constant is None or bool(mode.constant.value().any())):
        return Blocked(Reason.TRAINING_MODE)
    return Passes({0: m})


def push_dropout(node: Facts, m: Affine, k: int) -> Answers:
    """As pull."""
    return pull_dropout(node, m) if k == 0 else Blocked(Reason.NONLINEAR_NEIGHBOURS)


def _perm(node: Facts, rank: int) -> list[int]:
    return list(node.attributes.get("perm") or range(rank)[::-1])


def pull_transpose(node: Facts, m: Affine) -> Answers:
    """Output axis i is input axis perm[i]."""
    perm = _perm(node, m.rank)
    return Passes({0: m.transposed([perm.index(axis) for axis in range(m.rank)])})


def push_transpose(node: Facts, m: Affine, k: int) -> Answers:
    """Output axis i is input axis perm[i]."""
    return Passes({0: m.transposed(_perm(node, m.rank))})


def _stated_axes(node: Facts, rank: int) -> list[int] | None:
    axes = node.integers(1, "axes")
    return None if axes is None else sorted(axis % rank for axis in axes)


def pull_unsqueeze(node: Facts, m: Affine) -> Answers:
    """The new axes go; the map is constant along them, for they have length 1."""
    axes = _stated_axes(node, m.rank)
    return Blocked(Reason.SHAPE_UNKNOWN) if axes is None else Passes({0: m.without_axes(axes)})


def push_unsqueeze(node: Facts, m: Affine, k: int) -> Answers:
    """The new axes have length 1."""
    stated = node.integers(1, "axes")
    if k != 0 or stated is None:
        return Blocked(Reason.SHAPE_UNKNOWN)
    rank = m.rank + len(stated)
    return Passes({0: m.with_axes(sorted(axis % rank for axis in stated))})


def pull_squeeze(node: Facts, m: Affine) -> Answers:
    """The axes that went come back with length 1."""
    axes = _squeezed(node)
    return Blocked(Reason.SHAPE_UNKNOWN) if axes is None else Passes({0: m.with_axes(axes)})


def push_squeeze(node: Facts, m: Affine, k: int) -> Answers:
    """The axes that go have length 1."""
    axes = _squeezed(node)
    if k != 0 or axes is None:
        return Blocked(Reason.SHAPE_UNKNOWN)
    return Passes({0: m.without_axes(axes)})


def _squeezed(node: Facts) -> list[int] | None:
    shape = node.input(0).shape
    if shape is None:
        return None
    stated = _stated_axes(node, len(shape))
    if stated is not None:
        return stated
    if not node.input(1).absent or not all(isinstance(n, int) for n in shape):
        return None
    return [axis for axis, n in enumerate(shape) if n == 1]


def pull_reshape(node: Facts, m: Affine) -> Answers:
    """Element for element in row-major order, from the output's shape to the input's."""
    return _reshaped(m, node.outputs[0], node.input(0))


def push_reshape(node: Facts, m: Affine, k: int) -> Answers:
    """Element for element in row-major order, from the input's shape to the output's."""
    if k != 0:
        return Blocked(Reason.NONLINEAR_NEIGHBOURS)
    return _reshaped(m, node.input(0), node.outputs[0])


def _reshaped(m: Affine, source: Operand, target: Operand) -> Answers:
    if target.shape is None or (m.axes and source.shape is None):
        return Blocked(Reason.SHAPE_UNKNOWN)
    groups = regroup(source.shape, target.shape) if source.shape is not None and m.axes else []
    arrays = []
    for values in (m.scale, m.shift):
        sizes = [1] * len(target.shape)
        for mine, theirs in groups:
            lengths = [values.shape[axis] for axis in mine]
            if all(n == 1 for n in lengths):
                continue
            known = [target.shape[axis] for axis in theirs]
            if len(mine) == len(theirs) == 1:
                known = [lengths[0]]
            elif not _all_known([*known, *[(source.shape or ())[axis] for axis in mine]]):
                return Blocked(Reason.SHAPE_UNKNOWN)
            else:
                values = _full(values, mine, source.shape or ())
            for axis, n in zip(theirs, known, strict=True):
                sizes[axis] = int(n or 0)
        arrays.append(values.reshape(sizes))
    return Passes({0: Affine.of(*arrays)})


def _all_known(dims: list[Dim]) -> bool:
    return all(isinstance(n, int) for n in dims)


def _full(values: Array, axes: list[int], dims: Dims) -> Array:
    """Full extents on these axes, that their elements can be laid out anew."""
    for axis in axes:
        length = dims[axis]
        if values.shape[axis] == 1 and isinstance(length, int):
            values = values.repeat(length, axis)
    return values


def regroup(source: Dims, target: Dims) -> list[tuple[list[int], list[int]]]:
    """Groups of source and target axes that hold the same elements in the same order.

    Axes of size 1 order nothing and are left out. Groups are peeled off the front, then off the
    back, as soon as their sizes (numbers, or one and the same symbol) agree: what remains between
    them must then agree in total, and is one last group.
    """
    mine = [axis for axis, n in enumerate(source) if n != 1]
    theirs = [axis for axis, n in enumerate(target) if n != 1]
    front = _peeled(source, target, mine, theirs)
    mine.reverse()
    theirs.reverse()
    back = _peeled(source, target, mine, theirs)
    middle = [(mine[::-1], theirs[::-1])] if mine or theirs else []
    return [*front, *middle, *[(a[::-1], b[::-1]) for a, b in reversed(back)]]


def _peeled(
    source: Dims, target: Dims, mine: list[int], theirs: list[int]
) -> list[tuple[list[int], list[int]]]:
    """Take groups off the front of both lists until an unknown size is in the way."""
    groups: list[tuple[list[int], list[int]]] = []
    while mine and theirs:
        taken = _first_group([source[axis] for axis in mine], [target[axis] for axis in theirs])
        if taken is None:
            break
        a, b = taken
        groups.append((mine[:a], theirs[:b]))
        del mine[:a], theirs[:b]
    return groups


def _first_group(mine: list[Dim], theirs: list[Dim]) -> tuple[int, int] | None:
    """How many axes of either side make the first group, or None where a size is unknown."""
    if mine[0] is not None and mine[0] == theirs[0]:
        return 1, 1
    a = b = 1
    while a <= len(mine) and b <= len(theirs):
        left, right = known_size(tuple(mine[:a])), known_size(tuple(theirs[:b]))
        if not left or not right:
            return None
        if left == right:
            return a, b
        a, b = (a + 1, b) if left < right else (a, b + 1)
    return None
