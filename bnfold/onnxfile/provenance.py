"""Where a folded model comes from: four metadata properties, without time, host or path."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import TYPE_CHECKING

import onnx

from bnfold.onnxfile.external import IN_MEMORY, DataFiles
from bnfold.onnxfile.outline import dense_tensors, outline
from bnfold.onnxfile.stream import TooLarge, pieces
from bnfold.version import __version__

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

PREFIX = "pkg.bnfold."


def sha256_of(model: onnx.ModelProto, data: DataFiles = IN_MEMORY) -> str:
    """The SHA-256 of the model's deterministic serialisation, with what `data` holds of it.

    A model larger than one message is hashed without its raw data, then that data in order.
    """
    try:
        digest = hashlib.sha256()
        for piece in pieces(model, data):
            digest.update(piece)
        return digest.hexdigest()
    except TooLarge:
        digest = hashlib.sha256(b"".join(pieces(outline(model, _without_raw))))
    for tensor in dense_tensors(model):
        digest.update(data.raw(tensor))
    return digest.hexdigest()


def stamp(
    model: onnx.ModelProto,
    source_sha256: str,
    folded: int,
    options: Mapping[str, object] | DataclassInstance,
) -> None:
    """Write the provenance into `model`, in place of an older one."""
    plain = asdict(options) if is_dataclass(options) else dict(options)
    wanted = {
        "version": __version__,
        "source_sha256": source_sha256,
        "folded": str(folded),
        "options": json.dumps(plain, sort_keys=True, separators=(",", ":")),
    }
    present = {entry.key: entry for entry in model.metadata_props}
    for key, value in wanted.items():
        entry = present.get(PREFIX + key) or model.metadata_props.add(key=PREFIX + key)
        entry.value = value


def provenance(model: onnx.ModelProto) -> dict[str, str]:
    """What `stamp` wrote, without the prefix; empty for a model that bnfold did not fold."""
    return {
        entry.key.removeprefix(PREFIX): entry.value
        for entry in model.metadata_props
        if entry.key.startswith(PREFIX)
    }


def _without_raw(source: onnx.TensorProto, target: onnx.TensorProto) -> None:
    external = source.data_location == onnx.TensorProto.EXTERNAL
    if not (source.HasField("raw_data") or external):
        target.CopyFrom(source)
        return
    target.name = source.name
    target.data_type = source.data_type
    target.dims.extend(source.dims)
