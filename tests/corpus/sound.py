"""Files that look odd and are sound: refusing them would be a fault as well."""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper

from tests.corpus import amounts, bodies, fields, reckless
from tests.corpus.making import (
    SOUND,
    Maker,
    attribute_added,
    external,
    field,
    length,
    model,
    of_bytes,
    weight,
)


def _typed(tensor: TensorProto) -> None:
    import numpy as np

    values = np.frombuffer(tensor.raw_data, np.float32)
    tensor.ClearField("raw_data")
    tensor.float_data.extend(values.tolist())


def _reversed(m: onnx.ModelProto) -> None:
    nodes = list(m.graph.node)
    del m.graph.node[:]
    m.graph.node.extend(reversed(nodes))


def _unused_function(m: onnx.ModelProto) -> None:
    ids = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    relu = helper.make_node("Relu", ["a"], ["b"])
    m.functions.append(helper.make_function("own", "F", ["a"], ["b"], [relu], ids))
    m.opset_import.append(ids[1])


def _renamed(name: str) -> Maker:
    """The tensor between Conv and BatchNormalization has another name."""

    def rename(m: onnx.ModelProto) -> None:
        m.graph.node[0].output[0] = m.graph.node[1].input[0] = name
        m.graph.node[0].name = m.graph.node[1].name + name

    return model(rename)


def _sparse(m: onnx.ModelProto) -> None:
    values = helper.make_tensor("thin", TensorProto.FLOAT, [2], [1.0, 2.0])
    places = helper.make_tensor("", TensorProto.INT64, [2], [0, 3])
    m.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [4]))


def _quantisation(m: onnx.ModelProto) -> None:
    entry = m.graph.quantization_annotation.add(tensor_name="conv")
    entry.quant_parameter_tensor_names.add(key="SCALE_TENSOR", value="nowhere")


SOUND_MODELS: dict[str, Maker] = {
    "plain": of_bytes(SOUND),
    "unknown_field": of_bytes(SOUND + field(999, 2, length(b"more"))),
    "unknown_group": of_bytes(SOUND + field(999, 3, b"") + field(999, 4, b"")),
    "empty_extra_graph": of_bytes(SOUND + field(7, 2, length(b""))),
    "nodes_reversed": model(_reversed),
    "nodes_without_names": model(lambda m: [n.ClearField("name") for n in m.graph.node]),
    "typed_floats": weight(_typed),
    "function_unused": model(_unused_function),
    "opset_twice_alike": model(lambda m: m.opset_import.append(helper.make_opsetid("", 17))),
    "opset_unused": model(lambda m: m.opset_import.append(helper.make_opsetid("nobody", 7))),
    "doc_of_10_mb": model(lambda m: setattr(m, "doc_string", "x" * 10_000_000)),
    "producer_escapes": model(lambda m: setattr(m, "producer_name", "\x1b]0;own\x07<b>\u202e")),
    "input_of_minus_one": model(
        lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[0], "dim_value", -1)
    ),
    "initializer_is_input": model(
        lambda m: m.graph.input.append(helper.make_tensor_value_info("weight", 1, [4, 3, 3, 3]))
    ),
    "initializer_unused": model(
        lambda m: m.graph.initializer.add(name="idle", data_type=1, raw_data=bytes(4))
    ),
    "quantisation_of_nothing": model(_quantisation),
    "sparse_unused": model(_sparse),
    "name_composed": _renamed("caf\u00e9"),
    "name_decomposed": _renamed("cafe\u0301"),
    "name_with_escape": _renamed("a\x1b]0;own\x07\x1b[31m\u202e\u2066"),
    "name_with_markup": _renamed('"><img src=x onerror=alert(1)>[/red]'),
    "name_with_newline": _renamed("a\n::error::own\r\nb"),
    "name_with_nul": _renamed("a\0b"),
    "name_with_path": _renamed("../../../etc/hostname"),
    "name_with_tag_characters": _renamed("a\U000e0041\u200b\u00ad\ufeff"),
    "name_long": _renamed("n" * 100_000),
    "external_plain": external(),
    "external_dotted": external(location="./external_dotted.data"),
    "external_unknown_key": external(**{"__class__": "x", "checksum": "zz"}),
}
SOUND_MODELS |= fields.SOUND_MODELS | bodies.SOUND_MODELS | amounts.MANY | reckless.SOUND_MODELS


def _conv(name: str, value: object) -> Maker:
    return attribute_added(0, helper.make_attribute(name, value))


# files that only a runtime refuses: `inspect` and `fold` take them, `verify` and `bench` do not
UNRUNNABLE: dict[str, Maker] = {
    "conv_strides_zero": _conv("strides", [0, 0]),
    "conv_strides_negative": _conv("strides", [-1, -1]),
    "conv_pads_short": _conv("pads", [1]),
    "conv_group_zero": _conv("group", 0),
    "conv_group_huge": _conv("group", 2**62),
    **bodies.UNRUNNABLE,
}
