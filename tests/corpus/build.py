"""Hostile and broken model files, built fresh: `python -m tests.corpus.build DIR`.

Each entry is a maker of one file (or of what stands in its place) and the exit code that every
command that reads models must give: 3 for no usable model, 2 for no file at all.
"""

from __future__ import annotations

import gzip
import os
import sys
import zipfile
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from tests.corpus import amounts, beside, bodies, fields, payloads, programs, reckless, wire
from tests.corpus.making import (
    SOUND,
    Maker,
    external,
    external_by,
    field,
    length,
    model,
    node,
    of_bytes,
    setting,
    weight,
)
from tests.corpus.sound import SOUND_MODELS, UNRUNNABLE


def _nested(depth: int) -> bytes:
    """If in If: graph (node (attribute (graph ...))), by hand, since protobuf refuses to build."""
    graph = b""
    for _ in range(depth):
        attribute = field(1, 2, length(b"then_branch")) + field(6, 2, length(graph))
        node = field(4, 2, length(b"If")) + field(5, 2, length(attribute))
        graph = field(1, 2, length(node))
    return field(1, 0, b"\x0a") + field(7, 2, length(graph))


def _function_bomb(bomb: onnx.ModelProto, depth: int = 40) -> None:
    ids = [helper.make_opsetid("", 17), helper.make_opsetid("bomb", 1)]
    for k in range(depth):
        op = f"F{k + 1}" if k + 1 < depth else "Relu"
        domain = "bomb" if k + 1 < depth else ""
        nodes = [helper.make_node(op, [a], [b], domain=domain) for a, b in ("ab", "bc")]
        bomb.functions.append(helper.make_function("bomb", f"F{k}", ["a"], ["c"], nodes, ids))
    bomb.opset_import.append(ids[1])
    bomb.graph.node[2].op_type, bomb.graph.node[2].domain = "F0", "bomb"


def _recursive(whole: onnx.ModelProto) -> None:
    _function_bomb(whole, 1)
    for call in whole.functions[0].node:
        call.op_type, call.domain = "F0", "bomb"


def _wrong_attribute(whole: onnx.ModelProto) -> None:
    whole.graph.node[0].attribute.append(helper.make_attribute("group", "text"))


def _no_subgraph_value(whole: onnx.ModelProto) -> None:
    body = helper.make_graph(
        [helper.make_node("Identity", ["nowhere"], ["t"])],
        "b",
        [],
        [helper.make_tensor_value_info("t", 1, None)],
    )
    whole.graph.node.append(
        helper.make_node("If", ["c"], ["z"], then_branch=body, else_branch=body)
    )
    whole.graph.input.append(helper.make_tensor_value_info("c", TensorProto.BOOL, []))


def _zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}q\x00.")
        archive.writestr("archive/version", "3\n")


MODELS: dict[str, Maker] = {
    "empty": of_bytes(b""),
    "text": of_bytes(b"this is no model\n" * 40),
    "json": of_bytes(b'{"irVersion": 8, "graph": {}}'),
    "html": of_bytes(b"<!doctype html><title>404</title>" * 9),
    "zeros": of_bytes(bytes(64)),
    "ones": of_bytes(b"\xff" * 256),
    "gzip": of_bytes(gzip.compress(SOUND, mtime=0)),
    "torch_zip": _zip,
    "tflite": of_bytes(b"\x1c\0\0\0TFL3" + bytes(200)),
    "lfs_pointer": of_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
    **{f"truncated_{k}": of_bytes(SOUND[: len(SOUND) * k // 16]) for k in range(1, 16)},
    "last_byte_gone": of_bytes(SOUND[:-1]),
    "huge_varint": of_bytes(SOUND + b"\x08" + b"\xff" * 9 + b"\x01"),
    "endless_varint": of_bytes(b"\x08" + b"\xff" * 40),
    "huge_length": of_bytes(b"\x3a\xff\xff\xff\xff\x07" + SOUND),
    "nested_40": of_bytes(_nested(40)),
    "nested_1000": of_bytes(_nested(1000)),
    "name_of_bytes": of_bytes(SOUND.replace(b"weight", b"weigh\xff")),
    "surrogate_name": of_bytes(SOUND.replace(b"weight", b"wei\xed\xa0\x80")),
    "external_absolute": external(location="/etc/hostname"),
    "external_dotdot": external(location="../external_dotdot.data"),
    "external_inner_dotdot": external(location="a/../../x"),
    "external_device": external(location="/dev/zero", length="432"),
    "external_nul": external(location="external_nul.data\0"),
    "external_empty": external(location=""),
    "external_missing": external(location="nothing.data"),
    "external_itself": external(location="."),
    "external_beyond": external(offset="1000000"),
    "external_negative_offset": external(offset="-1"),
    "external_negative_length": external(length="-432"),
    "external_long": external(length="99999999999"),
    "external_huge": external(length="9" * 40),
    "external_words": external(offset="abc"),
    "external_marker": external(location="*/_ORT_MEM_ADDR_/*", offset="1"),
    "external_symlink": external_by(lambda data, secret: data.symlink_to(secret)),
    "external_hard_link": external_by(lambda data, secret: os.link(secret, data)),
    "external_fifo": external_by(lambda data, _: os.mkfifo(data)),
    "external_folder": external_by(lambda data, _: data.mkdir()),
    "external_loop": external_by(lambda data, _: data.symlink_to(data.name)),
    "cycle": model(lambda m: m.graph.node[0].input.__setitem__(0, "y")),
    "made_twice": model(lambda m: m.graph.node[2].output.__setitem__(0, "norm")),
    "undefined_input": model(lambda m: m.graph.node[0].input.__setitem__(0, "nowhere")),
    "undefined_output": setting(lambda m: m.graph.output[0], "name", "nowhere"),
    "initializer_twice": model(lambda m: m.graph.initializer.append(m.graph.initializer[0])),
    "input_twice": model(lambda m: m.graph.input.append(m.graph.input[0])),
    "negative_dims": weight(lambda t: t.dims.__setitem__(0, -4)),
    "huge_dims": weight(lambda t: t.dims.__setitem__(0, 2**40)),
    "overflowing_dims": weight(lambda t: t.dims.extend([2**62, 2**62])),
    "million_dims": weight(lambda t: t.dims.extend([1] * 3_000_000)),
    "million_dims_input": model(
        lambda m: [
            m.graph.input[0].type.tensor_type.shape.dim.add(dim_value=1) for _ in range(10**5)
        ]
    ),
    "unknown_type": weight(lambda t: setattr(t, "data_type", 99)),
    "undefined_type": weight(lambda t: setattr(t, "data_type", 0)),
    "short_data": weight(lambda t: setattr(t, "raw_data", t.raw_data[:-1])),
    "long_data": weight(lambda t: setattr(t, "raw_data", t.raw_data + b"\0\0\0\0")),
    "both_fields": weight(lambda t: t.float_data.append(1.0)),
    "segment": weight(lambda t: setattr(t.segment, "begin", 0)),
    "string_weight": weight(lambda t: setattr(t, "data_type", 8)),
    "no_opset": model(lambda m: m.ClearField("opset_import")),
    "future_opset": setting(lambda m: m.opset_import[0], "version", 999),
    "negative_opset": setting(lambda m: m.opset_import[0], "version", -1),
    "two_opsets": model(lambda m: m.opset_import.append(helper.make_opsetid("ai.onnx", 11))),
    "future_ir": setting(lambda m: m, "ir_version", 99),
    "negative_ir": setting(lambda m: m, "ir_version", -1),
    "no_graph": model(lambda m: m.ClearField("graph")),
    "empty_graph": model(lambda m: m.graph.Clear()),
    "no_output": model(lambda m: m.graph.ClearField("output")),
    "unknown_operator": setting(node(2), "op_type", "Rellu"),
    "no_operator": setting(node(2), "op_type", ""),
    "unknown_attribute": model(
        lambda m: m.graph.node[2].attribute.append(helper.make_attribute("speed", 3))
    ),
    "attribute_type": model(_wrong_attribute),
    "no_value_in_body": model(_no_subgraph_value),
    "recursive_function": model(_recursive),
    "function_bomb": model(_function_bomb),
    "escape_in_name": model(lambda m: m.graph.node[0].input.__setitem__(0, "\x1b]0;own\x07\u202e")),
    "markup_in_name": model(
        lambda m: m.graph.node[0].input.__setitem__(0, '"><img onerror=x>[/red]')
    ),
}
MODELS |= wire.MODELS | payloads.MODELS | programs.MODELS | beside.MODELS
MODELS |= fields.MODELS | bodies.MODELS | amounts.LONG_TEXTS | reckless.MODELS
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
    for makers, code in (
        (MODELS, 3),
        (PLACES, 2),
        (SOUND_MODELS | UNRUNNABLE | amounts.INFLATING, 0),
    ):
        for name, make in makers.items():
            path = folder / f"{name}.onnx"
            make(path)
            found[path] = code
    return found


if __name__ == "__main__":
    for path in build(Path(sys.argv[1])):
        print(path)
