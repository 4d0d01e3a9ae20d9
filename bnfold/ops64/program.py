"""A graph made ready to run: steps in order, who is read last where, bodies and constants."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import onnx

from bnfold.ops64.compute import attribute_value


@dataclass(frozen=True, slots=True)
class Step:
    """One node; `frees` are the names that nobody reads after it."""

    label: str
    domain: str
    op_type: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    references: Mapping[str, str]
    bodies: Mapping[str, Program]
    reads: frozenset[str]
    frees: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Program:
    """One graph, or one function's body."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    constants: Mapping[str, onnx.TensorProto]
    sparse: Mapping[str, onnx.SparseTensorProto]
    steps: tuple[Step, ...]
    reads: frozenset[str]


def program_of(graph: onnx.GraphProto, scope: str = "") -> Program:
    """The program of a main graph or of a subgraph.

    Raises:
        ValueError: the nodes form a cycle.
    """
    inputs = tuple(value.name for value in graph.input)
    outputs = tuple(value.name for value in graph.output)
    constants = {tensor.name: tensor for tensor in graph.initializer}
    sparse = {tensor.values.name: tensor for tensor in graph.sparse_initializer}
    return _program(inputs, outputs, constants, sparse, _steps(graph.node, scope))


def program_of_function(function: onnx.FunctionProto) -> Program:
    """The program of a local function's body.

    Raises:
        ValueError: the nodes form a cycle.
    """
    steps = _steps(function.node, function.name + "/")
    return _program(tuple(function.input), tuple(function.output), {}, {}, steps)


def _program(
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
    constants: Mapping[str, onnx.TensorProto],
    sparse: Mapping[str, onnx.SparseTensorProto],
    steps: list[Step],
) -> Program:
    ordered = _ordered(steps)
    made = {name for step in steps for name in step.outputs}
    reads = {name for step in steps for name in step.reads} | set(outputs)
    free = reads - made - set(inputs) - constants.keys() - sparse.keys()
    return Program(inputs, outputs, constants, sparse, tuple(ordered), frozenset(free))


def _steps(nodes: Collection[onnx.NodeProto], scope: str) -> list[Step]:
    return [_step(node, f"{scope}{k}") for k, node in enumerate(nodes)]


def _step(node: onnx.NodeProto, position: str) -> Step:
    attributes, references, bodies = {}, {}, {}
    for attribute in node.attribute:
        if attribute.ref_attr_name:
            references[attribute.name] = attribute.ref_attr_name
        elif attribute.type == attribute.GRAPH:
            bodies[attribute.name] = program_of(attribute.g, f"{position}/{attribute.name}/")
        else:
            attributes[attribute.name] = attribute_value(attribute)
    reads = {name for name in node.input if name}
    for body in bodies.values():
        reads |= body.reads
    domain = "" if node.domain == "ai.onnx" else node.domain
    label = f"{node.op_type} '{node.name}'" if node.name else f"{node.op_type} #{position}"
    return Step(
        label,
        domain,
        node.op_type,
        tuple(node.input),
        tuple(node.output),
        attributes,
        references,
        bodies,
        frozenset(reads),
    )


def _ordered(steps: list[Step]) -> list[Step]:
    """Steps so sorted that each comes after what it reads; sorted ones stay as they are."""
    maker = {name: k for k, step in enumerate(steps) for name in step.outputs if name}
    done = [False] * len(steps)
    order: list[Step] = []
    for start in range(len(steps)):
        stack = [(start, _needs(steps[start], maker))]
        open_now = {start}
        while stack and not done[start]:
            current, needs = stack[-1]
            missing = next((k for k in needs if not done[k]), None)
            if missing is None:
                done[current] = True
                order.append(steps[current])
                open_now.discard(current)
                stack.pop()
            elif missing in open_now:
                raise ValueError(f"the graph has a cycle through {steps[missing].label}")
            else:
                open_now.add(missing)
                stack.append((missing, _needs(steps[missing], maker)))
    return order


def _needs(step: Step, maker: Mapping[str, int]) -> Iterator[int]:
    return (maker[name] for name in sorted(step.reads) if name in maker)


def needed(program: Program, keep: Collection[str]) -> list[Step]:
    """The steps that the names in `keep` depend on, each with what may be freed behind it."""
    wanted = set(keep)
    chosen: list[tuple[Step, tuple[str, ...]]] = []
    for step in reversed(program.steps):
        if wanted.isdisjoint(step.outputs):
            continue
        last = tuple(sorted(name for name in step.reads if name not in wanted))
        idle = tuple(name for name in step.outputs if name and name not in wanted)
        chosen.append((step, last + idle))
        wanted |= step.reads
    return [replace(step, frees=frees) for step, frees in reversed(chosen)]
