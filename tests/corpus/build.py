"""Hostile and broken model files, built fresh: `python -m tests.corpus.build DIR`.

Each entry is a maker of one file (or of what stands in its place) and the exit code that every
command that reads models must give: 3 for no usable model, 2 for no file at all.
"""

from __future__ import annotations

import gzip
import os
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from tests.onnxfile.small import conv_norm

Maker = Callable[[Path], None]
SOUND = conv_norm().SerializeToString()


def _bytes(data: bytes) -> Maker:
    return lambda path: _write(path, data)


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def _model(change: Callable[[onnx.ModelProto], object]) -> Maker:
    def make(path: Path) -> None:
        model = conv_norm()
        change(model)
        path.write_bytes(model.SerializeToString())

    return make


def _weight(change: Callable[[TensorProto], object]) -> Maker:
    return _model(lambda model: change(model.graph.initializer[0]))


def _external(**entries: str) -> Maker:
    def make(path: Path) -> None:
        model = conv_norm()
        weight = model.graph.initializer[0]
        data = weight.raw_data
        (path.parent / f"{path.stem}.data").write_bytes(data)
        weight.ClearField("raw_data")
        weight.data_location = TensorProto.EXTERNAL
        for key, text in {"location": f"{path.stem}.data", **entries}.items():
            weight.external_data.add(key=key, value=text)
        path.write_bytes(model.SerializeToString())

    return make


def _external_by(place: Callable[[Path, Path], object]) -> Maker:
    """External data behind something that is no plain file; `place(data, secret)` puts it."""

    def make(path: Path) -> None:
        _external()(path)
        data, secret = path.parent / f"{path.stem}.data", path.parent.parent / f"{path.stem}.secret"
        secret.write_bytes(data.read_bytes())
        data.unlink()
        place(data, secret)

    return make


def _field(number: int, wire: int, payload: bytes) -> bytes:
    key = bytes([number << 3 | wire])
    return key + payload


def _length(data: bytes) -> bytes:
    size, encoded = len(data), bytearray()
    while size > 0x7F:
        encoded.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([*encoded, size]) + data


def _nested(depth: int) -> bytes:
    """If in If: graph (node (attribute (graph ...))), by hand, since protobuf refuses to build."""
    graph = b""
    for _ in range(depth):
        attribute = _field(1, 2, _length(b"then_branch")) + _field(6, 2, _length(graph))
        node = _field(4, 2, _length(b"If")) + _field(5, 2, _length(attribute))
        graph = _field(1, 2, _length(node))
    return _field(1, 0, b"\x0a") + _field(7, 2, _length(graph))


def _function_bomb(model: onnx.ModelProto, depth: int = 40) -> None:
    ids = [helper.make_opsetid("", 17), helper.make_opsetid("bomb", 1)]
    for k in range(depth):
        op = f"F{k + 1}" if k + 1 < depth else "Relu"
        domain = "bomb" if k + 1 < depth else ""
        nodes = [helper.make_node(op, [a], [b], domain=domain) for a, b in ("ab", "bc")]
        model.functions.append(helper.make_function("bomb", f"F{k}", ["a"], ["c"], nodes, ids))
    model.opset_import.append(ids[1])
    model.graph.node[2].op_type, model.graph.node[2].domain = "F0", "bomb"


def _recursive(model: onnx.ModelProto) -> None:
    _function_bomb(model, 1)
    for node in model.functions[0].node:
        node.op_type, node.domain = "F0", "bomb"


def _wrong_attribute(model: onnx.ModelProto) -> None:
    model.graph.node[0].attribute.append(helper.make_attribute("group", "text"))


def _no_subgraph_value(model: onnx.ModelProto) -> None:
    body = helper.make_graph(
        [helper.make_node("Identity", ["nowhere"], ["t"])],
        "b",
        [],
        [helper.make_tensor_value_info("t", 1, None)],
    )
    model.graph.node.append(
        helper.make_node("If", ["c"], ["z"], then_branch=body, else_branch=body)
    )
    model.graph.input.append(helper.make_tensor_value_info("c", TensorProto.BOOL, []))


def _set(owner: Callable[[onnx.ModelProto], object], name: str, value: object) -> Maker:
    return _model(lambda model: setattr(owner(model), name, value))


def _node(index: int) -> Callable[[onnx.ModelProto], object]:
    return lambda model: model.graph.node[index]


def _zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}q\x00.")
        archive.writestr("archive/version", "3\n")


MODELS: dict[str, Maker] = {
    "empty": _bytes(b""),
    "text": _bytes(b"this is no model\n" * 40),
    "json": _bytes(b'{"irVersion": 8, "graph": {}}'),
    "html": _bytes(b"<!doctype html><title>404</title>" * 9),
    "zeros": _bytes(bytes(64)),
    "ones": _bytes(b"\xff" * 256),
    "gzip": _bytes(gzip.compress(SOUND, mtime=0)),
    "torch_zip": _zip,
    "tflite": _bytes(b"\x1c\0\0\0TFL3" + bytes(200)),
    "lfs_pointer": _bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
    **{f"truncated_{k}": _bytes(SOUND[: len(SOUND) * k // 16]) for k in range(1, 16)},
    "last_byte_gone": _bytes(SOUND[:-1]),
    "huge_varint": _bytes(SOUND + b"\x08" + b"\xff" * 9 + b"\x01"),
    "endless_varint": _bytes(b"\x08" + b"\xff" * 40),
    "huge_length": _bytes(b"\x3a\xff\xff\xff\xff\x07" + SOUND),
    "nested_40": _bytes(_nested(40)),
    "nested_1000": _bytes(_nested(1000)),
    "name_of_bytes": _bytes(SOUND.replace(b"weight", b"weigh\xff")),
    "surrogate_name": _bytes(SOUND.replace(b"weight", b"wei\xed\xa0\x80")),
    "external_absolute": _external(location="/etc/hostname"),
    "external_dotdot": _external(location="../external_dotdot.data"),
    "external_inner_dotdot": _external(location="a/../../x"),
    "external_device": _external(location="/dev/zero", length="432"),
    "external_nul": _external(location="external_nul.data\0"),
    "external_empty": _external(location=""),
    "external_missing": _external(location="nothing.data"),
    "external_itself": _external(location="."),
    "external_beyond": _external(offset="1000000"),
    "external_negative_offset": _external(offset="-1"),
    "external_negative_length": _external(length="-432"),
    "external_long": _external(length="99999999999"),
    "external_huge": _external(length="9" * 40),
    "external_words": _external(offset="abc"),
    "external_marker": _external(location="*/_ORT_MEM_ADDR_/*", offset="1"),
    "external_symlink": _external_by(lambda data, secret: data.symlink_to(secret)),
    "external_hard_link": _external_by(lambda data, secret: os.link(secret, data)),
    "external_fifo": _external_by(lambda data, _: os.mkfifo(data)),
    "external_folder": _external_by(lambda data, _: data.mkdir()),
    "external_loop": _external_by(lambda data, _: data.symlink_to(data.name)),
    "cycle": _model(lambda m: m.graph.node[0].input.__setitem__(0, "y")),
    "made_twice": _model(lambda m: m.graph.node[2].output.__setitem__(0, "norm")),
    "undefined_input": _model(lambda m: m.graph.node[0].input.__setitem__(0, "nowhere")),
    "undefined_output": _set(lambda m: m.graph.output[0], "name", "nowhere"),
    "initializer_twice": _model(lambda m: m.graph.initializer.append(m.graph.initializer[0])),
    "input_twice": _model(lambda m: m.graph.input.append(m.graph.input[0])),
    "negative_dims": _weight(lambda t: t.dims.__setitem__(0, -4)),
    "huge_dims": _weight(lambda t: t.dims.__setitem__(0, 2**40)),
    "overflowing_dims": _weight(lambda t: t.dims.extend([2**62, 2**62])),
    "million_dims": _weight(lambda t: t.dims.extend([1] * 3_000_000)),
    "million_dims_input": _model(
        lambda m: [
            m.graph.input[0].type.tensor_type.shape.dim.add(dim_value=1) for _ in range(10**5)
        ]
    ),
    "unknown_type": _weight(lambda t: setattr(t, "data_type", 99)),
    "undefined_type": _weight(lambda t: setattr(t, "data_type", 0)),
    "short_data": _weight(lambda t: setattr(t, "raw_data", t.raw_data[:-1])),
    "long_data": _weight(lambda t: setattr(t, "raw_data", t.raw_data + b"\0\0\0\0")),
    "both_fields": _weight(lambda t: t.float_data.append(1.0)),
    "segment": _weight(lambda t: setattr(t.segment, "begin", 0)),
    "string_weight": _weight(lambda t: setattr(t, "data_type", 8)),
    "no_opset": _model(lambda m: m.ClearField("opset_import")),
    "future_opset": _set(lambda m: m.opset_import[0], "version", 999),
    "negative_opset": _set(lambda m: m.opset_import[0], "version", -1),
    "two_opsets": _model(lambda m: m.opset_import.append(helper.make_opsetid("ai.onnx", 11))),
    "future_ir": _set(lambda m: m, "ir_version", 99),
    "negative_ir": _set(lambda m: m, "ir_version", -1),
    "no_graph": _model(lambda m: m.ClearField("graph")),
    "empty_graph": _model(lambda m: m.graph.Clear()),
    "no_output": _model(lambda m: m.graph.ClearField("output")),
    "unknown_operator": _set(_node(2), "op_type", "Rellu"),
    "no_operator": _set(_node(2), "op_type", ""),
    "unknown_attribute": _model(
        lambda m: m.graph.node[2].attribute.append(helper.make_attribute("speed", 3))
    ),
    "attribute_type": _model(_wrong_attribute),
    "no_value_in_body": _model(_no_subgraph_value),
    "recursive_function": _model(_recursive),
    "function_bomb": _model(_function_bomb),
    "escape_in_name": _model(
        lambda m: m.graph.node[0].input.__setitem__(0, "\x1b]0;own\x07\u202e")
    ),
    "markup_in_name": _model(
        lambda m: m.graph.node[0].input.__setitem__(0, '"><img onerror=x>[/red]')
    ),
}
PLACES: dict[str, Maker] = {
    "missing": lambda path: None,
    "folder": lambda path: path.mkdir(),
    "fifo": lambda path: os.mkfifo(path),
    "link_loop": lambda path: path.symlink_to(path.name),
    "link_to_zero": lambda path: path.symlink_to("/dev/zero"),
    "dangling_link": lambda path: path.symlink_to("nowhere"),
}


def build(folder: Path) -> dict[Path, int]:
    """Every file of the corpus in `folder`, and the exit code that it must lead to."""
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[Path, int] = {}
    for makers, code in ((MODELS, 3), (PLACES, 2)):
        for name, make in makers.items():
            path = folder / f"{name}.onnx"
            make(path)
            found[path] = code
    return found


if __name__ == "__main__":
    for path in build(Path(sys.argv[1])):
        print(path)
