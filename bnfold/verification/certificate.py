"""Gate 1: a candidate that bnfold folded is folded again, and its constants compared."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from bnfold import onnxfile
from bnfold.onnxfile.outline import dense_tensors, outline
from bnfold.show import show
from bnfold.verification.measures import UNIT, rms
from bnfold.verification.subject import Subject
from bnfold.verification.verdict import Gate

Refold = Callable[[onnx.ModelProto, Mapping[str, Any]], onnx.ModelProto]
LIMIT = 8.0
NAME = "certificate"
# another version may order its float64 sums otherwise: with terms 2^8 times the tensor's rms (means
# of 300 sigma) a hundred roundings of 2^-53 are 3 u of an element that is 2^-16 of that rms
_QUIET = 2.0**-16


def options_of(candidate: Subject, original: Subject) -> Mapping[str, Any] | str:
    """The recorded options of a fold of `original`, or why this gate cannot be asked."""
    recorded = onnxfile.provenance(candidate.model)
    if not recorded:
        return "the candidate does not say that bnfold folded it"
    source = recorded.get("source_sha256")
    if source not in (original.sha256, onnxfile.sha256_of(original.model)):
        return "the candidate says that it was folded from another file"
    try:
        options = json.loads(recorded.get("options", "{}"))
    except ValueError:
        return "the candidate's record of its options is damaged"
    return options if isinstance(options, dict) else "the candidate's record is damaged"


def certificate(candidate: Subject, again: onnx.ModelProto) -> Gate:
    """The candidate against `again`, the original folded once more: structure, then constants."""
    if not _same_structure(candidate.model, again):
        sentence = "the candidate's graph is not what folding the original gives"
        return Gate(NAME, ok=False, value=None, limit=LIMIT, unit="u", sentence=sentence)
    worst, where = 0.0, ""
    for ours, theirs in zip(dense_tensors(again), dense_tensors(candidate.model), strict=True):
        units = _units(ours, theirs)
        if not units <= worst:  # so written that NaN counts
            worst, where = units, ours.name
    ok = worst <= LIMIT
    if ok:
        sentence = f"its constants are within {worst:.2g} units of rounding of a fresh fold"
    else:
        sentence = (
            f"constant '{show(where)}' is {worst:.3g} units of rounding off (limit {LIMIT:g})"
        )
    return Gate(NAME, ok, worst, LIMIT, "u", sentence)


def _same_structure(a: onnx.ModelProto, b: onnx.ModelProto) -> bool:
    bare = [outline(model, _header) for model in (a, b)]
    return bool(bare[0].graph == bare[1].graph) and list(bare[0].functions) == list(
        bare[1].functions
    )


def _header(source: onnx.TensorProto, target: onnx.TensorProto) -> None:
    target.name = source.name
    target.data_type = source.data_type
    target.dims.extend(source.dims)


def _units(ours: onnx.TensorProto, theirs: onnx.TensorProto) -> float:
    """The largest difference in u of the element, which counts as at least 2^-16 of the rms."""
    if ours.SerializeToString() == theirs.SerializeToString():
        return 0.0
    a, b = numpy_helper.to_array(ours), numpy_helper.to_array(theirs)
    unit = UNIT.get(ours.data_type)
    if unit is None:
        return 0.0 if np.array_equal(a, b) else float("inf")
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    size = np.maximum(np.abs(wide_a), _QUIET * rms(wide_a))
    with np.errstate(all="ignore"):
        units = np.abs(wide_b - wide_a) / (unit * size)
    return float(np.max(np.where(wide_a == wide_b, 0.0, units), initial=0.0))


def skipped(why: str) -> Gate:
    """The gate that was not asked."""
    return Gate(NAME, None, None, LIMIT, "u", why)
