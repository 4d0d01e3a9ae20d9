"""The correctly folded original: what a candidate of ours must be, and whose weights jitter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import onnx

from bnfold.folding.engine import Allowed, everywhere
from bnfold.folding.report import Fold, FoldReport, Options
from bnfold.merging.engine import folded_in_place
from bnfold.onnxfile import IN_MEMORY, DataFiles, ModelFile, borrowing
from bnfold.verification import certificate
from bnfold.verification.subject import Subject
from bnfold.verification.verdict import Gate


@dataclass(frozen=True, slots=True)
class Reference:
    """The model whose weights are jittered, gate 1, and what the fold of the original did."""

    model: onnx.ModelProto
    gate: Gate
    folds: tuple[Fold, ...] = ()
    data: DataFiles = IN_MEMORY


def reference_of(original: Subject, candidate: Subject) -> Reference:
    """The original folded again.

    With the recorded options for a fold of ours, with the default ones for all others. Jitter of
    unfolded weights would let faults pass wherever means and biases cancel (docs/tolerance.md).
    What cannot be folded again is its own reference.
    """
    recorded = certificate.options_of(candidate, original)
    again = refolded(original, {} if isinstance(recorded, str) else recorded)
    if isinstance(again, str):
        return Reference(original.model, certificate.skipped(again), data=original.data)
    file, report = again
    model, data = file.model, file.data
    if certificate.identical(candidate, model, data):  # these constants need no memory then
        model, data = candidate.model, candidate.data
    if isinstance(recorded, str):
        return Reference(model, certificate.skipped(recorded), data=data)
    gate = certificate.certificate(candidate, model, data)
    return Reference(model, gate, report.folded, data)


def refolded(
    original: Subject, recorded: Mapping[str, Any], allowed: Allowed = everywhere
) -> tuple[ModelFile, FoldReport] | str:
    """The original folded with `recorded` options; or why this version cannot.

    What the fold leaves as it was is read from the original.
    """
    known = {field.name for field in fields(Options)}
    if not recorded.keys() <= known:
        return "the candidate was folded with options that this version does not know"
    linear = recorded.get("linear", ())
    flags = [value for key, value in recorded.items() if key != "linear"]
    if not (isinstance(linear, list | tuple) and all(isinstance(one, str) for one in linear)):
        return "the candidate's record of its options is damaged"
    if not all(isinstance(flag, bool) for flag in flags):
        return "the candidate's record of its options is damaged"
    file = ModelFile(original.model, original.path, original.sha256, data=original.data)
    again = borrowing(file)
    options = Options(**{**recorded, "linear": tuple(linear)})
    return again, folded_in_place(again.model, options, allowed, again.data)
