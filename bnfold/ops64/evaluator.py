"""`Evaluator`: a whole model in float64: graphs, subgraphs, local functions, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from typing import Any

import numpy as np
import onnx
from onnx.numpy_helper import to_array

from bnfold.ops64 import control
from bnfold.ops64.call import FLOATS, Array, Call, Unsupported, raised
from bnfold.ops64.compute import kernels, run
from bnfold.ops64.element_types import Value, output_type
from bnfold.ops64.program import Program, Step, needed, program_of, program_of_function

OnValue = Callable[[str, Array], None]
Perturb = Callable[[str, Array, int], Array]
Read = Callable[[onnx.TensorProto], Array]
Env = dict[str, Value]

# inputs that hold learned numbers: what a perturbation of the weights may touch
_LEARNED: Mapping[str, tuple[int, ...]] = {
    "Add": (0, 1),
    "BatchNormalization": (1, 2, 3, 4),
    "Conv": (1, 2),
    "ConvTranspose": (1, 2),
    "Div": (0, 1),
    "Einsum": (0, 1),
    "GRU": (1, 2, 3),
    "Gather": (0,),
    "Gemm": (0, 1, 2),
    "GroupNormalization": (1, 2),
    "InstanceNormalization": (1, 2),
    "LSTM": (1, 2, 3),
    "LayerNormalization": (1, 2),
    "MatMul": (0, 1),
    "Mul": (0, 1),
    "PRelu": (1,),
    "RNN": (1, 2, 3),
    "Sub": (0, 1),
}


class EvaluationError(ValueError):
    """A node that cannot be computed on these inputs; the message names it."""


def evaluate(
    model: onnx.ModelProto,
    feeds: Mapping[str, Array],
    *,
    keep: Collection[str] | None = None,
    on_value: OnValue | None = None,
) -> dict[str, Array]:
    """The model's outputs (or the tensors in `keep`) by name, floats in float64.

    Args:
        model: with its external data loaded; any node order.
        feeds: one array an input; inputs with an initializer may be left out.
        keep: names of main graph tensors to return instead of the graph's outputs.
        on_value: called with the name and value of each main graph tensor as it is made.

    Raises:
        Unsupported: an operator that nothing computes in float64.
        EvaluationError: a node, an input or a name does not fit.
    """
    return Evaluator(model).run(feeds, keep=keep, on_value=on_value)


class Evaluator:
    """A model prepared once, run many times. Values are freed after their last reader."""

    def __init__(
        self, model: onnx.ModelProto, *, perturb: Perturb | None = None, read: Read = to_array
    ) -> None:
        """`perturb(name, value, type)` replaces each learned constant where it is used.

        `read` gives the values of an initializer, each time that a node reads it.

        Raises:
            EvaluationError: the graph has a cycle.
        """
        try:
            self._main = program_of(model.graph)
            self._functions = {
                (f.domain, f.name): (program_of_function(f), _opset(f.opset_import), f)
                for f in model.functions
            }
        except ValueError as cause:
            raise EvaluationError(str(cause)) from cause
        self._opset = _opset(model.opset_import)
        self._kernels = kernels()
        self._perturb = perturb
        self._read = read
        self._input_types = {
            value.name: value.type.tensor_type.elem_type for value in model.graph.input
        }
        self._small: dict[int, Value] = {}
        self._steps: dict[tuple[int, tuple[str, ...]], tuple[Step, ...]] = {}
        self.turns = control.Turns()
        self.roads = control.Roads()

    def shaken(self, perturb: Perturb) -> Evaluator:
        """The same model with other learned constants; what was prepared is shared."""
        twin = copy(self)
        twin._perturb, twin.turns, twin.roads = perturb, control.Turns(), control.Roads()
        return twin

    def run(
        self,
        feeds: Mapping[str, Array],
        *,
        keep: Collection[str] | None = None,
        on_value: OnValue | None = None,
    ) -> dict[str, Array]:
        """The outputs, or the tensors in `keep`.

        Raises:
            Unsupported: an operator that nothing computes in float64.
            EvaluationError: a node, an input or a name does not fit.
        """
        self.turns = control.Turns()
        main = self._main
        missing = [n for n in main.inputs if n not in feeds and n not in main.constants]
        if missing:
            raise EvaluationError(f"input '{missing[0]}' is not fed")
        env: Env = {
            name: Value(raised(np.asarray(value)), self._input_types.get(name, 0))
            for name, value in feeds.items()
        }
        names = tuple(main.outputs if keep is None else keep)
        steps = self._steps_for(main, names)
        values = self._walk(main, steps, names, [env], self._opset, {}, on_value)
        return {name: value.array for name, value in zip(names, values, strict=True)}

    def untaken(self) -> list[control.Branch]:
        """What no run has taken in the main graph and in the functions that were called."""
        called = (p for p, _, _ in self._functions.values() if id(p) in self.roads.taken)
        return [
            branch
            for program in (self._main, *called)
            for branch in control.untaken(program, self.roads)
        ]

    def body(self, program: Program, given: list[Value], outer: Any) -> list[Value]:
        """A subgraph run on `given`, seeing the names of the scopes around it."""
        scopes, opset, bound = outer
        env = dict(zip(program.inputs, given, strict=False))
        steps = self._steps_for(program, program.outputs)
        return self._walk(program, steps, program.outputs, [env, *scopes], opset, bound, None)

    def _steps_for(self, program: Program, names: tuple[str, ...]) -> tuple[Step, ...]:
        key = (id(program), names)
        if key not in self._steps:
            self._steps[key] = tuple(needed(program, names))
        return self._steps[key]

    def _walk(
        self,
        program: Program,
        steps: tuple[Step, ...],
        names: tuple[str, ...],
        scopes: list[Any],
        opset: int,
        bound: Mapping[str, Any],
        on_value: OnValue | None,
    ) -> list[Value]:
        env = scopes[0]
        scopes = [env, _Constants(self, program), *scopes[1:]]
        for step in steps:
            outputs = self._outputs(step, scopes, opset, bound)
            for name, value in zip(step.outputs, outputs, strict=False):
                if name:
                    env[name] = value
                    if on_value is not None:
                        on_value(name, value.array)
            for name in step.frees:
                env.pop(name, None)
        return [_found(name, scopes, "the graph's outputs") for name in names]

    def _outputs(
        self, step: Step, scopes: list[Any], opset: int, bound: Mapping[str, Any]
    ) -> list[Value]:
        attributes = step.attributes
        if step.references:
            fixed = {a: bound[r] for a, r in step.references.items() if r in bound}
            attributes = {**attributes, **fixed}
        inputs = tuple(_found(n, scopes, step.label) if n else None for n in step.inputs)
        function = self._functions.get((step.domain, step.op_type))
        if function is not None:
            return self._call(function, inputs, attributes)
        if step.domain:
            raise Unsupported(f"{step.domain}.{step.op_type}")
        if step.bodies:
            with _naming(step):
                return control.run(self, step, attributes, inputs, (scopes, opset, bound))
        if step.op_type == "Where":
            inputs = self.roads.where(step, inputs)
        return self._compute(step, inputs, attributes, opset)

    def _call(
        self, function: Any, inputs: tuple[Value | None, ...], attributes: Mapping[str, Any]
    ) -> list[Value]:
        from bnfold.ops64.compute import attribute_value

        program, opset, proto = function
        self.roads.taken.add(id(program))
        bound = {a.name: attribute_value(a) for a in proto.attribute_proto} | dict(attributes)
        env = {n: v for n, v in zip(program.inputs, inputs, strict=False) if v is not None}
        steps = self._steps_for(program, program.outputs)
        return self._walk(program, steps, program.outputs, [env], opset, bound, None)

    def _compute(
        self,
        step: Step,
        inputs: tuple[Value | None, ...],
        attributes: Mapping[str, Any],
        opset: int,
    ) -> list[Value]:
        arrays = [None if value is None else value.array for value in inputs]
        if self._perturb is not None:
            self._disturb(step, inputs, arrays)
        types = tuple(0 if value is None else value.type for value in inputs)
        count = len(step.outputs)
        call = Call(step.op_type, opset, tuple(arrays), attributes, count, types)
        with _naming(step):
            outputs = run(call, self._kernels.get(step.op_type))
        fixed = all(value is None or value.fixed for value in inputs)
        return [
            Value(out, output_type(step.op_type, attributes, inputs, out), fixed) for out in outputs
        ]

    def _disturb(
        self, step: Step, inputs: tuple[Value | None, ...], arrays: list[Array | None]
    ) -> None:
        assert self._perturb is not None
        for k in _LEARNED.get(step.op_type, ()):
            value = inputs[k] if k < len(inputs) else None
            if value is not None and value.fixed and value.array.size > 1 and value.type in FLOATS:
                arrays[k] = self._perturb(step.inputs[k], value.array, value.type)

    def constant(self, tensor: onnx.TensorProto) -> Value:
        """An initializer in float64; small ones are kept, large ones made anew each time."""
        key = id(tensor)
        if key in self._small:
            return self._small[key]
        value = Value(raised(self._read(tensor)), tensor.data_type, fixed=True)
        if value.array.size <= 4096:
            self._small[key] = value
        return value


class _Constants:
    """A scope of initializers, read on demand."""

    def __init__(self, evaluator: Evaluator, program: Program) -> None:
        self._evaluator = evaluator
        self._program = program

    def get(self, name: str) -> Value | None:
        tensor = self._program.constants.get(name)
        if tensor is not None:
            return self._evaluator.constant(tensor)
        sparse = self._program.sparse.get(name)
        if sparse is None:
            return None
        call = Call("Constant", 13, (), {"sparse_value": sparse})
        return Value(run(call, kernels()["Constant"])[0], sparse.values.data_type, fixed=True)


@contextmanager
def _naming(step: Step) -> Iterator[None]:
    """Whatever goes wrong in a node is said of it; inside a subgraph, of the inner one.

    Raises:
        EvaluationError: in place of any exception but Unsupported.
    """
    try:
        yield
    except (Unsupported, EvaluationError):
        raise
    except Exception as cause:
        raise EvaluationError(f"{step.label}: {cause}") from cause


def _found(name: str, scopes: list[Any], where: str) -> Value:
    for scope in scopes:
        value = scope.get(name)
        if value is not None:
            return value  # type: ignore[no-any-return]
    raise EvaluationError(f"'{name}', read by {where}, is made by no node")


def _opset(imports: Any) -> int:
    versions = [entry.version for entry in imports if entry.domain in ("", "ai.onnx")]
    return int(versions[0]) if versions else 1
