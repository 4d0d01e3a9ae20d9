"""How a file of the corpus is made: bytes, or the sound model with one change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
from onnx import TensorProto

from tests.onnxfile.small import conv_norm

Maker = Callable[[Path], None]
Change = Callable[[onnx.ModelProto], object]
SOUND = conv_norm().SerializeToString()


def of_bytes(data: bytes) -> Maker:
    """A file of these bytes."""
    return lambda path: path.write_bytes(data) and None


def model(change: Change) -> Maker:
    """Conv -> BatchNormalization -> Relu, changed."""

    def make(path: Path) -> None:
        changed = conv_norm()
        change(changed)
        path.write_bytes(changed.SerializeToString())

    return make


def weight(change: Callable[[TensorProto], object]) -> Maker:
    """The Conv's weight, changed."""
    return model(lambda m: change(m.graph.initializer[0]))


def setting(owner: Callable[[onnx.ModelProto], object], name: str, value: object) -> Maker:
    """One field of what `owner` finds, set."""
    return model(lambda m: setattr(owner(m), name, value))


def node(index: int) -> Callable[[onnx.ModelProto], onnx.NodeProto]:
    """The node of that number."""
    return lambda m: m.graph.node[index]


def attribute_added(index: int, attribute: onnx.AttributeProto) -> Maker:
    """One attribute more on the node of that number."""
    return model(lambda m: m.graph.node[index].attribute.append(attribute))


def external(**entries: str) -> Maker:
    """The weight in a file of its own, which `entries` describe otherwise than it is."""

    def make(path: Path) -> None:
        changed = conv_norm()
        refer(path, changed.graph.initializer[0], **entries)
        path.write_bytes(changed.SerializeToString())

    return make


def refer(path: Path, tensor: TensorProto, **entries: str) -> None:
    """Move the tensor's data to `<stem>.data`."""
    data = tensor.raw_data
    (path.parent / f"{path.stem}.data").write_bytes(data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, text in {"location": f"{path.stem}.data", **entries}.items():
        tensor.external_data.add(key=key, value=text)


def external_by(place: Callable[[Path, Path], object]) -> Maker:
    """External data behind something that is no plain file; `place(data, secret)` puts it."""

    def make(path: Path) -> None:
        external()(path)
        data, secret = path.parent / f"{path.stem}.data", path.parent.parent / f"{path.stem}.secret"
        secret.write_bytes(data.read_bytes())
        data.unlink()
        place(data, secret)

    return make


def field(number: int, wire: int, payload: bytes) -> bytes:
    """A protobuf field with a key of one or two bytes."""
    return varint(number << 3 | wire) + payload


def varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def length(data: bytes) -> bytes:
    """The payload of a field with a length."""
    return varint(len(data)) + data
