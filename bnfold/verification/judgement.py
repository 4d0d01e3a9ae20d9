"""From the evidence to what the gates say together, in one sentence, with remarks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from bnfold.show import show
from bnfold.verification.evidence import Evidence
from bnfold.verification.gates import LEAST_CASES
from bnfold.verification.runtime import both_installed
from bnfold.verification.truth import Watched
from bnfold.verification.verdict import JITTER_LIMIT, Gate, Verdict

CARELESS = 1000.0  # a fold in float32 was never seen further off (docs/tolerance.md)


def judged(evidence: Evidence, runs: Sequence[str], provider: str) -> Verdict:
    """The verdict, still without the names of models and inputs."""
    gates = gates_of(evidence, runs, provider)
    unseen = [] if evidence.reference == "tolerance" else _unseen(evidence)
    remarks = _seen_through(evidence) + _remarks(evidence, gates)
    remarks += [
        f"output '{show(pair.original)}' does not depend on the weights on these inputs:"
        " they prove nothing about it"
        for pair in unseen
    ]
    deciding = [gate for gate in gates if gate.decides and gate.ok is not None]
    failed = [gate for gate in deciding if not gate.ok]
    proven = not (unseen and len(unseen) == len(evidence.outputs))
    comparisons = evidence.comparisons.values()
    bins = sum((one.bins() for one in comparisons), Counter[float]())
    return Verdict(
        ok=not failed and proven,
        sentence=_sentence(failed, deciding, proven=proven) + ("" if failed else _left(evidence)),
        reference=evidence.reference,
        gates=tuple(gates),
        outputs=tuple(comparison.report() for comparison in comparisons),
        inputs=(),
        provider=provider,
        original="",
        candidate="",
        seed=0,
        notes=(*evidence.notes, *remarks),
        folds=evidence.folds,
        histogram=tuple(sorted(bins.items())),
    )


def doubtful(evidence: Evidence, runs: Sequence[str], provider: str) -> bool:
    """Whether it would be accused by quotients that a few more draws may yet change."""
    gates = gates_of(evidence, runs, provider)
    failed = [gate for gate in gates if gate.decides and gate.ok is False]
    return bool(failed) and all(
        gate.name.startswith(("float64", "runtime")) and (gate.value or 0.0) < CARELESS
        for gate in failed
    )


def gates_of(evidence: Evidence, runs: Sequence[str], provider: str) -> list[Gate]:
    """All gates in order, cheapest first; a tolerance of the caller's own decides alone."""
    if evidence.reference == "tolerance":
        return [evidence.certificate, evidence.tolerance.gate()]
    evidence.runtime.least = evidence.float64.effects()
    ran = evidence.runtime.gates(runs, provider)
    channel = evidence.float64.channel_gate()
    cast = []
    if evidence.narrowing.unit:  # a run in half errs by far more than most faults do
        ran = [_shown(gate) for gate in ran]
        channel = _shown(channel)  # a quiet channel may lie among the type's subnormal numbers
        cast = [evidence.narrowing.gate(evidence.float64.departure())]
    roads = [evidence.branches] if evidence.branches else []
    found = [evidence.certificate, evidence.float64.gate(), channel, *roads, *cast, *ran]
    if evidence.tolerance.asked:
        return [*map(_shown, found), evidence.tolerance.gate()]
    return found


def _shown(gate: Gate) -> Gate:
    return replace(gate, decides=False)


def _tracked(evidence: Evidence) -> tuple[set[str], list[Watched]]:
    """Blind outputs that a tensor before them sees through, and the tensors that do."""
    dark = evidence.float64.blind()
    blind = {pair.original for pair in dark if pair.behind is None}
    through = [p for p in evidence.pairs if p.behind in blind and p not in dark]
    return blind, through


def _unseen(evidence: Evidence) -> list[Watched]:
    """Outputs that these inputs prove nothing about."""
    blind, through = _tracked(evidence)
    seen = {pair.behind for pair in through}
    return [
        p
        for p in evidence.pairs
        if p.behind is None and p.original in blind and p.original not in seen
    ]


def _seen_through(evidence: Evidence) -> list[str]:
    return [
        f"output '{show(pair.behind or '')}' is saturated on these inputs:"
        f" '{show(pair.original)}' before it was compared"
        for pair in _tracked(evidence)[1]
    ]


def _remarks(evidence: Evidence, gates: Sequence[Gate]) -> list[str]:
    said = []
    failed = {gate.name: gate.value or 0.0 for gate in gates if gate.ok is False and gate.decides}
    float64_alone = failed.keys() == {"float64"} and evidence.certificate.ok is None
    if float64_alone and failed["float64"] < CARELESS:
        said.append(
            "its runtime error is no larger than the original's own: a fold computed in"
            " float32 where means and biases cancel looks like this, too"
        )
    if evidence.runtime.cases < LEAST_CASES and evidence.reference == "float64":
        said.append(f"only {evidence.runtime.cases} inputs: {LEAST_CASES} say more")
    if mend := both_installed():
        said.append(f"onnxruntime and onnxruntime-gpu lie over each other: {mend}")
    return said


def _left(evidence: Evidence) -> str:
    """What a reader of the sentence alone must know, too."""
    if not evidence.unproven:
        return ""
    named = ", ".join(map(show, evidence.unproven[:3]))
    more = f" and {len(evidence.unproven) - 3} more" if len(evidence.unproven) > 3 else ""
    return f"; nothing is proven of what no input takes: {named}{more}"


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
