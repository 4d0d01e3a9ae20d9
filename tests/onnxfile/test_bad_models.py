"""A file that is no sound model is refused in one line; what runtimes take is taken."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from bnfold import onnxfile
from bnfold.errors import BnfoldError, ModelError, UsageError
from tests.build import make_model, node, tensor, value
from tests.onnxfile.small import conv_norm

SOUND = conv_norm().SerializeToString()

BYTES = {
    "empty": (b"", "empty"),
    "text": (b"hello world, this is text\n" * 20, "not an ONNX file"),
    "json": (b'{"irVersion": 8}', "not an ONNX file"),
    "zeros": (bytes(64), "not an ONNX file"),
    "half": (SOUND[: len(SOUND) // 2], "truncated"),
    "last byte gone": (SOUND[:-1], "truncated"),
    "lfs pointer": (b"version https://git-lfs.github.com/spec/v1\noid x\n", "Git LFS"),
    "name of bytes": (SOUND.replace(b"weight", b"weigh\xff"), "UTF-8"),
}


@pytest.mark.parametrize("name", BYTES)
def test_bytes_refused(tmp_path: Path, name: str) -> None:
    data, words = BYTES[name]
    file = tmp_path / "m.onnx"
    file.write_bytes(data)
    with pytest.raises(ModelError, match=words) as caught:
        onnxfile.read(file)
    assert caught.value.where == str(file)


def test_missing_and_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.onnx", tmp_path, tmp_path / "none" / "m.onnx"):
        with pytest.raises(UsageError):
            onnxfile.read(path)


def test_fifo_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    with pytest.raises(UsageError, match="regular"):
        onnxfile.read(tmp_path / "pipe.onnx")


def _cycle(model: onnx.ModelProto) -> None:
    model.graph.node[0].input[0] = "y"


def _twice(model: onnx.ModelProto) -> None:
    model.graph.node[2].output[0] = "norm"
    model.graph.output[0].name = "norm"


def _initializer_twice(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(model.graph.initializer[0])


def _input_twice(model: onnx.ModelProto) -> None:
    model.graph.input.append(model.graph.input[0])


def _undefined_input(model: onnx.ModelProto) -> None:
    model.graph.node[0].input[0] = "nowhere"


def _undefined_output(model: onnx.ModelProto) -> None:
    model.graph.output[0].name = "nowhere"


def _huge_dims(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[0] = 2**40


def _negative_dims(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[0] = -4


def _data_too_long(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].raw_data += b"\0\0\0\0"


def _both_fields(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].float_data.append(1.0)


def _unknown_type(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].data_type = 99


def _many_dims(model: onnx.ModelProto) -> None:
    del model.graph.initializer[0].dims[:]
    model.graph.initializer[0].dims.extend([1] * 3_000_000)


def _many_dims_input(model: onnx.ModelProto) -> None:
    for _ in range(65):
        model.graph.input[0].type.tensor_type.shape.dim.add(dim_value=1)


def _no_opset(model: onnx.ModelProto) -> None:
    del model.opset_import[:]


def _opset_999(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 999


def _ir_99(model: onnx.ModelProto) -> None:
    model.ir_version = 99


def _no_nodes(model: onnx.ModelProto) -> None:
    model.graph.Clear()


def _unknown_operator(model: onnx.ModelProto) -> None:
    model.graph.node[2].op_type = "Rellu"


def _unknown_attribute(model: onnx.ModelProto) -> None:
    model.graph.node[2].attribute.append(onnx.helper.make_attribute("speed", 3))


def _recursive_function(model: onnx.ModelProto) -> None:
    inner = node("F", ["a"], "b", domain="local")
    ids = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("local", 1)]
    function = onnx.helper.make_function("local", "F", ["a"], ["b"], [inner], ids)
    model.functions.append(function)
    model.opset_import.append(ids[1])
    model.graph.node[2].op_type = "F"
    model.graph.node[2].domain = "local"


def _function(name: str, *inner: onnx.NodeProto) -> onnx.FunctionProto:
    ids = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("local", 1)]
    return onnx.helper.make_function("local", name, ["a"], [inner[-1].output[0]], inner, ids)


def _function_bomb(model: onnx.ModelProto) -> None:
    """40 functions, each of which calls the next one twice: 2^40 nodes."""
    model.opset_import.append(onnx.helper.make_opsetid("local", 1))
    for k in range(40):
        calls = [node(f"F{k + 1}", [source], made, domain="local") for source, made in ("ab", "bc")]
        model.functions.append(_function(f"F{k}", *calls))
    model.functions.append(_function("F40", node("Relu", ["a"], "c")))
    model.graph.node[2].op_type, model.graph.node[2].domain = "F0", "local"


def _attribute_of_no_function(model: onnx.ModelProto) -> None:
    attribute = model.graph.node[0].attribute.add(name="group", type=onnx.AttributeProto.INT)
    attribute.ref_attr_name = "group"


def _segment(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].segment.begin = 0


def _no_output(model: onnx.ModelProto) -> None:
    del model.graph.output[:]


def _external(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].data_location = onnx.TensorProto.EXTERNAL


BREAKS: dict[Callable[[onnx.ModelProto], None], str] = {
    _cycle: "cycle",
    _twice: "made twice",
    _initializer_twice: "there 2 times",
    _input_twice: "there 2 times",
    _undefined_input: "never made",
    _undefined_output: "never made",
    _huge_dims: "bytes where its shape wants",
    _negative_dims: "negative size",
    _data_too_long: "bytes where its shape wants",
    _both_fields: "where its shape wants",
    _unknown_type: "number type 99",
    _many_dims: "3000000 dimensions",
    _many_dims_input: "69 dimensions",
    _no_opset: "opset",
    _opset_999: "operator set 999",
    _ir_99: "ir_version",
    _no_nodes: "empty",
    _unknown_operator: "Rellu",
    _unknown_attribute: "speed",
    _recursive_function: "calls itself",
    _function_bomb: "3298534883329 nodes",
    _attribute_of_no_function: "stands in none",
    _segment: "segment",
    _no_output: "no output",
    _external: "another file",
}


@pytest.mark.parametrize("broken", BREAKS, ids=lambda function: function.__name__[1:])
def test_unsound_model_refused(broken: Callable[[onnx.ModelProto], None]) -> None:
    model = conv_norm()
    onnxfile.validate(model)
    broken(model)
    before = model.SerializeToString()
    with pytest.raises(ModelError, match=BREAKS[broken]):
        onnxfile.validate(model)
    assert model.SerializeToString() == before


def _unsorted(model: onnx.ModelProto) -> None:
    nodes = [onnx.NodeProto.FromString(n.SerializeToString()) for n in model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(reversed(nodes))


def _no_node_names(model: onnx.ModelProto) -> None:
    for made in model.graph.node:
        made.name = ""


def _strange_names(model: onnx.ModelProto) -> None:
    model.graph.node[0].name = "\x1b]0;title\x07<script>[/red]"


def _typed_data(model: onnx.ModelProto) -> None:
    for weight in model.graph.initializer:
        values = onnx.numpy_helper.to_array(weight).ravel()
        weight.ClearField("raw_data")
        weight.float_data.extend(values)


def _optional_input(model: onnx.ModelProto) -> None:
    model.graph.node[0].input.append("")


@pytest.mark.parametrize(
    "change",
    [_unsorted, _no_node_names, _strange_names, _typed_data, _optional_input],
    ids=lambda function: function.__name__[1:],
)
def test_odd_but_sound_model_taken(change: Callable[[onnx.ModelProto], None]) -> None:
    model = conv_norm()
    change(model)
    before = model.SerializeToString()
    onnxfile.validate(model)
    assert model.SerializeToString() == before


def test_unsorted_by_a_capture_taken() -> None:
    """A subgraph reads what a later node makes: the order of nodes alone is no failure."""
    then = onnx.helper.make_graph([node("Identity", ["late"], "t")], "then", [], [value("t", [2])])
    other = onnx.helper.make_graph([node("Neg", ["late"], "e")], "else", [], [value("e", [2])])
    nodes = [
        node("If", ["which"], "y", then_branch=then, else_branch=other),
        node("Relu", ["x"], "late"),
    ]
    inputs = [value("x", [2]), value("which", [], onnx.TensorProto.BOOL)]
    onnxfile.validate(make_model(nodes, inputs, [value("y", [2])]))


def test_cycle_through_a_capture_refused() -> None:
    then = onnx.helper.make_graph([node("Identity", ["y"], "t")], "then", [], [value("t", [2])])
    other = onnx.helper.make_graph([node("Neg", ["x"], "e")], "else", [], [value("e", [2])])
    nodes = [node("If", ["which"], "y", then_branch=then, else_branch=other)]
    inputs = [value("x", [2]), value("which", [], onnx.TensorProto.BOOL)]
    with pytest.raises(ModelError, match="cycle"):
        onnxfile.validate(make_model(nodes, inputs, [value("y", [2])]))


@pytest.mark.parametrize("bits", [2, 4])
def test_packed_types_measured(bits: int) -> None:
    kind = getattr(onnx.TensorProto, f"UINT{bits}", None)
    if kind is None:
        pytest.skip(f"this onnx has no UINT{bits}")
    model = conv_norm()
    model.graph.initializer.add(name="packed", data_type=kind, dims=[5], raw_data=b"\0\0\0")
    if bits == 4:
        onnxfile.validate(model)
    else:
        with pytest.raises(ModelError, match="3 bytes where its shape wants 2"):
            onnxfile.validate(model)


def test_a_control_character_is_shown_escaped() -> None:
    model = conv_norm()
    model.graph.node[0].input[0] = "\x1b[31mred"
    with pytest.raises(BnfoldError) as caught:
        onnxfile.validate(model)
    assert "\\x1b[31mred" in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_read_twice_and_hash(tmp_path: Path) -> None:
    file = tmp_path / "m.onnx"
    file.write_bytes(SOUND)
    first, second = onnxfile.read(file), onnxfile.read(str(file))
    assert first.sha256 == second.sha256
    assert first.model == second.model
    assert not first.external
    assert first.path == file


def test_many_initializers_stay_cheap() -> None:
    """The checker never sees the weights: a tensor of 64 MB costs what a small one does."""
    model = conv_norm()
    model.graph.initializer.append(tensor("big", onnx.numpy_helper.np.zeros(1 << 24, "f4")))
    onnxfile.validate(model)
