"""One verification while its inputs pass: what the gates gather, and what they say together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import onnx

from bnfold.errors import CheckFailed, DataError, UsageError
from bnfold.ops64 import Unsupported
from bnfold.show import show
from bnfold.verification.cases import Case
from bnfold.verification.gates import LEAST_CASES, Float64Gate, RuntimeGate
from bnfold.verification.measures import UNIT, Comparison, finite
from bnfold.verification.narrowing import narrowing
from bnfold.verification.refold import reference_of
from bnfold.verification.runtime import PROVIDERS, Level, Runtime, both_installed
from bnfold.verification.subject import Subject
from bnfold.verification.tolerance import Tolerance
from bnfold.verification.truth import Truth, Watched, watched
from bnfold.verification.verdict import JITTER_LIMIT, Gate, Layer, Reference, Verdict

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


@dataclass
class Trial:
    """What is gathered while the inputs pass."""

    pair: tuple[Subject, Subject]
    cases: Sequence[Case]
    runtime: Runtime
    tolerance: Tolerance
    seed: int
    told: Progress
    notes: list[str] = field(default_factory=list)
    gates: list[Gate] = field(default_factory=list)
    reference: Reference = "float64"

    def run(self) -> None:
        """Every input through the truth and the runtime."""
        a, b = self.pair
        self.narrowing = narrowing(a.model, b.model)
        least = self.narrowing.unit
        units = {p.name: max(UNIT.get(p.elem_type, UNIT[1]), least) for p in a.outputs}
        self.keys = {
            f"{side} {level}": self.runtime.load(self.pair[side == "candidate"], level)
            for side, level in runs_on(self.runtime.provider)
        }
        reference = reference_of(a, b)
        self.gates.append(reference.gate)
        self.folds = reference.folds
        self.pairs = watched(a, b)
        self.float64 = Float64Gate(self.pairs, units)
        self.runtime_gate = RuntimeGate(units)
        self.comparisons = {port.name: Comparison(port.name) for port in a.outputs}
        truth = self._truth(reference.model)
        smallest = min(case.elements for case in self.cases)
        for k, case in enumerate(self.cases):
            self.told(k, len(self.cases), case.name)
            draw = k if case.elements <= smallest or case.given else None
            with _sizes_asked_for(case):
                truth = self._case(case, truth, draw)
        self.told(len(self.cases), len(self.cases), "done")

    def _truth(self, model: onnx.ModelProto) -> Truth | None:
        return Truth(*self.pair, model, self.pairs, self.seed, self.narrowing.unit)

    def _case(self, case: Case, truth: Truth | None, draw: int | None) -> Truth | None:
        runs = {run: self.runtime.run(key, case.feeds) for run, key in self.keys.items()}
        ours, theirs = runs["original none"], runs["candidate none"]
        bad = finite(ours)
        if bad is not None:
            raise CheckFailed(
                f"the original's own output {show(bad)} holds NaN or Inf on '{show(case.name)}'",
                hint="give inputs that it was made for: --inputs",
            )
        for port in self.pair[0].outputs:
            mine, other = ours[port.name], theirs[port.name]
            self.tolerance.add(port.name, port.elem_type, mine, other)
            if mine.shape == other.shape:
                self.comparisons[port.name].add(mine, other)
        if truth is None:
            return None
        try:
            sample = truth.sample(case, draw)
        except Unsupported as cause:
            self.reference = "tolerance"
            self.notes.append(f"no float64 truth: nothing computes {show(cause)} in float64")
            return None
        self.float64.add(sample)
        exact = {
            pair.original: value
            for pair, value in zip(self.pairs, sample.original, strict=True)
            if pair.behind is None
        }
        self.runtime_gate.add(exact, runs)
        return truth

    def close(self) -> None:
        """Sessions closed; where a node ran is noted off the CPU."""
        for run, key in self.keys.items():
            self.runtime.drop(key)
            nodes = self.runtime.nodes.get(key) or {}
            if nodes:
                where = ", ".join(f"{count} on {name}" for name, count in sorted(nodes.items()))
                tf32 = "on" if run.endswith("tf32") else "off"
                self.notes.append(f"{run}: nodes {where}, TF32 {tf32}")

    def verdict(self, layers: tuple[Layer, ...]) -> Verdict:
        """What the gates say together."""
        blind = self._judge()
        self._remark(blind)
        deciding = [gate for gate in self.gates if gate.decides and gate.ok is not None]
        failed = [gate for gate in deciding if not gate.ok]
        proven = not (blind and len(blind) == len(self.pair[0].outputs))
        bins = sum((one.bins() for one in self.comparisons.values()), Counter[float]())
        return Verdict(
            ok=not failed and proven,
            sentence=_sentence(failed, deciding, proven=proven),
            reference=self.reference,
            gates=tuple(self.gates),
            outputs=tuple(comparison.report() for comparison in self.comparisons.values()),
            inputs=tuple(case.name for case in self.cases),
            provider=self.runtime.provider,
            original=self.pair[0].label,
            candidate=self.pair[1].label,
            seed=self.seed,
            notes=tuple(self.notes),
            layers=layers,
            folds=self.folds,
            histogram=tuple(sorted(bins.items())),
        )

    def _judge(self) -> list[Watched]:
        """The gates in order; outputs that these inputs prove nothing about are returned."""
        if self.reference == "tolerance":
            self.gates.append(self.tolerance.gate())
            return []
        found = [self.float64.gate()]
        self.runtime_gate.least = self.float64.effects()
        ran = self.runtime_gate.gates(tuple(self.keys), self.runtime.provider)
        if self.narrowing.unit:  # a run in half errs by far more than most faults do
            ran = [replace(gate, decides=False) for gate in ran]
            found.append(self.narrowing.gate(self.float64.departure()))
        found += ran
        if self.tolerance.asked:
            found = [replace(gate, decides=False) for gate in found]
            self.gates[:] = [replace(gate, decides=False) for gate in self.gates]
            found.append(self.tolerance.gate())
        self.gates += found
        return self.float64.blind()

    def _remark(self, blind: list[Watched]) -> None:
        seeing = {p.behind for p in self.pairs if p.behind and p not in blind}
        for pair in list(blind):
            if pair.behind is None and pair.original in seeing:
                blind.remove(pair)
                before = next(p.original for p in self.pairs if p.behind == pair.original)
                self.notes.append(
                    f"output {show(pair.original)} is saturated on these inputs:"
                    f" {show(before)} before it was compared"
                )
            elif pair.behind is None:
                self.notes.append(
                    f"output {show(pair.original)} does not depend on the weights on these inputs:"
                    " they prove nothing about it"
                )
        blind[:] = [pair for pair in blind if pair.behind is None]
        failed = {gate.name for gate in self.gates if gate.ok is False and gate.decides}
        if failed == {"float64"} and self.gates[0].ok is None:
            self.notes.append(
                "its runtime error is no larger than the original's own: a fold computed in"
                " float32 where means and biases cancel looks like this, too"
            )
        if self.runtime_gate.cases < LEAST_CASES and self.reference == "float64":
            self.notes.append(f"only {self.runtime_gate.cases} inputs: {LEAST_CASES} say more")
        if mend := both_installed():
            self.notes.append(f"onnxruntime and onnxruntime-gpu lie over each other: {mend}")


@contextmanager
def _sizes_asked_for(case: Case) -> Iterator[None]:
    """Inputs of our own making that do not fit: the user has to give sizes.

    Raises:
        UsageError: in place of a DataError, where the case was generated.
    """
    try:
        yield
    except DataError as cause:
        if case.given:
            raise
        raise UsageError(cause.message, where=cause.where, hint=cause.hint) from cause


def _sentence(failed: list[Gate], deciding: list[Gate], *, proven: bool) -> str:
    if failed:
        return f"not equivalent: {failed[0].sentence}"
    if not proven:
        return "nothing is proven: no output depends on the weights on these inputs"
    float64 = next((gate for gate in deciding if gate.name == "float64"), None)
    if float64 is None or float64.value is None:
        return f"equivalent: {deciding[-1].sentence}" if deciding else "equivalent"
    runtime = [g.value for g in deciding if g.name == "runtime-candidate-none"]
    own = f"; its runtime error is {runtime[0]:.2g} times the original's own" if runtime else ""
    return (
        f"equivalent: it departs by {float64.value:.2g} times what rounding its weights does"
        f" (limit {JITTER_LIMIT:g}){own}"
    )
