"""The correctly folded original: what a candidate of ours must be, and whose weights jitter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import onnx

from bnfold.folding.engine import Allowed, everywhere
from bnfold.folding.report import Fold, FoldReport, Options
from bnfold.merging.engine import folded_in_place
from bnfold.verification import certificate
from bnfold.verification.subject import Subject
from bnfold.verification.verdict import Gate


@dataclass(frozen=True, slots=True)
class Reference:
    """The model whose weights are jittered, gate 1, and what the fold of the original did."""

    model: onnx.ModelProto
    gate: Gate
    folds: tuple[Fold, ...] = ()


def reference_of(original: Subject, candidate: Subject) -> Reference:
    """The original folded again.

    With the recorded options for a fold of ours, with the default ones for all others. Jitter of
    unfolded weights would let faults pass wherever means and biases cancel (docs/tolerance.md).
    What cannot be folded again is its own reference.
    """
    options = certificate.options_of(candidate, original)
    if isinstance(options, str):
        again = refolded(original.model, {})
        model = original.model if isinstance(again, str) else again[0]
        return Reference(model, certificate.skipped(options))
    again = refolded(original.model, options)
    if isinstance(again, str):
        return Reference(original.model, certificate.skipped(again))
    model, report = again
    return Reference(model, certificate.certificate(candidate, model), report.folded)


def refolded(
    model: onnx.ModelProto, recorded: Mapping[str, Any], allowed: Allowed = everywhere
) -> tuple[onnx.ModelProto, FoldReport] | str:
    """A copy of `model`, folded with `recorded` options; or why this version cannot."""
    known = {field.name for field in fields(Options)}
    if not recorded.keys() <= known:
        return "the candidate was folded with options that this version does not know"
    again = onnx.ModelProto()
    again.CopyFrom(model)
    linear = tuple(recorded.get("linear", ()))
    options = Options(**{**recorded, "linear": linear})
    return again, folded_in_place(again, options, allowed)
