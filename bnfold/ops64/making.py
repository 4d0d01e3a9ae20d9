"""Operators that make values out of attributes, shapes and casts: Constant, Cast, Shape, Range."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bnfold.ops64.call import (
    FLOATS,
    UNDEFINED,
    Array,
    Call,
    Kernel,
    Result,
    Unsupported,
    is_float,
    narrower,
    numpy_type,
    raised,
    round_to,
)


def _constant(call: Call) -> Result:
    """Whichever of the value attributes is there."""
    attributes = call.attributes
    if "value" in attributes:
        return raised(np.asarray(attributes["value"]))
    if "sparse_value" in attributes:
        return raised(_dense(attributes["sparse_value"]))
    for name, dtype in _VALUES.items():
        if name in attributes:
            return np.asarray(attributes[name], dtype=dtype)
    raise ValueError("Constant has no value")


_VALUES: Mapping[str, Any] = {
    "value_float": np.float64,
    "value_floats": np.float64,
    "value_int": np.int64,
    "value_ints": np.int64,
    "value_string": np.object_,
    "value_strings": np.object_,
}


def _dense(sparse: Any) -> Array:
    """A SparseTensorProto made dense; indices are linear (NNZ,) or per axis (NNZ, rank)."""
    from onnx import numpy_helper

    values = numpy_helper.to_array(sparse.values)
    indices = numpy_helper.to_array(sparse.indices)
    dense = np.zeros(tuple(sparse.dims), dtype=values.dtype)
    if indices.ndim == 1:
        dense.reshape(-1)[indices] = values
    else:
        dense[tuple(indices.T)] = values
    return dense


def cast(value: Array, target: int, source: int, saturate: int = 1) -> Array:
    """Cast to the ONNX type `target`: floats are rounded to it and stay float64."""
    if target == 8:
        return value.astype(str).astype(np.object_)
    if value.dtype.kind in "OUS":
        value = value.astype(np.float64)
        source = UNDEFINED
    if target not in FLOATS:
        return raised(value.astype(numpy_type(target)))
    wide = value.astype(np.float64)
    return round_to(wide, target, saturate) if narrower(target, source) else wide


def _cast(call: Call) -> Result:
    """Rounds where the target is narrower than the source's type, or the source is unknown."""
    x = call.need(0)
    source = call.type_of(0) if is_float(x.dtype) else UNDEFINED
    return cast(x, int(call.attr("to")), source, call.attr("saturate", 1))


def _cast_like(call: Call) -> Result:
    """The second input gives the type: by `types` for floats, by its dtype for the others.

    Raises:
        Unsupported: it is a float of unknown type.
    """
    x, like = call.need(0), call.need(1)
    target = call.type_of(1)
    if target == UNDEFINED:
        if is_float(like.dtype):
            raise Unsupported("CastLike to a float of unknown type")
        return x.astype(like.dtype)
    source = call.type_of(0) if is_float(x.dtype) else UNDEFINED
    return cast(x, target, source, call.attr("saturate", 1))


def _shape(call: Call) -> Result:
    x = call.need(0)
    end = call.attr("end")
    return np.array(x.shape[call.attr("start", 0) : end], dtype=np.int64)


def _size(call: Call) -> Result:
    return np.array(call.need(0).size, dtype=np.int64)


def _constant_of_shape(call: Call) -> Result:
    shape = tuple(int(size) for size in call.need(0).reshape(-1))
    value = call.attr("value")
    if value is None:
        return np.zeros(shape)
    return np.full(shape, raised(np.asarray(value)).reshape(-1)[0])


def _range(call: Call) -> Result:
    start, limit, delta = (call.need(k).reshape(-1)[0] for k in range(3))
    count = max(0, int(np.ceil((limit - start) / delta)))
    return np.asarray(start + np.arange(count) * delta, dtype=call.need(0).dtype)


def _eye_like(call: Call) -> Result:
    x = call.need(0)
    kind = call.attr("dtype")
    dtype = x.dtype if kind is None else raised(np.empty(0, numpy_type(int(kind)))).dtype
    rows, columns = x.shape
    return np.asarray(np.eye(rows, columns, k=int(call.attr("k", 0)), dtype=dtype))


def _one_hot(call: Call) -> Result:
    """Indices outside of [-depth, depth - 1] give a row of off values."""
    indices, values = call.need(0), call.need(2)
    depth = int(call.need(1).reshape(-1)[0])
    rows = indices.astype(np.int64)
    inside = (rows >= -depth) & (rows < depth)
    hot = (np.where(inside, rows % depth, -1)[..., None]) == np.arange(depth)
    axis = call.attr("axis", -1)
    return np.asarray(np.moveaxis(np.where(hot, values[1], values[0]), -1, axis))


KERNELS: Mapping[str, Kernel] = {
    "Cast": _cast,
    "CastLike": _cast_like,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "EyeLike": _eye_like,
    "OneHot": _one_hot,
    "Range": _range,
    "Shape": _shape,
    "Size": _size,
}
