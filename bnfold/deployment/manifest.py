"""`manifest.json`: what was deployed, from what, for what, and the proof, under one seal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from bnfold import onnxfile
from bnfold.deployment.smoke.seal import sealed, sha256_of_file
from bnfold.deployment.smoke.words import MANIFEST, SCHEMA
from bnfold.errors import DataError, UsageError
from bnfold.folding.report import FoldReport
from bnfold.show import show
from bnfold.verification import Verdict
from bnfold.verification.subject import Port
from bnfold.version import __version__

PREPROCESSING = "pkg.bnfold.preprocessing"  # a JSON value, in the model's metadata_props


def write(folder: Path, parts: Mapping[str, Any]) -> None:
    """Write the manifest over all that lies in `folder` now."""
    files = {
        path.relative_to(folder).as_posix(): {
            "bytes": path.stat().st_size,
            "sha256": sha256_of_file(str(path)),
        }
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    head = {"schema": SCHEMA, "bnfold": __version__, "seal": "0" * 64}
    (folder / MANIFEST).write_bytes(sealed(json_text({**head, "files": files, **parts})))


def json_text(data: Mapping[str, Any]) -> str:
    """As every JSON file of a deployment is written."""
    return json.dumps(data, indent=2, allow_nan=False) + "\n"


def check_place(folder: Path) -> None:
    """An older deployment may be replaced, nothing else.

    Raises:
        UsageError: the folder holds something that bnfold did not deploy.
        DataError: it cannot be written.
    """
    onnxfile.check_folder(folder, mark=MANIFEST)
    path = folder / MANIFEST
    if not path.exists():
        return
    try:
        schema = onnxfile.read_json(path)["schema"]
    except (ValueError, KeyError, TypeError):
        schema = None
    except OSError as error:
        raise DataError(f"cannot read: {error.strerror}", where=show(path, 300)) from error
    if not str(schema).startswith(SCHEMA.partition("/")[0]):
        raise UsageError(
            f"the folder's {MANIFEST} is not of a deployment: it stays as it is",
            where=show(folder, 300),
            hint="choose a new folder",
        )


def source_part(
    source: onnxfile.ModelFile, report: FoldReport, model: onnx.ModelProto
) -> dict[str, Any]:
    """Where it comes from, and what was folded now and before."""
    return {
        "file": source.path.name,
        "sha256": source.sha256,
        "folded": len(report.folded),
        "batchnorms": {"before": report.before.batchnorms, "after": report.after.batchnorms},
        "provenance": onnxfile.provenance(model),
    }


def ports_part(ports: Sequence[Port]) -> list[dict[str, Any]]:
    """Names, numpy's dtypes, shapes: a size, a symbol, or null where it is open."""
    return [
        {
            "name": port.name,
            "dtype": str(np.dtype(onnx.helper.tensor_dtype_to_np_dtype(port.elem_type))),
            "shape": None if port.dims is None else list(port.dims),
        }
        for port in ports
    ]


def preprocessing_part(model: onnx.ModelProto) -> Any:
    """What the exporter noted of the inputs' preparation; null where nobody said."""
    text = next((e.value for e in model.metadata_props if e.key == PREPROCESSING), None)
    try:
        told = None if text is None else onnxfile.parse_json(text)
        json_text({PREPROCESSING: told})  # NaN is no JSON, though Python reads it
    except (ValueError, RecursionError):
        return text
    return told


def verification_part(verdict: Verdict) -> dict[str, Any]:
    """The verdict with its numbers, without what changes from run to run."""
    plain = verdict.to_dict()
    plain.pop("seconds")
    return plain
