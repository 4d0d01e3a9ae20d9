"""Branches that no input takes: both models are made to take them, and judged as ever.

A candidate with a certificate is not asked: what holds all its constants to those of a fresh fold
holds them in every branch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice

import onnx

from bnfold.errors import CheckFailed
from bnfold.ops64 import EvaluationError, Unsupported
from bnfold.ops64.control import Branch
from bnfold.show import show
from bnfold.verification.cases import Case
from bnfold.verification.gates import Float64Gate
from bnfold.verification.subject import Subject
from bnfold.verification.truth import NotMet, Truth
from bnfold.verification.verdict import JITTER_LIMIT, Gate

NAME = "branches"
MOST = 24  # so many are taken one by one; of further ones nothing is proven
_CASES = 2
Models = tuple[Subject, Subject]


@dataclass(slots=True)
class Untaken:
    """Branches that the inputs left out; `worst` is the departure with one of them taken."""

    models: Models
    truth: Truth
    cases: Sequence[Case]
    units: Mapping[str, float]
    worst: float = -1.0
    sentence: str = ""
    unproven: list[str] = field(default_factory=list)

    def gate(self) -> Gate | None:
        """The worst branch decides; None where the inputs took them all."""
        ways: dict[Branch, Mapping[str, bool]] = {b: {} for b in self.truth.untaken()}
        asked: set[Branch] = set()
        while left := [b for b in self.truth.untaken() if b in ways and b not in asked]:
            if len(asked) == MOST:
                self.unproven += map(str, left)
                break
            branch = left[0]
            asked.add(branch)
            turned = {**ways[branch], branch.condition: branch.value}
            if self._proves(branch, turned):
                ways |= {b: turned for b in self.truth.untaken() if b not in ways}
            elif not alike(self.models, branch):
                self.unproven.append(str(branch))
        return self._gate() if asked else None

    def _gate(self) -> Gate:
        if self.sentence:
            ok = bool(self.worst <= JITTER_LIMIT)
            return Gate(NAME, ok, self.worst, JITTER_LIMIT, "jitter", self.sentence)
        said = "nothing could be proven of branches that no input takes"
        if not self.unproven:
            said = "branches that no input takes are the same in both models"
        return Gate(NAME, None, None, JITTER_LIMIT, "jitter", said)

    def _proves(self, branch: Branch, turned: Mapping[str, bool]) -> bool:
        """Both in float64 with the branch taken; False where the original does not compute there.

        Then it is in no state that the branch is made for. Where the candidate alone does not
        compute, that is its fault.
        """
        gate = Float64Gate(self.truth.pairs, self.units)
        try:
            cases = list(islice(self._meeting(turned), _CASES))
        except (Unsupported, EvaluationError, CheckFailed):
            return False
        if not cases:
            return False
        try:
            for k, case in enumerate(cases):
                gate.add(self.truth.sample(case, range(k, k + 1), turned))
        except (Unsupported, NotMet):
            return False
        except EvaluationError as cause:
            self._departs(float("inf"), f"it does not run: {show(cause, 300)}", branch)
            return True
        found = gate.gate()
        self._departs(found.value or 0.0, found.sentence, branch)
        return True

    def _meeting(self, turned: Mapping[str, bool]) -> Iterator[Case]:
        """The inputs on which the original meets what is turned: it may lie in another branch."""
        for case in self.cases:
            with suppress(NotMet):
                self.truth.original(case, turned)
                yield case

    def _departs(self, value: float, sentence: str, branch: Branch) -> None:
        if not value <= self.worst:  # so written that NaN counts
            self.worst, self.sentence = value, f"with {show(branch)} taken, {sentence}"


def alike(models: Models, branch: Branch) -> bool:
    """Whether both models hold the branch with the same nodes, and what it captures is the same."""
    ours, theirs = (list(_held(model, branch)) for model in models)
    return bool(ours) and ours == theirs


def _held(model: Subject, branch: Branch) -> Iterator[tuple[bytes, ...]]:
    """The bodies of that branch, each with the constants of the main graph that it captures."""
    graph = model.model.graph
    for node in _nodes(graph):
        if node.op_type == "If" and node.input[0] == branch.condition:
            body = next(a.g for a in node.attribute if a.name == branch.name)
            reads = {name for inner in _nodes(body) for name in inner.input}
            reads |= {value.name for value in body.output}
            fixed = [model.data.filled(t) for t in graph.initializer if t.name in reads]
            made = [n for n in graph.node if n.op_type == "Constant" and n.output[0] in reads]
            yield (
                body.SerializeToString(deterministic=True),
                *sorted(part.SerializeToString(deterministic=True) for part in (*fixed, *made)),
            )


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.type == attribute.GRAPH:
                yield from _nodes(attribute.g)
