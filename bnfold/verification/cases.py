"""Seeded inputs that find faults: several ranges and batches, zeros, heavy borders."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from bnfold.errors import UsageError
from bnfold.show import show
from bnfold.verification.subject import Dim, Port

Array = npt.NDArray[Any]
Shapes = Mapping[str, Sequence[int]]


class Misfit(UsageError):
    """The original does not run on inputs of our own making: its user has to give sizes."""


@dataclass(frozen=True, slots=True)
class OpenSizes:
    """What an open size becomes where nobody says."""

    spatial: int
    sequence: int


# taken in turn until the original runs: small and quick; what classifiers and audio frames want;
# tiny images and short tables of positions; detectors and a second of sound
OPEN_SIZES = (OpenSizes(64, 128), OpenSizes(224, 512), OpenSizes(32, 16), OpenSizes(640, 16000))


@dataclass(frozen=True, slots=True)
class Case:
    """One set of inputs; `given` where the user brought it."""

    name: str
    feeds: Mapping[str, Array]
    given: bool = False

    @property
    def elements(self) -> int:
        """How many values it holds."""
        return sum(value.size for value in self.feeds.values())


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.standard_normal(shape)


def _unit(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.uniform(0.0, 1.0, shape)


def _pixels(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.integers(0, 256, shape).astype(np.float64)


def _zeros(_: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return np.zeros(shape)


def _border(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Loud at the rim of the spatial axes, quiet inside: a mistake at the padding shows."""
    values = rng.standard_normal(shape)
    if len(shape) < 3:
        return values
    inside = np.ones(shape[2:], dtype=bool)
    for axis, size in enumerate(shape[2:]):
        rim = min(2, max(1, size // 4))
        index = np.arange(size).reshape([-1 if k == axis else 1 for k in range(inside.ndim)])
        inside &= (index >= rim) & (index < size - rim)
    return values * np.where(inside, 0.1, 3.0)


KINDS: Mapping[str, Callable[[np.random.Generator, tuple[int, ...]], Array]] = {
    "normal": _normal,
    "unit": _unit,
    "border": _border,
    "pixels": _pixels,
    "zeros": _zeros,
}


def generated(
    ports: Sequence[Port],
    batches: Sequence[int],
    shapes: Shapes | None,
    seed: int,
    sizes: OpenSizes = OPEN_SIZES[0],
) -> tuple[Case, ...]:
    """All kinds at the first batch size, normal values at each further one.

    Raises:
        UsageError: a size that was given does not fit the model.
    """
    found: dict[str, Case] = {}
    seen: set[tuple[tuple[int, ...], ...]] = set()
    for batch in batches:
        full = resolve(ports, batch, shapes, sizes)
        key = tuple(full[port.name] for port in ports)
        if key in seen:
            continue
        kinds = list(KINDS) if not seen else ["normal"]
        seen.add(key)
        for kind in kinds:
            name = f"{kind} x{batch}"
            found[name] = Case(name, _feeds(ports, full, kind, batch, seed))
    return tuple(found.values())


def _feeds(
    ports: Sequence[Port],
    sizes: Mapping[str, tuple[int, ...]],
    kind: str,
    batch: int,
    seed: int,
) -> dict[str, Array]:
    place = list(KINDS).index(kind)
    return {
        port.name: _values(
            port, sizes[port.name], kind, np.random.default_rng([seed, batch, place, k])
        )
        for k, port in enumerate(ports)
    }


def _values(port: Port, shape: tuple[int, ...], kind: str, rng: np.random.Generator) -> Array:
    if port.elem_type == onnx.TensorProto.STRING:
        return np.full(shape, "a", dtype=object)
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(port.elem_type))
    if dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(dtype)
    if dtype.kind in "iu":
        if port.below is not None:
            return rng.integers(0, max(port.below, 1), shape).astype(dtype)
        if dtype.itemsize == 1:  # images in bytes
            return np.clip(_pixels(rng, shape), 0, np.iinfo(dtype).max).astype(dtype)
        return rng.integers(0, 2, shape).astype(dtype)
    return KINDS[kind](rng, shape).astype(dtype)


def resolve(
    ports: Sequence[Port],
    batch: int,
    shapes: Shapes | None = None,
    where_open: OpenSizes = OPEN_SIZES[0],
) -> dict[str, tuple[int, ...]]:
    """Every size of every input.

    `shapes` gives an input's sizes (with or without the batch) or, under a symbol's name, one.
    Open sizes without either: the batch on axis 0, else `where_open`; one symbol has one size.

    Raises:
        UsageError: a name in `shapes` is unknown, or its sizes do not fit.
    """
    given = {name: tuple(int(s) for s in sizes) for name, sizes in (shapes or {}).items()}
    symbols = {d for port in ports for d in port.dims or () if isinstance(d, str)}
    for name, sizes in given.items():
        known = name in {port.name for port in ports} or (name in symbols and len(sizes) == 1)
        if not known or any(size < 1 for size in sizes):
            raise UsageError(
                f"--shape {show(name)}: no such input or symbol, or sizes that cannot be",
                hint="inputs: " + ", ".join(_described(port) for port in ports),
            )
    bound = {name: sizes[0] for name, sizes in given.items() if name in symbols}
    for port in ports:
        if port.name in given:
            full = _full(port, given[port.name], batch)
            bound |= {
                d: s for d, s in zip(port.dims or (), full, strict=False) if isinstance(d, str)
            }
    return {port.name: _sizes(port, batch, given, bound, where_open) for port in ports}


def sizes_taken(
    ports: Sequence[Port], shapes: Shapes | None, case: Case
) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Inputs with their shapes in `case`, where a size beyond the batch was nobody's word."""
    known = set(shapes or ())
    return tuple(
        (port.name, case.feeds[port.name].shape)
        for port in ports
        if port.name not in known
        and any(not isinstance(dim, int) and dim not in known for dim in (port.dims or ())[1:])
    )


def _described(port: Port) -> str:
    return f"{show(port.name)}[{','.join('?' if d is None else show(d) for d in port.dims or ())}]"


def _full(port: Port, sizes: tuple[int, ...], batch: int) -> tuple[int, ...]:
    if port.dims is None:
        return sizes
    if len(sizes) == len(port.dims) - 1:
        sizes = (port.dims[0] if isinstance(port.dims[0], int) else batch, *sizes)
    fits = len(sizes) == len(port.dims) and all(
        not isinstance(dim, int) or dim == size for dim, size in zip(port.dims, sizes, strict=True)
    )
    if not fits:
        shape = "x".join(map(str, sizes))
        raise UsageError(f"--shape {shape} does not fit the input {_described(port)}")
    return sizes


def _sizes(
    port: Port,
    batch: int,
    given: Mapping[str, tuple[int, ...]],
    bound: dict[str, int],
    sizes: OpenSizes,
) -> tuple[int, ...]:
    if port.name in given:
        return _full(port, given[port.name], batch)
    if port.dims is None:
        raise UsageError(
            f"input '{show(port.name)}' has no rank", hint=f"--shape {show(port.name)}=1,3,64,64"
        )
    return tuple(_size(port.dims, axis, batch, bound, sizes) for axis in range(len(port.dims)))


def _size(
    dims: tuple[Dim, ...], axis: int, batch: int, bound: dict[str, int], sizes: OpenSizes
) -> int:
    dim = dims[axis]
    if isinstance(dim, int):
        return dim
    if isinstance(dim, str) and dim in bound:
        return bound[dim]
    if axis == 0:
        size = batch
    elif len(dims) >= 4 and axis >= 2:
        size = sizes.spatial
    else:
        size = sizes.sequence
    if isinstance(dim, str):
        bound[dim] = size
    return size
