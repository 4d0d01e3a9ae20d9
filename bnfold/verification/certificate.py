"""Gate 1: a candidate that bnfold folded is folded again, and its constants compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import onnx

from bnfold import onnxfile
from bnfold.onnxfile import DataFiles
from bnfold.onnxfile.outline import dense_tensors, outline
from bnfold.show import show
from bnfold.verification.cases import Array
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
    if source != original.sha256 and source != onnxfile.sha256_of(original.model, original.data):
        return "the candidate says that it was folded from another file"
    try:
        options = onnxfile.parse_json(recorded.get("options", "{}"))
    except ValueError:
        return "the candidate's record of its options is damaged"
    return options if isinstance(options, dict) else "the candidate's record is damaged"


def identical(candidate: Subject, again: onnx.ModelProto, data: DataFiles) -> bool:
    """Whether both are one graph, with the same bits in every constant."""
    if not _same_structure(candidate.model, again):
        return False
    return all(
        _same_bits(data.array(ours), candidate.data.array(theirs))
        for ours, theirs in _constants(again, candidate)
    )


def certificate(candidate: Subject, again: onnx.ModelProto, data: DataFiles) -> Gate:
    """The candidate against `again`, the original folded once more: structure, then constants."""
    if not _same_structure(candidate.model, again):
        sentence = "the candidate's graph is not what folding the original gives"
        return Gate(NAME, ok=False, value=None, limit=LIMIT, unit="u", sentence=sentence)
    worst, where = 0.0, ""
    for ours, theirs in _constants(again, candidate):
        kind = UNIT.get(ours.data_type)
        units = _units(data.array(ours), candidate.data.array(theirs), kind)
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


def _constants(
    again: onnx.ModelProto, candidate: Subject
) -> Iterator[tuple[onnx.TensorProto, onnx.TensorProto]]:
    return zip(dense_tensors(again), dense_tensors(candidate.model), strict=True)


def _same_bits(a: Array, b: Array) -> bool:
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    if a.dtype.kind == "O":  # strings
        return bool(np.array_equal(a, b))
    return bool(np.array_equal(_as_bytes(a), _as_bytes(b)))


def _as_bytes(array: Array) -> Array:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def _units(a: Array, b: Array, unit: float | None) -> float:
    """The largest difference in u of the element, which counts as at least 2^-16 of the rms."""
    if _same_bits(a, b):
        return 0.0
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
