"""What a kernel sees of a node (`Call`), and how numbers become float64 and go back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Result = Array | tuple[Array | None, ...]

UNDEFINED = 0
FLOAT, FLOAT16, DOUBLE, BFLOAT16 = 1, 10, 11, 16
_FLOAT8 = (17, 18, 19, 20, 24)
FLOATS = frozenset((FLOAT, FLOAT16, DOUBLE, BFLOAT16, 23, *_FLOAT8))
_BITS = {DOUBLE: 52, FLOAT: 23, FLOAT16: 10, BFLOAT16: 7, 17: 3, 18: 3, 19: 2, 20: 2, 23: 1, 24: 0}


class Unsupported(LookupError):
    """No kernel computes this operator in float64."""


@dataclass(frozen=True, slots=True)
class Call:
    """One node: inputs (None where absent), attributes as Python values, ONNX element types."""

    op_type: str
    version: int
    inputs: tuple[Array | None, ...]
    attributes: Mapping[str, Any]
    outputs: int = 1
    types: tuple[int, ...] = ()

    def get(self, position: int) -> Array | None:
        """The input at `position`, or None where it is absent."""
        return self.inputs[position] if position < len(self.inputs) else None

    def need(self, position: int) -> Array:
        """The input at `position`.

        Raises:
            ValueError: it is absent.
        """
        value = self.get(position)
        if value is None:
            raise ValueError(f"{self.op_type} lacks its input {position}")
        return value

    def attr(self, name: str, default: Any = None) -> Any:
        """The attribute `name`, or `default`."""
        return self.attributes.get(name, default)

    def ints(self, name: str) -> list[int] | None:
        """The integer list `name`, or None where it is absent."""
        value = self.attributes.get(name)
        return None if value is None else [int(entry) for entry in value]

    def text(self, name: str, default: str) -> str:
        """The string attribute `name`; bytes are decoded."""
        value = self.attributes.get(name, default)
        return value.decode() if isinstance(value, bytes) else str(value)

    def ints_at(self, position: int, name: str) -> list[int] | None:
        """Integers given as input `position` (newer opsets) or as attribute `name` (older)."""
        value = self.get(position)
        return self.ints(name) if value is None else [int(entry) for entry in value.reshape(-1)]

    def type_of(self, position: int) -> int:
        """The ONNX element type of an input, UNDEFINED where the caller did not say."""
        return self.types[position] if position < len(self.types) else UNDEFINED


Kernel = Callable[[Call], Result]


@cache
def numpy_type(element_type: int) -> np.dtype[Any]:
    """The numpy (or ml_dtypes) type of an ONNX element type."""
    from onnx import helper

    return np.dtype(helper.tensor_dtype_to_np_dtype(element_type))


def element_type(dtype: np.dtype[Any]) -> int:
    """The ONNX element type of a numpy type; strings are 8."""
    from onnx import helper

    return 8 if dtype.kind in "OUS" else int(helper.np_dtype_to_tensor_dtype(dtype))


def is_float(dtype: np.dtype[Any]) -> bool:
    """Whether numpy or ml_dtypes holds a real floating type there."""
    return dtype.kind == "f" or (dtype.kind == "V" and "float" in dtype.name)


def raised(value: Array) -> Array:
    """Any real float as float64, 4 bit integers as 8 bit, everything else as it is."""
    if value.dtype == np.float64 or value.dtype.kind in "iubOUSc":
        return value
    if is_float(value.dtype):
        return value.astype(np.float64)
    if value.dtype.name in ("int4", "int2"):
        return value.astype(np.int8)
    if value.dtype.name in ("uint4", "uint2"):
        return value.astype(np.uint8)
    return value


def round_to(value: Array, target: int, saturate: int = 0) -> Array:
    """Round float64 to the element type `target` and back; float8 may saturate.

    Raises:
        Unsupported: float8e8m0, which has rounding modes of its own.
    """
    if target == DOUBLE:
        return value
    if target == 24:
        raise Unsupported("a cast to float8e8m0")
    if saturate and target in _FLOAT8:
        import ml_dtypes

        top = float(ml_dtypes.finfo(numpy_type(target)).max)  # type: ignore[no-untyped-call]
        value = np.clip(value, -top, top)
    narrow = value.astype(numpy_type(target))
    return narrow.astype(np.float64)


def narrower(target: int, source: int) -> bool:
    """Whether a cast from `source` to `target` may lose digits or range; unknown sources may."""
    if source == UNDEFINED:
        return target != DOUBLE
    if source not in FLOATS:
        return True
    if {source, target} == {FLOAT16, BFLOAT16}:
        return True
    return _BITS.get(target, 0) < _BITS.get(source, 52) or (target in _FLOAT8 and target != source)


def as_tuple(result: Result) -> tuple[Array | None, ...]:
    """A kernel may answer one array; the callers want tuples."""
    return result if isinstance(result, tuple) else (result,)


def axis_of(axis: int, rank: int) -> int:
    """A possibly negative axis made positive.

    Raises:
        ValueError: it lies outside of the rank.
    """
    if not -rank <= axis < max(rank, 1):
        raise ValueError(f"axis {axis} outside of rank {rank}")
    return axis + rank if axis < 0 else axis


def axes_of(axes: Sequence[int], rank: int) -> tuple[int, ...]:
    """Possibly negative axes made positive."""
    return tuple(axis_of(axis, rank) for axis in axes)
