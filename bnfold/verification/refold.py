"""The correctly folded original: what a candidate of ours must be, and whose weights jitter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import onnx

from bnfold.folding.engine import fold_in_place
from bnfold.folding.report import Options
from bnfold.verification import certificate
from bnfold.verification.subject import Subject
from bnfold.verification.verdict import Gate


def reference_of(original: Subject, candidate: Subject) -> tuple[onnx.ModelProto, Gate]:
    """The model whose weights are jittered, and gate 1.

    That is the original folded again: with the recorded options for a fold of ours, with the
    default ones for all others. Jitter of unfolded weights would let faults pass wherever means
    and biases cancel (docs/tolerance.md). What cannot be folded again is its own reference.
    """
    options = certificate.options_of(candidate, original)
    if isinstance(options, str):
        again = refolded(original.model, {})
        model = original.model if isinstance(again, str) else again
        return model, certificate.skipped(options)
    again = refolded(original.model, options)
    if isinstance(again, str):
        return original.model, certificate.skipped(again)
    return again, certificate.certificate(candidate, again)


def refolded(model: onnx.ModelProto, options: Mapping[str, Any]) -> onnx.ModelProto | str:
    """A copy of `model`, folded with `options`; or why this version cannot."""
    known = {field.name for field in fields(Options)}
    if not options.keys() <= known:
        return "the candidate was folded with options that this version does not know"
    if options.get("reparam"):
        return "the candidate was folded with --reparam, which is not folded again yet"
    again = onnx.ModelProto()
    again.CopyFrom(model)
    linear = tuple(options.get("linear", ()))
    fold_in_place(again, Options(**{**options, "linear": linear}))
    return again
