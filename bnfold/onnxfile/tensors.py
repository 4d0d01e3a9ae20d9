"""Does a tensor hold as much data as its shape and type say?"""

from __future__ import annotations

import math

import onnx

from bnfold.errors import ModelError
from bnfold.show import show

MOST_DIMS = 64  # numpy's limit; asked for before numpy or a runtime sees the tensor

_BITS = {
    **dict.fromkeys(("INT2", "UINT2"), 2),
    **dict.fromkeys(("INT4", "UINT4", "FLOAT4E2M1"), 4),
    **dict.fromkeys(("BOOL", "INT8", "UINT8"), 8),
    **dict.fromkeys(("FLOAT8E4M3FN", "FLOAT8E4M3FNUZ", "FLOAT8E5M2", "FLOAT8E5M2FNUZ"), 8),
    **dict.fromkeys(("FLOAT8E8M0",), 8),
    **dict.fromkeys(("INT16", "UINT16", "FLOAT16", "BFLOAT16"), 16),
    **dict.fromkeys(("INT32", "UINT32", "FLOAT"), 32),
    **dict.fromkeys(("INT64", "UINT64", "DOUBLE", "COMPLEX64"), 64),
    **dict.fromkeys(("COMPLEX128",), 128),
}
_NAMES: dict[int, str] = {number: name for name, number in onnx.TensorProto.DataType.items()}
_FIELDS = ("float_data", "int32_data", "string_data", "int64_data", "double_data", "uint64_data")
_FIELD_OF = {
    **dict.fromkeys(("FLOAT", "COMPLEX64"), "float_data"),
    **dict.fromkeys(("DOUBLE", "COMPLEX128"), "double_data"),
    **dict.fromkeys(("UINT32", "UINT64"), "uint64_data"),
    "INT64": "int64_data",
    "STRING": "string_data",
}


def elements(tensor: onnx.TensorProto) -> int:
    """The number of elements that the shape asks for.

    Raises:
        ModelError: a negative size, or more than 64 dimensions.
    """
    rank = len(tensor.dims)
    if rank > MOST_DIMS:
        raise ModelError(f"{_label(tensor)} has {rank} dimensions; {MOST_DIMS} is the most")
    if any(size < 0 for size in tensor.dims):
        raise ModelError(f"{_label(tensor)} has a negative size: {list(tensor.dims)}")
    return math.prod(tensor.dims)


def nbytes(tensor: onnx.TensorProto) -> int:
    """The length of the tensor's raw data, packed types included.

    Raises:
        ModelError: the type is unknown or has no raw form, or the shape is not one.
    """
    name = _type_name(tensor)
    if name == "STRING":
        raise ModelError(f"{_label(tensor)} holds strings, which have no raw form")
    return -(-elements(tensor) * _BITS[name] // 8)


def check_data(tensor: onnx.TensorProto) -> None:
    """Refuse a tensor whose data does not fill its shape exactly.

    Raises:
        ModelError: what does not fit.
    """
    if tensor.HasField("segment"):
        raise ModelError(f"{_label(tensor)} is one segment of several, which no runtime reads")
    filled = [field for field in _FIELDS if len(getattr(tensor, field))]
    if tensor.HasField("raw_data"):
        want, have = nbytes(tensor), len(tensor.raw_data)
        if filled or want != have:
            raise ModelError(f"{_label(tensor)} holds {have} bytes where its shape wants {want}")
        return
    name, count = _type_name(tensor), elements(tensor)
    field = _FIELD_OF.get(name, "int32_data")
    want = _entries(name, count)
    have = len(getattr(tensor, field))
    if have != want or set(filled) - {field}:
        raise ModelError(f"{_label(tensor)} holds {have} values where its shape wants {want}")


def _entries(name: str, count: int) -> int:
    """How many entries of the typed field `count` elements take."""
    if name.startswith("COMPLEX"):
        return 2 * count
    bits = _BITS.get(name, 8)
    return -(-count * bits // 8) if bits < 8 else count


def _type_name(tensor: onnx.TensorProto) -> str:
    name = _NAMES.get(tensor.data_type, "UNDEFINED")
    if name != "STRING" and name not in _BITS:
        raise ModelError(f"{_label(tensor)} has the unknown number type {tensor.data_type}")
    return name


def _label(tensor: onnx.TensorProto) -> str:
    return f"tensor '{show(tensor.name)}'" if tensor.name else "a tensor without a name"
