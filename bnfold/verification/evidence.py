"""What one verification gathers while its inputs pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bnfold.folding.report import Fold
from bnfold.verification.cases import Array
from bnfold.verification.gates import Float64Gate, RuntimeGate
from bnfold.verification.measures import UNIT, Comparison
from bnfold.verification.narrowing import Narrowing, narrowing
from bnfold.verification.subject import Port, Subject
from bnfold.verification.tolerance import Tolerance
from bnfold.verification.truth import Sample, Watched, watched
from bnfold.verification.verdict import Gate, Reference

Runs = Mapping[str, Mapping[str, Array]]  # "candidate none" -> output -> value


@dataclass(slots=True)
class Evidence:
    """The gates with what they have seen so far; `certificate` was judged before any input."""

    outputs: tuple[Port, ...]
    pairs: tuple[Watched, ...]
    narrowing: Narrowing
    certificate: Gate
    folds: tuple[Fold, ...]
    tolerance: Tolerance
    float64: Float64Gate
    runtime: RuntimeGate
    comparisons: Mapping[str, Comparison]
    branches: Gate | None = None
    unproven: tuple[str, ...] = ()  # branches that no input takes and nothing was proven of
    reference: Reference = "float64"
    notes: list[str] = field(default_factory=list)

    def add_runs(self, runs: Runs) -> None:
        """One input in ONNX Runtime."""
        ours, theirs = runs["original none"], runs["candidate none"]
        for port in self.outputs:
            mine, other = ours[port.name], theirs[port.name]
            self.tolerance.add(port.name, port.elem_type, mine, other)
            if mine.shape == other.shape:
                self.comparisons[port.name].add(mine, other)

    def add_truth(self, sample: Sample, runs: Runs) -> None:
        """The same input in float64."""
        self.float64.add(sample)
        exact = {
            pair.original: value
            for pair, value in zip(self.pairs, sample.original, strict=True)
            if pair.behind is None
        }
        self.runtime.add(exact, runs)

    def without_truth(self, why: str) -> None:
        """From here on the runs are judged by a stated tolerance."""
        self.reference = "tolerance"
        self.notes.append(f"no float64 truth: {why}")


def opened(
    pair: tuple[Subject, Subject], certificate: Gate, folds: tuple[Fold, ...], tolerance: Tolerance
) -> Evidence:
    """Evidence before the first input."""
    a, b = pair
    narrow = narrowing(a.model, b.model)
    units = {p.name: max(UNIT.get(p.elem_type, UNIT[1]), narrow.unit) for p in a.outputs}
    pairs = watched(a, b)
    return Evidence(
        outputs=a.outputs,
        pairs=pairs,
        narrowing=narrow,
        certificate=certificate,
        folds=folds,
        tolerance=tolerance,
        float64=Float64Gate(pairs, units),
        runtime=RuntimeGate(units),
        comparisons={port.name: Comparison(port.name) for port in a.outputs},
    )
