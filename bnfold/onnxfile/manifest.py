"""A model's manifest: the SHA-256 of every tensor, so that a single changed bit shows.

Numbers do not see it: a flipped low bit of a weight moves no output beyond rounding.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import onnx

from bnfold.errors import CheckFailed, DataError, UsageError
from bnfold.onnxfile.atomic import write_text
from bnfold.onnxfile.outline import tensors
from bnfold.onnxfile.plain import read_json
from bnfold.show import show

SCHEMA = "bnfold.manifest/1"
_LARGEST = 1 << 28  # bytes of a manifest file


def write_manifest(model: onnx.ModelProto, path: str | os.PathLike[str]) -> None:
    """Write the manifest of a model whose data is in memory.

    Raises:
        DataError: it cannot be written.
    """
    write_text(path, json.dumps({"schema": SCHEMA, "tensors": _hashes(model)}, indent=1) + "\n")


def check_manifest(model: onnx.ModelProto, path: str | os.PathLike[str]) -> None:
    """Compare a model with the manifest at `path`.

    Raises:
        UsageError: there is no such file.
        DataError: it is no manifest.
        CheckFailed: a tensor is missing, is left over, or holds other bytes.
    """
    wanted, found = _read(Path(path)), _hashes(model)
    where = show(path, 300)
    for want, have in zip(wanted, found, strict=False):
        if want != have:
            name = show(have["name"])
            raise CheckFailed(f"tensor '{name}' is not as the manifest has it", where=where)
    if len(wanted) != len(found):
        raise CheckFailed(f"{len(found)} tensors, the manifest has {len(wanted)}", where=where)


def _hashes(model: onnx.ModelProto) -> list[dict[str, str]]:
    """Name and hash of each tensor in the order of the model: some have no name, or one name."""
    return [{"name": tensor.name, "sha256": _sha256(tensor)} for tensor in tensors(model)]


def _sha256(tensor: onnx.TensorProto) -> str:
    """Of the type, the sizes and the payload; typed fields as protobuf writes them."""
    digest = hashlib.sha256(f"{tensor.data_type} {list(tensor.dims)} ".encode())
    if tensor.HasField("raw_data"):
        digest.update(tensor.raw_data)
    else:
        bare = onnx.TensorProto()
        bare.CopyFrom(tensor)
        for field in ("name", "doc_string", "metadata_props"):
            bare.ClearField(field)
        digest.update(bare.SerializeToString(deterministic=True))
    return digest.hexdigest()


def _read(path: Path) -> list[Any]:
    where = show(path, 300)
    try:
        if path.stat().st_size > _LARGEST:
            raise DataError(f"larger than {_LARGEST} bytes", where=where)
        found = read_json(path)
    except FileNotFoundError as error:
        raise UsageError("there is no such manifest", where=where) from error
    except (OSError, ValueError) as error:
        raise DataError(f"the manifest cannot be read: {show(error)}", where=where) from error
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        raise DataError(f"this is no {SCHEMA}", where=where)
    if not isinstance(found.get("tensors"), list):
        raise DataError("the manifest lists no tensors", where=where)
    listed: list[Any] = found["tensors"]
    return listed
