"""If, Loop and Scan: bodies run by the evaluator that owns them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from bnfold.ops64.call import FLOATS, Unsupported
from bnfold.ops64.element_types import Value
from bnfold.ops64.program import Program, Step

FREE_TURNS = 100_000  # Loops that state their turns make so many in a run, whatever it takes
SECONDS = 30.0  # for all others: with what runs beside it, an endless one ends within a minute


@dataclass(slots=True)
class Turns:
    """What the Loops of one run have used up."""

    made: int = 0
    began: float | None = None

    def another(self, stated: int | None) -> None:
        """One more turn of a Loop that states so many, or none.

        Raises:
            ValueError: it is endless, as far as anybody would wait for it.
        """
        self.began = time.monotonic() if self.began is None else self.began
        self.made += 1
        free = stated is not None and stated <= FREE_TURNS and self.made <= FREE_TURNS
        if not free and time.monotonic() - self.began > SECONDS:
            raise ValueError(f"no end after {self.made} turns and {SECONDS:.0f} s")


@dataclass(frozen=True, slots=True)
class Branch:
    """A branch of an If, or a side of a Where, taken where the tensor `condition` is `value`."""

    label: str
    name: str
    condition: str
    value: bool

    def __str__(self) -> str:
        return f"{self.name} of {self.label}"


@dataclass(slots=True)
class Roads:
    """Which ways were gone; which conditions are turned, whatever they come to, and were met."""

    taken: set[int] = field(default_factory=set)  # bodies, by identity
    sides: dict[int, set[bool]] = field(default_factory=dict)  # of a Where, by its inputs' identity
    turned: Mapping[str, bool] = field(default_factory=dict)
    met: set[str] = field(default_factory=set)

    def branch(self, step: Step, condition: Value) -> Program:
        """The body of an If that is to run."""
        name, value = step.inputs[0], bool(condition.array.reshape(-1)[0])
        if condition.fixed:  # the other one is dead: nobody can miss it
            self.taken.update(map(id, step.bodies.values()))
        if name in self.turned:
            self.met.add(name)
            value = self.turned[name]
        body = step.bodies[_NAMES[value]]
        self.taken.add(id(body))
        return body

    def where(self, step: Step, inputs: tuple[Value | None, ...]) -> tuple[Value | None, ...]:
        """The inputs of a Where; its condition is one value all over where it is turned.

        Sides count where floats are computed: a constant there is no branch of a network.
        """
        condition, *sides = inputs
        assert condition is not None
        turned = self.turned.get(step.inputs[0])
        if turned is not None:
            self.met.add(step.inputs[0])
            condition = replace(condition, array=np.full_like(condition.array, turned))
        if condition.array.size and not condition.fixed:
            fixed = {v for v, side in zip((True, False), sides, strict=True) if _is_no_way(side)}
            gone = {bool(condition.array.any()), bool(condition.array.all())}
            self.sides.setdefault(id(step.inputs), fixed).update(gone)
        return condition, *sides


def _is_no_way(side: Value | None) -> bool:
    return side is None or side.fixed or side.type not in FLOATS


_NAMES = {True: "then_branch", False: "else_branch"}
_SIDES = {True: "X", False: "Y"}


class Runner(Protocol):
    """Whoever can run a subgraph."""

    turns: Turns
    roads: Roads

    def body(self, program: Program, given: list[Value], outer: Any) -> list[Value]:
        """The subgraph's outputs."""


def run(
    runner: Runner,
    step: Step,
    attributes: Mapping[str, Any],
    inputs: tuple[Value | None, ...],
    outer: Any,
) -> list[Value]:
    """The outputs of a node that has subgraphs.

    Raises:
        Unsupported: it is none of If, Loop, Scan (opset 9 and later).
    """
    if step.op_type == "If":
        condition = inputs[0]
        assert condition is not None
        return runner.body(runner.roads.branch(step, condition), [], outer)
    if step.op_type == "Loop":
        return _loop(runner, step.bodies["body"], inputs, outer)
    if step.op_type == "Scan" and outer[1] >= 9:
        return _scan(runner, step.bodies["body"], attributes, inputs, outer)
    raise Unsupported(step.op_type)


def untaken(program: Program, roads: Roads) -> Iterator[Branch]:
    """Branches of Ifs and sides of Wheres that no run has taken; none inside of those."""
    for step in program.steps:
        for name, body in step.bodies.items():
            if step.op_type == "If" and id(body) not in roads.taken:
                yield Branch(step.label, name, step.inputs[0], name == _NAMES[True])
            else:
                yield from untaken(body, roads)
        for value in {True, False} - roads.sides.get(id(step.inputs), {True, False}):
            yield Branch(step.label, _SIDES[value], step.inputs[0], value)


def _loop(
    runner: Runner, body: Program, inputs: tuple[Value | None, ...], outer: Any
) -> list[Value]:
    """Body: (iteration, condition, *state) -> (condition, *state, *scanned)."""
    limit, condition = inputs[0], inputs[1]
    count = None if limit is None else int(limit.array.reshape(-1)[0])
    going = True if condition is None else bool(condition.array.reshape(-1)[0])
    state = [value for value in inputs[2:] if value is not None]
    scanned: list[list[Value]] = [[] for _ in range(len(body.outputs) - 1 - len(state))]
    turn = 0
    while going and (count is None or turn < count):
        runner.turns.another(count)
        given = [Value(np.array(turn), 7), Value(np.array(going), 9), *state]
        results = runner.body(body, given, outer)
        going = bool(results[0].array.reshape(-1)[0])
        state = results[1 : 1 + len(state)]
        for collected, value in zip(scanned, results[1 + len(state) :], strict=True):
            collected.append(value)
        turn += 1
    return [*state, *(_stacked(values, 0) for values in scanned)]


def _stacked(values: list[Value], axis: int) -> Value:
    if not values:  # no turn was made: the shape of one value is unknown
        return Value(np.zeros(0), 1)
    return Value(np.stack([value.array for value in values], axis=axis), values[0].type)


def _scan(
    runner: Runner,
    body: Program,
    attributes: Mapping[str, Any],
    inputs: tuple[Value | None, ...],
    outer: Any,
) -> list[Value]:
    """Body: (*state, *slices) -> (*state, *slices), along the scanned axes."""
    every = [value for value in inputs if value is not None]
    width = int(attributes["num_scan_inputs"])
    state, sources = every[: len(every) - width], every[len(every) - width :]
    axes = list(attributes.get("scan_input_axes", [0] * width))
    backward = list(attributes.get("scan_input_directions", [0] * width))
    outs = len(body.outputs) - len(state)
    out_axes = list(attributes.get("scan_output_axes", [0] * outs))
    out_backward = list(attributes.get("scan_output_directions", [0] * outs))
    length = sources[0].array.shape[axes[0]]
    scanned: list[list[Value]] = [[] for _ in range(outs)]
    for turn in range(length):
        slices = [
            Value(np.take(source.array, length - 1 - turn if back else turn, axis), source.type)
            for source, axis, back in zip(sources, axes, backward, strict=True)
        ]
        results = runner.body(body, [*state, *slices], outer)
        state = results[: len(state)]
        for collected, value in zip(scanned, results[len(state) :], strict=True):
            collected.append(value)
    for collected, back in zip(scanned, out_backward, strict=True):
        if back:
            collected.reverse()
    joined = [_stacked(v, axis) for v, axis in zip(scanned, out_axes, strict=True)]
    return [*state, *joined]
