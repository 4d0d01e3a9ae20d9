"""Tensors and types that lie: sizes, fields, types, sparse ones."""

from __future__ import annotations

from collections.abc import Callable

import onnx
from onnx import SparseTensorProto, TensorProto, helper

from tests.corpus.making import Maker, model, weight


def _replace(change: Callable[[TensorProto], object]) -> Maker:
    """The weight without its bytes, then changed."""

    def bare(tensor: TensorProto) -> None:
        tensor.ClearField("raw_data")
        change(tensor)

    return weight(bare)


def _extend(field: str, values: list[object]) -> Maker:
    return _replace(lambda t: getattr(t, field).extend(values))


def _input(change: Callable[[onnx.ValueInfoProto], object]) -> Maker:
    return model(lambda m: change(m.graph.input[0]))


def _sparse(change: Callable[[SparseTensorProto], object]) -> Maker:
    """A sparse initializer that nothing reads, changed."""

    def add(m: onnx.ModelProto) -> None:
        values = helper.make_tensor("thin", TensorProto.FLOAT, [2], [1.0, 2.0])
        places = helper.make_tensor("", TensorProto.INT64, [2], [0, 3])
        sparse = helper.make_sparse_tensor(values, places, [4])
        change(sparse)
        m.graph.sparse_initializer.append(sparse)

    return model(add)


def _zeros(kind: int, dims: list[int], data: int) -> Callable[[onnx.ModelProto], object]:
    return lambda m: m.graph.initializer.add(
        name="more", data_type=kind, dims=dims, raw_data=bytes(data)
    )


MODELS: dict[str, Maker] = {
    "no_data": _replace(lambda t: None),
    "dims_2_31": _replace(lambda t: t.dims.__setitem__(0, 2**31)),
    "dims_2_62": weight(lambda t: t.dims.__setitem__(slice(None), [2**62] * 4)),
    "dims_of_least": weight(lambda t: t.dims.__setitem__(0, -(2**63))),
    "dims_minus_two": weight(lambda t: t.dims.__setitem__(slice(None), [-2, 27])),
    "dims_minus_twice": weight(lambda t: t.dims.__setitem__(slice(None), [-4, -27])),
    "dims_zero_with_data": weight(lambda t: t.dims.append(0)),
    "dims_zero_and_huge": model(_zeros(TensorProto.FLOAT, [0, 2**63 - 1, 2**63 - 1], 4)),
    "dims_65": weight(lambda t: t.dims.extend([1] * 61)),
    "floats_short": _extend("float_data", [1.0] * 3),
    "floats_long": _extend("float_data", [1.0] * 1000),
    "integers_for_floats": _extend("int32_data", [1] * 108),
    "doubles_for_floats": _extend("double_data", [1.0] * 108),
    "strings_for_floats": _extend("string_data", [b"1"] * 108),
    "raw_and_strings": weight(lambda t: t.string_data.append(b"x")),
    "raw_of_strings": model(_zeros(TensorProto.STRING, [2], 8)),
    "type_negative": weight(lambda t: setattr(t, "data_type", -1)),
    "type_huge": weight(lambda t: setattr(t, "data_type", 2**31 - 1)),
    "half_with_float_bytes": weight(lambda t: setattr(t, "data_type", TensorProto.FLOAT16)),
    "int4_odd": model(_zeros(TensorProto.INT4, [3], 1)),
    "bool_short": model(_zeros(TensorProto.BOOL, [3], 1)),
    "complex_short": model(_zeros(TensorProto.COMPLEX128, [2], 16)),
    "location_of_nothing": weight(lambda t: setattr(t, "data_location", TensorProto.EXTERNAL)),
    "name_empty": weight(lambda t: setattr(t, "name", "")),
    "input_type_unknown": _input(lambda v: setattr(v.type.tensor_type, "elem_type", 99)),
    "input_without_type": _input(lambda v: v.ClearField("type")),
    "input_without_name": _input(lambda v: setattr(v, "name", "")),
    "sparse_indices_beyond": _sparse(lambda s: s.indices.int64_data.__setitem__(1, 99)),
    "sparse_indices_negative": _sparse(lambda s: s.indices.int64_data.__setitem__(0, -1)),
    "sparse_indices_unsorted": _sparse(lambda s: s.indices.int64_data.__setitem__(0, 3)),
    "sparse_indices_of_floats": _sparse(
        lambda s: s.indices.CopyFrom(helper.make_tensor("", 1, [2], [0.0, 1.0]))
    ),
    "sparse_huge": _sparse(lambda s: s.dims.__setitem__(slice(None), [2**62, 2**62])),
    "sparse_negative": _sparse(lambda s: s.dims.__setitem__(0, -4)),
    "sparse_short": _sparse(lambda s: s.values.float_data.pop()),
    "sparse_without_indices": _sparse(lambda s: s.ClearField("indices")),
    "sparse_twice": _sparse(lambda s: setattr(s.values, "name", "weight")),
    "sparse_65_dims": _sparse(lambda s: s.dims.extend([1] * 64)),
}
