"""A model's bytes in pieces: what `SerializeToString` gives, without a second copy of the weights.

One message of 100 MB takes protobuf 0.35 s to serialise, its tensors one by one 0.01 s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import onnx
from google.protobuf.message import EncodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from bnfold.onnxfile.external import IN_MEMORY, DataFiles, no_longer_external

LARGEST_MESSAGE = (1 << 31) - 1  # protobuf's limit for one message
_GRAPH = onnx.ModelProto.DESCRIPTOR.fields_by_name["graph"].number
_RAW = onnx.TensorProto.DESCRIPTOR.fields_by_name["raw_data"].number
_WEIGHT = onnx.GraphProto.DESCRIPTOR.fields_by_name["initializer"].number


class TooLarge(Exception):
    """More than the 2 GB of one message."""


def pieces(model: onnx.ModelProto, data: DataFiles = IN_MEMORY) -> Iterator[bytes]:
    """The deterministic serialisation of `model`, piece by piece; `data` holds what it lacks.

    Raises:
        TooLarge: one message cannot hold it; nothing was yielded then.
    """
    graph = model.graph
    if not model.HasField("graph") or len(UnknownFieldSet(model)) or len(UnknownFieldSet(graph)):
        yield _bytes(data.whole(model))
        return
    head = _bytes(part(graph, lambda number: number < _WEIGHT))
    tail = _bytes(part(graph, lambda number: number > _WEIGHT))
    sizes = [_size(weight, data) for weight in graph.initializer]
    prefixes = [_prefix(_WEIGHT, size) for size in sizes]
    length = len(head) + sum(map(len, prefixes)) + sum(sizes) + len(tail)
    before = _bytes(part(model, lambda number: number < _GRAPH)) + _prefix(_GRAPH, length)
    after = _bytes(part(model, lambda number: number > _GRAPH))
    if len(before) + length + len(after) > LARGEST_MESSAGE:
        raise TooLarge
    yield before + head
    for prefix, weight in zip(prefixes, graph.initializer, strict=True):
        yield prefix + _bytes(data.filled(weight))
    yield tail + after


def part(message: Message, wanted: Callable[[int], bool]) -> Message:
    """A message with some of the fields, unknown ones not among them."""
    some = type(message)()
    for field, value in message.ListFields():
        if not wanted(field.number):
            continue
        if hasattr(value, "extend"):
            getattr(some, field.name).extend(value)
        elif field.message_type:
            getattr(some, field.name).CopyFrom(value)
        else:
            setattr(some, field.name, value)
    return some


def _size(weight: onnx.TensorProto, data: DataFiles) -> int:
    if not data.keep(weight):
        return len(_bytes(weight))
    length = data.length(weight)
    light = onnx.TensorProto()
    light.CopyFrom(weight)
    no_longer_external(light)
    return len(_bytes(light)) + len(_prefix(_RAW, length)) + length


def _bytes(message: Message) -> bytes:
    try:
        return bytes(message.SerializeToString(deterministic=True))
    except (EncodeError, ValueError) as error:  # ValueError: an older protobuf
        raise TooLarge from error


def _prefix(number: int, length: int) -> bytes:
    """The key of a field with a length (wire type 2), then that length."""
    return _varint(number << 3 | 2) + _varint(length)


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
