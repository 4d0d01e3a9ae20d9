"""One verification: every input through ONNX Runtime and through float64, case by case."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bnfold.errors import CheckFailed, DataError
from bnfold.ops64 import EvaluationError, Unsupported
from bnfold.show import show
from bnfold.verification.branches import Untaken
from bnfold.verification.cases import Array, Case, Misfit
from bnfold.verification.evidence import Evidence, Runs, opened
from bnfold.verification.judgement import doubtful, judged
from bnfold.verification.measures import finite
from bnfold.verification.neighbours import neighbours
from bnfold.verification.refold import reference_of
from bnfold.verification.runtime import PROVIDERS, Level, Runtime
from bnfold.verification.subject import Subject
from bnfold.verification.tolerance import Tolerance
from bnfold.verification.truth import Truth
from bnfold.verification.verdict import LEAST_DRAWS, Verdict

Progress = Callable[[int, int, str], None]
_RUNS: tuple[tuple[str, Level], ...] = (
    ("original", "none"),
    ("candidate", "none"),
    ("original", "all"),
    ("candidate", "all"),
)
_TF32: tuple[tuple[str, Level], ...] = (("original", "tf32"), ("candidate", "tf32"))


def runs_on(provider: str) -> tuple[tuple[str, Level], ...]:
    """Which model at which level; TF32 only where there is such a thing."""
    return _RUNS + _TF32 if provider == PROVIDERS["cuda"] else _RUNS


@dataclass(frozen=True, slots=True)
class Trial:
    """Two models, the inputs, and where they run."""

    pair: tuple[Subject, Subject]
    cases: Sequence[Case]
    runtime: Runtime
    tolerance: Tolerance
    seed: int
    told: Progress

    def verdict(self) -> Verdict:
        """What the gates say when all inputs have passed.

        Raises:
            CheckFailed: NaN or Inf in the original's own outputs, or the candidate does not run.
            DataError: inputs that the original does not take.
            Misfit: the same of inputs that were generated.
            ModelError: ONNX Runtime cannot load a model.
        """
        a, b = self.pair
        reference = reference_of(a, b)  # before ONNX Runtime holds a model: both may be large
        keys = {
            f"{side} {level}": self.runtime.load(b if side == "candidate" else a, level)
            for side, level in runs_on(self.runtime.provider)
        }
        evidence = opened(self.pair, reference.gate, reference.folds, self.tolerance)
        unit = evidence.narrowing.unit
        truth = Truth(a, b, reference.model, evidence.pairs, self.seed, unit, reference.data)
        draws = draws_of(self.cases)
        for case, runs, drawn in zip(self.cases, self._runs(keys, self.cases), draws, strict=True):
            self._pass(case, runs, evidence, truth, drawn)
        known = evidence.reference == "float64"
        if known and doubtful(evidence, tuple(keys), self.runtime.provider):
            self._ask_again(keys, evidence, truth, max(drawn.stop for drawn in draws))
        self.told(len(self.cases), len(self.cases), "done")
        if evidence.reference == "tolerance" and not evidence.tolerance.gate().ok:
            self._answers_alike(keys["original none"])
        self._branches(evidence, truth)
        evidence.notes += self._places(keys)
        return replace(
            judged(evidence, tuple(keys), self.runtime.provider),
            inputs=tuple(case.name for case in self.cases),
            original=a.label,
            candidate=b.label,
            seed=self.seed,
        )

    def _runs(self, keys: Mapping[str, str], cases: Sequence[Case]) -> Iterator[Runs]:
        """What ONNX Runtime gives for each case: model by model where opening one takes long."""
        if not self.runtime.takes_turns:
            for k, case in enumerate(cases):
                self.told(k, len(cases), case.name)
                yield {run: self._run(run, key, case) for run, key in keys.items()}
            return
        found: list[dict[str, dict[str, Array]]] = [{} for _ in cases]
        for run, key in keys.items():
            self.told(0, len(cases), run)
            for case, runs in zip(cases, found, strict=True):
                runs[run] = self._run(run, key, case)
        for k, case in enumerate(cases):
            self.told(k, len(cases), case.name)
            yield found[k]

    def _pass(self, case: Case, runs: Runs, evidence: Evidence, truth: Truth, draws: range) -> None:
        bad = finite(runs["original none"])
        if bad is not None:
            raise CheckFailed(
                f"the original's own output '{show(bad)}' holds NaN or Inf on '{show(case.name)}'",
                hint="give inputs that it was made for: --inputs",
            )
        evidence.add_runs(runs)
        if evidence.reference == "tolerance":
            return
        try:
            evidence.add_truth(truth.sample(case, draws), runs)
        except Unsupported as cause:
            evidence.without_truth(f"nothing computes {show(cause)} in float64")
        except EvaluationError as cause:  # ONNX Runtime takes it: the fault is not the input's
            evidence.without_truth(show(cause, 300))

    def _ask_again(
        self, keys: Mapping[str, str], evidence: Evidence, truth: Truth, draw: int
    ) -> None:
        """Before it is accused: the neighbours of the input on which it departs furthest."""
        farthest = self.cases[evidence.float64.farthest()]
        evidence.notes.append(f"asked again around '{show(farthest.name)}', where it departs most")
        cases = tuple(neighbours(farthest, self.seed))
        for k, (case, runs) in enumerate(zip(cases, self._runs(keys, cases), strict=True), draw):
            self._pass(case, runs, evidence, truth, range(k, k + 1))

    def _branches(self, evidence: Evidence, truth: Truth) -> None:
        """What no input took, unless a certificate holds it all."""
        if evidence.reference == "float64" and not evidence.certificate.ok:
            units = evidence.float64.units
            left = Untaken(self.pair, truth, self.cases, units)
            evidence.branches = left.gate()
            evidence.unproven = tuple(left.unproven)

    def _run(self, run: str, key: str, case: Case) -> dict[str, Array]:
        try:
            return self.runtime.run(key, case.feeds)
        except DataError as cause:
            if run.startswith("candidate"):
                raise CheckFailed(
                    f"the candidate does not run on '{show(case.name)}', the original does:"
                    f" {cause.message}",
                    where=cause.where,
                ) from cause
            if case.given:
                raise
            raise Misfit(cause.message, where=cause.where, hint=cause.hint) from cause

    def _answers_alike(self, key: str) -> None:
        """The original, asked twice.

        Raises:
            CheckFailed: it draws at random.
        """
        case = self.cases[0]
        once, again = self.runtime.run(key, case.feeds), self.runtime.run(key, case.feeds)
        for name, value in once.items():
            if not np.array_equal(value, again[name]):
                raise CheckFailed(
                    f"output '{show(name)}' of the original differs from run to run: it draws at"
                    " random, and nothing can be compared with it",
                    where=self.pair[0].label,
                    hint="export it for inference, without random operators",
                )

    def _places(self, keys: dict[str, str]) -> Iterator[str]:
        """Sessions closed; where a node ran is told off the CPU."""
        for run, key in keys.items():
            self.runtime.drop(key)
            nodes = self.runtime.nodes.get(key) or {}
            if nodes:
                where = ", ".join(f"{count} on {name}" for name, count in sorted(nodes.items()))
                tf32 = "on" if run.endswith("tf32") else "off"
                yield f"{run}: nodes {where}, TF32 {tf32}"


def draws_of(cases: Sequence[Case]) -> list[range]:
    """Which draws of jitter each case gets: all of the smallest size, and all that were brought.

    One draw a case, more where the cases are few: LEAST_DRAWS in all.
    """
    smallest = min(case.elements for case in cases)
    shaken = [case.given or case.elements <= smallest for case in cases]
    each = max(1, -(-LEAST_DRAWS // sum(shaken)))
    found, begin = [], 0
    for asked in shaken:
        found.append(range(begin, begin + each * asked))
        begin += each * asked
    return found
