"""Tensors that both models name alike, compared in float64 as both graphs run side by side."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from dataclasses import replace

import onnx

from bnfold.errors import DataError
from bnfold.ops64 import EvaluationError, Evaluator, Unsupported
from bnfold.show import show
from bnfold.verification.cases import Array, Case
from bnfold.verification.measures import UNIT, rms
from bnfold.verification.refold import reference_of
from bnfold.verification.subject import Subject
from bnfold.verification.truth import jitter
from bnfold.verification.verdict import Layer

HELD_BYTES = 1 << 30  # what may wait for its twin, at most
_LEAST_JITTER = 0.25


def surviving(a: onnx.ModelProto, b: onnx.ModelProto) -> list[str]:
    """Names that nodes of both main graphs make, in the candidate's order."""
    made = {name for node in a.graph.node for name in node.output if name}
    return [name for node in b.graph.node for name in node.output if name in made]


def layers(a: Subject, b: Subject, case: Case, seed: int = 0) -> tuple[Layer, ...]:
    """Each surviving float tensor's error, in units of what jitter of the weights does to it.

    Sorted by `growth`: by how much the ratio exceeds that of the tensors before it.

    Raises:
        DataError: a graph does not run on the case.
    """
    names = surviving(a.model, b.model)
    reference, _ = reference_of(a, b)
    wanted = set(names)
    found: list[Layer] = []
    try:
        with (
            _Stream(Evaluator(a.model), case, wanted) as original,
            _Stream(Evaluator(reference, perturb=jitter(seed)), case, wanted) as moved,
        ):

            def compare(name: str, value: Array) -> None:
                if name in wanted and value.dtype.kind == "f":
                    exact, shaken = original.take(name), moved.take(name)
                    if exact is not None:
                        known = found[-1].jitter if found else _LEAST_JITTER
                        found.append(_layer(name, len(found), (exact, value, shaken), known))

            Evaluator(b.model).run(case.feeds, on_value=compare)
    except Unsupported:
        return ()
    except EvaluationError as cause:
        raise DataError(f"the graph does not run: {show(cause, 300)}", where=b.label) from cause
    return tuple(sorted(_with_growth(found), key=lambda layer: -layer.growth))


def _layer(
    name: str, position: int, values: tuple[Array, Array, Array | None], known: float
) -> Layer:
    a, b, shaken = values
    if a.shape != b.shape:
        return Layer(name, position, float("inf"), 0.0, float("inf"), 0.0)
    scale = rms(a) or 1.0
    unit = UNIT[1]
    error = rms(b - a) / scale / unit
    # a tensor that the reference lacks is taken to be shaken as the one before it
    effect = known if shaken is None else rms(shaken - a) / scale / unit
    return Layer(name, position, error, effect, error / max(effect, _LEAST_JITTER), 0.0)


def _with_growth(found: list[Layer]) -> Iterator[Layer]:
    before = 1.0
    for layer in found:
        yield replace(layer, growth=layer.ratio / before)
        before = max(before, layer.ratio)


class _Stream:
    """A graph that runs in a thread and hands its tensors over as they are asked for."""

    def __init__(self, evaluator: Evaluator, case: Case, wanted: set[str]) -> None:
        self._queue: queue.Queue[tuple[str, Array] | BaseException | None] = queue.Queue(maxsize=4)
        self._waiting: dict[str, Array] = {}
        self._held = 0
        self._over = False
        self._closed = threading.Event()
        self._thread = threading.Thread(
            target=self._work, args=(evaluator, case, wanted), daemon=True
        )

    def __enter__(self) -> _Stream:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        while self._thread.is_alive():
            self._drain()
            self._thread.join(0.05)

    def _drain(self) -> None:
        while not self._queue.empty():
            self._queue.get_nowait()

    def _work(self, evaluator: Evaluator, case: Case, wanted: set[str]) -> None:
        def put(name: str, value: Array) -> None:
            if self._closed.is_set():
                raise _Enough
            if name in wanted:
                self._queue.put((name, value))

        try:
            evaluator.run(case.feeds, on_value=put)
            self._queue.put(None)
        except _Enough:
            pass
        except BaseException as cause:
            self._queue.put(cause)

    def take(self, name: str) -> Array | None:
        """The tensor, or None where it was never made or waited too long."""
        while name not in self._waiting and not self._over:
            item = self._queue.get()
            if item is None:
                self._over = True
            elif isinstance(item, BaseException):
                self._over = True
                raise item
            elif self._held + item[1].nbytes <= HELD_BYTES:
                self._waiting[item[0]] = item[1]
                self._held += item[1].nbytes
        value = self._waiting.pop(name, None)
        self._held -= 0 if value is None else value.nbytes
        return value


class _Enough(Exception):
    """Nobody asks for more."""


def first_departure(found: tuple[Layer, ...], limit: float) -> Layer | None:
    """The first tensor, in the graph's order, whose ratio exceeds the limit."""
    ordered = sorted(found, key=lambda layer: layer.position)
    return next((layer for layer in ordered if not layer.ratio <= limit), None)
