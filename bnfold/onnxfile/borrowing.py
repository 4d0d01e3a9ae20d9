"""A model to edit beside one that must not change, without a second copy of its weights."""

from __future__ import annotations

from dataclasses import dataclass, replace

import onnx
from google.protobuf.unknown_fields import UnknownFieldSet

from bnfold.onnxfile.external import DataFiles, Place, may_stay
from bnfold.onnxfile.reader import ModelFile
from bnfold.onnxfile.stream import part

_GRAPH = onnx.ModelProto.DESCRIPTOR.fields_by_name["graph"].number
_WEIGHT = onnx.GraphProto.DESCRIPTOR.fields_by_name["initializer"].number
_RAW = onnx.TensorProto.DESCRIPTOR.fields_by_name["raw_data"].number


@dataclass(frozen=True, slots=True)
class InOriginal:
    """The bytes of a tensor of another model in memory."""

    tensor: onnx.TensorProto

    def read(self) -> bytes:
        """The bytes."""
        return bytes(self.tensor.raw_data)


def borrowing(file: ModelFile) -> ModelFile:
    """A copy of the model that reads its large initializers from `file` until it is `whole`.

    protobuf frees nothing of a message before all of it: a weight that is replaced in a full copy
    would be in memory three times.
    """
    source = file.model
    if len(UnknownFieldSet(source)) or len(UnknownFieldSet(source.graph)):
        model = onnx.ModelProto()
        model.CopyFrom(source)
        return replace(file, model=model)
    model = part(source, lambda number: number != _GRAPH)
    model.graph.CopyFrom(part(source.graph, lambda number: number != _WEIGHT))
    places: dict[str, Place] = dict(file.data.places)
    for tensor in source.graph.initializer:
        if _lends(tensor):
            shell = model.graph.initializer.add()
            shell.CopyFrom(part(tensor, lambda number: number != _RAW))
            shell.data_location = onnx.TensorProto.EXTERNAL
            places[tensor.name] = InOriginal(tensor)
        else:
            model.graph.initializer.append(tensor)
    return replace(file, model=model, data=DataFiles(file.data.paths, places))


def _lends(tensor: onnx.TensorProto) -> bool:
    plain = tensor.HasField("raw_data") and not len(UnknownFieldSet(tensor))
    # a stated location would not come back
    plain = plain and not (tensor.HasField("data_location") or tensor.external_data)
    return plain and may_stay(tensor, len(tensor.raw_data))
