"""How many elements an operator makes of constants, told before it makes them.

A file of a few hundred bytes can ask for a Range of 10^12 numbers, or for a Concat of a tensor
with itself in forty steps. What is too large to hold is no constant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import ceil, prod
from typing import Any

import numpy as np

from bnfold.graph.numbers import Value

_PAST_NUMPY = 1 << 48  # what numpy does not even reckon with
Values = Sequence[Value | None]
Attributes = Mapping[str, Any]


def elements_made(op_type: str, values: Values, attributes: Attributes) -> int:
    """Elements of the largest output, or more.

    Raises:
        ValueError: the shapes do not fit each other, or what should be a shape is none.
    """
    told = _TELLING.get(op_type, _as_large_as_all)
    return max(told(values, attributes), 0)


def _as_large_as_all(values: Values, _: Attributes) -> int:
    """As elementwise operators and joins make: broadcast, or all inputs one behind the other."""
    given = [value for value in values if value is not None]
    total = sum(value.size for value in given)
    try:
        return max(total, prod(np.broadcast_shapes(*(value.shape for value in given))))
    except ValueError:
        return total


def _size(values: Values, slot: int) -> int:
    value = values[slot] if slot < len(values) else None
    return 0 if value is None else value.size


def _dims(value: Value | None) -> tuple[int, ...]:
    return () if value is None else value.shape


def _numbers(values: Values, slot: int) -> list[float]:
    value = values[slot] if slot < len(values) else None
    return [] if value is None else np.ravel(value).tolist()


def _shape(values: Values, _: Attributes) -> int:
    return int(prod(_numbers(values, 0)))


def _expand(values: Values, _: Attributes) -> int:
    wanted = tuple(int(size) for size in _numbers(values, 1))
    if prod(wanted) > _PAST_NUMPY:
        return prod(wanted)
    return prod(np.broadcast_shapes(_dims(values[0]), wanted))


def _tile(values: Values, _: Attributes) -> int:
    return _size(values, 0) * int(prod(_numbers(values, 1)))


def _range(values: Values, _: Attributes) -> int:
    start, end, step = (_numbers(values, slot)[0] for slot in range(3))
    return ceil((end - start) / step) if step else 0


def _pad(values: Values, attributes: Attributes) -> int:
    pads = _numbers(values, 1) or list(attributes.get("pads", ()))
    return int(prod(n + abs(max(pads, default=0)) * 2 for n in _dims(values[0])))


def _one_hot(values: Values, _: Attributes) -> int:
    return _size(values, 0) * int(abs(_numbers(values, 1)[0]))


def _resize(values: Values, attributes: Attributes) -> int:
    scales = _numbers(values, 2) or list(attributes.get("scales", ()))
    return int(max(prod(_numbers(values, 3) or [0]), _size(values, 0) * prod(scales)))


def _upsample(values: Values, attributes: Attributes) -> int:
    return int(_size(values, 0) * prod(_numbers(values, 1) or attributes.get("scales", ())))


def _product(values: Values, attributes: Attributes) -> int:
    """Every row of the one by every column of the other, of every matrix in it."""
    inner = _dims(values[0])[0 if attributes.get("transA") else -1]
    return (_size(values, 0) // max(inner, 1)) * (_size(values, 1) // max(inner, 1))


def _gather(values: Values, attributes: Attributes) -> int:
    shape = _dims(values[0])
    return _size(values, 1) * (_size(values, 0) // max(shape[int(attributes.get("axis", 0))], 1))


def _constant(_: Values, attributes: Attributes) -> int:
    sparse = attributes.get("sparse_value")
    return 0 if sparse is None else prod(sparse.dims)


_TELLING: Mapping[str, Callable[[Values, Attributes], int]] = {
    "Constant": _constant,
    "ConstantOfShape": _shape,
    "Einsum": lambda values, _: prod(value.size for value in values if value is not None),
    "Expand": _expand,
    "Gather": _gather,
    "Gemm": _product,
    "MatMul": _product,
    "OneHot": _one_hot,
    "Pad": _pad,
    "Range": _range,
    "Resize": _resize,
    "Tile": _tile,
    "Upsample": _upsample,
}
