"""What a model is fed while it is timed: fixed sizes and seeded values, the same for every row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from bnfold.errors import ModelError, UsageError

Shapes = Mapping[str, Sequence[int]]
Sizes = dict[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Input:
    """A graph input: an int in `dims` is fixed, a str is a symbol, None has no name at all."""

    name: str
    elem_type: int
    dims: tuple[int | str | None, ...]


def signature(model: onnx.ModelProto) -> tuple[Input, ...]:
    """The inputs that a caller must feed.

    Raises:
        ModelError: an input is no tensor (a sequence, a map, an optional), or has no rank.
    """
    given = {t.name for t in model.graph.initializer}
    given |= {t.values.name for t in model.graph.sparse_initializer}
    return tuple(_input(value) for value in model.graph.input if value.name not in given)


def _input(value: onnx.ValueInfoProto) -> Input:
    tensor = value.type.tensor_type
    if not value.type.HasField("tensor_type") or not tensor.HasField("shape"):
        raise ModelError(f"input {value.name!r} is no tensor of known rank: it cannot be timed")
    return Input(value.name, tensor.elem_type, tuple(_dim(d) for d in tensor.shape.dim))


def _dim(dim: onnx.TensorShapeProto.Dimension) -> int | str | None:
    if dim.HasField("dim_value"):
        return dim.dim_value if dim.dim_value > 0 else None  # Paddle writes -1
    return dim.dim_param or None


def resolve(inputs: Sequence[Input], batch: int, shapes: Shapes | None = None) -> Sizes:
    """Every size of every input.

    `shapes` gives an input's sizes, with or without the batch; under a symbol's name, one size.

    Raises:
        UsageError: a size beyond the batch is symbolic and not given, or what is given does not
            fit the model.
    """
    given = {name: tuple(shape) for name, shape in (shapes or {}).items()}
    names = {i.name for i in inputs}
    symbols = {d for i in inputs for d in i.dims if isinstance(d, str)}
    for name, shape in given.items():
        if name not in names and not (name in symbols and len(shape) == 1):
            what = f"no input {name!r}, and no symbolic size of that name with one value"
            raise UsageError(what, hint=_described(inputs))
    full = {i.name: _full(i, batch, given[i.name]) for i in inputs if i.name in given}
    bound = _batch_symbol(inputs, batch)
    bound |= {d: s for i in inputs if i.name in full for d, s in _named(i, full[i.name])}
    bound |= {name: shape[0] for name, shape in given.items() if name not in names}
    return {i.name: _sizes(i, full.get(i.name) or _bound(i, batch, bound)) for i in inputs}


def _described(inputs: Sequence[Input]) -> str:
    return "the model has " + ", ".join(f"{i.name}{list(i.dims)}" for i in inputs)


def _batch_symbol(inputs: Sequence[Input], batch: int) -> dict[str, int]:
    """A symbol on the first input's first axis is the batch, wherever else it stands."""
    first = inputs[0].dims[:1] if inputs else ()
    return {d: batch for d in first if isinstance(d, str)}


def _named(given: Input, sizes: Sequence[int]) -> list[tuple[str, int]]:
    return [(d, s) for d, s in zip(given.dims, sizes, strict=True) if isinstance(d, str)]


def _full(given: Input, batch: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """`shape` with the batch before it where it was left out."""
    if len(shape) == len(given.dims) - 1:
        return (batch, *shape)
    if len(shape) != len(given.dims):
        what = f"input {given.name!r} has {len(given.dims)} axes, its shape gives {len(shape)}"
        raise UsageError(what, hint=_described([given]))
    if shape and not isinstance(given.dims[0], int) and shape[0] != batch:
        what = f"the shape of {given.name!r} says {shape[0]} where the batch is {batch}"
        raise UsageError(what, hint="leave the first size out, or give the same --batch")
    return shape


def _bound(given: Input, batch: int, bound: Mapping[str, int]) -> tuple[int, ...]:
    """The sizes of an input that no shape was given for."""
    sizes = []
    for axis, dim in enumerate(given.dims):
        size = bound.get(dim) if isinstance(dim, str) else dim
        if size is None and axis == 0:
            size = batch
        if size is None:
            rest = ",".join(str(d) if isinstance(d, int) else "?" for d in given.dims[1:])
            what = f"input {given.name!r} has no fixed size at axis {axis} ({dim or 'unnamed'})"
            raise UsageError(what, hint=f"give its sizes: --shape {given.name}={batch},{rest}")
        sizes.append(size)
    return tuple(sizes)


def _sizes(given: Input, sizes: tuple[int, ...]) -> tuple[int, ...]:
    for axis, (dim, size) in enumerate(zip(given.dims, sizes, strict=True)):
        if size < 1 or (isinstance(dim, int) and dim != size):
            raise UsageError(f"axis {axis} of input {given.name!r} is {dim or 'open'}, not {size}")
    return sizes


def overrides(inputs: Sequence[Input], sizes: Sizes) -> dict[str, int]:
    """Symbol -> size, for ONNX Runtime to plan with."""
    return {d: s for i in inputs for d, s in _named(i, sizes[i.name])}


def batch_of(inputs: Sequence[Input], sizes: Sizes) -> int:
    """Items a run: the first size of the first input, 1 for a scalar."""
    return sizes[inputs[0].name][0] if inputs and sizes[inputs[0].name] else 1


def arrays(
    inputs: Sequence[tuple[str, int, Sequence[int]]], seed: int
) -> dict[str, NDArray[np.generic]]:
    """Seeded values for (name, element type, sizes): normal floats, small whole numbers."""
    return {
        name: _values(np.random.default_rng([seed, place]), elem_type, tuple(sizes))
        for place, (name, elem_type, sizes) in enumerate(inputs)
    }


def _values(
    rng: np.random.Generator, elem_type: int, sizes: tuple[int, ...]
) -> NDArray[np.generic]:
    if elem_type == onnx.TensorProto.STRING:
        return np.full(sizes, "a", dtype=object)
    dtype = onnx.helper.tensor_dtype_to_np_dtype(elem_type)
    if dtype.kind in "biu":
        return rng.integers(0, 2, sizes).astype(dtype)
    return rng.standard_normal(sizes).astype(dtype)
