"""Walk and copy a model message by message, without touching the bytes of its tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import onnx
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from bnfold.errors import ModelError

TensorCopy = Callable[[onnx.TensorProto, onnx.TensorProto], None]

_CARRIERS = {
    "ModelProto",
    "GraphProto",
    "NodeProto",
    "AttributeProto",
    "FunctionProto",
    "TrainingInfoProto",
}


def tensors(message: Message) -> Iterator[onnx.TensorProto]:
    """Every TensorProto in `message`: initializers, attributes, subgraphs, functions, sparse."""
    return _walk(message, _CARRIERS | {"SparseTensorProto"})


def dense_tensors(message: Message) -> Iterator[onnx.TensorProto]:
    """`tensors` without the parts of sparse ones: those that `outline` meets, in its order."""
    return _walk(message, _CARRIERS)


def nested_tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """`tensors` without the initializers of the main graph."""
    carriers = _CARRIERS | {"SparseTensorProto"}
    for field, value in model.ListFields():
        if field.name != "graph":
            yield from _walk_field(field, value, carriers)
    for field, value in model.graph.ListFields():
        if field.name != "initializer":
            yield from _walk_field(field, value, carriers)


def _walk(message: Message, carriers: set[str]) -> Iterator[onnx.TensorProto]:
    for field, value in message.ListFields():
        yield from _walk_field(field, value, carriers)


def _walk_field(
    field: FieldDescriptor, value: Any, carriers: set[str]
) -> Iterator[onnx.TensorProto]:
    kind = field.message_type.name if field.message_type else ""
    inner = value if hasattr(value, "add") else (value,)
    if kind == "TensorProto":
        yield from inner
    elif kind in carriers:
        for item in inner:
            yield from _walk(item, carriers)


def outline(model: onnx.ModelProto, copy_tensor: TensorCopy) -> onnx.ModelProto:
    """A copy of `model` in which `copy_tensor(source, target)` writes each dense tensor.

    Raises:
        ModelError: a name is not UTF-8.
    """
    copy = onnx.ModelProto()
    _copy(model, copy, copy_tensor)
    return copy


def _copy(source: Message, target: Message, copy_tensor: TensorCopy) -> None:
    for field, value in source.ListFields():
        kind = field.message_type.name if field.message_type else ""
        if kind == "TensorProto" or kind in _CARRIERS:
            place = getattr(target, field.name)
            repeated = hasattr(value, "add")
            for item in value if repeated else (value,):
                new = place.add() if repeated else place
                new.SetInParent()
                if kind == "TensorProto":
                    copy_tensor(item, new)
                else:
                    _copy(item, new, copy_tensor)
        else:
            _copy_plain(field, value, target)


def _copy_plain(field: FieldDescriptor, value: Any, target: Message) -> None:
    """One field that holds no dense tensor; repeated ones are extended."""
    repeated = hasattr(value, "extend")
    if field.type == FieldDescriptor.TYPE_STRING:
        for text in value if repeated else (value,):
            if not isinstance(text, str):
                raise ModelError(f"a {field.full_name} is not UTF-8 text: {text!r}")
    if repeated:
        getattr(target, field.name).extend(value)
    elif field.message_type:
        getattr(target, field.name).CopyFrom(value)
    else:
        setattr(target, field.name, value)
