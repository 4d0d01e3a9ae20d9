"""A candidate in half precision: no fault finer than its rounding can be seen behind the cast."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import onnx

from bnfold.onnxfile.outline import dense_tensors
from bnfold.verification.measures import UNIT
from bnfold.verification.verdict import Gate

_HALF: Mapping[int, str] = {10: "float16", 16: "bfloat16"}  # ONNX element types


@dataclass(frozen=True, slots=True)
class Narrowing:
    """The candidate's weights are of this narrower type; `unit` is its roundoff, or 0 if none."""

    name: str = ""
    unit: float = 0.0

    def gate(self, departure: float) -> Gate:
        """The cast as a line of its own: how far it moves the outputs, in their rms."""
        sentence = (
            f"the weights were cast to {self.name}: in float64 that moves the outputs by"
            f" {departure:.2%} of their rms; gates count in its roundoff"
        )
        return Gate("cast", None, departure, None, "rms", sentence, decides=False)


def narrowing(original: onnx.ModelProto, candidate: onnx.ModelProto) -> Narrowing:
    """Whether the candidate holds weights in half precision that the original does not."""
    known = max((UNIT[kind] for kind in _kinds(original)), default=0.0)
    halves = {kind: UNIT[kind] for kind in _kinds(candidate) & _HALF.keys() if UNIT[kind] > known}
    if not halves:
        return Narrowing()
    kind = max(halves, key=lambda k: halves[k])
    return Narrowing(_HALF[kind], halves[kind])


def _kinds(model: onnx.ModelProto) -> set[int]:
    """Float types of the tensors that are more than a number."""
    return {t.data_type for t in dense_tensors(model) if len(t.dims) and t.data_type in UNIT}
