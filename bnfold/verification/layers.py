"""Tensors that both models name alike, compared in float64 as both graphs run side by side."""

from __future__ import annotations

import itertools
import math
import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import onnx

from bnfold.errors import DataError
from bnfold.ops64 import EvaluationError, Evaluator, Unsupported
from bnfold.show import show
from bnfold.verification.cases import Array, Case, Misfit
from bnfold.verification.channels import Channels
from bnfold.verification.measures import UNIT, Pool, rms
from bnfold.verification.refold import reference_of
from bnfold.verification.subject import Subject
from bnfold.verification.truth import jitter
from bnfold.verification.verdict import JITTER_LIMIT, Layer

HELD_BYTES = 1 << 30  # what may wait for its twin, at most
MOST_CASES = 5
_LEAST_JITTER = 0.25


def surviving(a: onnx.ModelProto, b: onnx.ModelProto) -> list[str]:
    """Names that nodes of both main graphs compute, in the candidate's order."""
    made = {name for node in a.graph.node if node.input for name in node.output if name}
    return [name for node in b.graph.node if node.input for name in node.output if name in made]


def telling(cases: Sequence[Case]) -> tuple[Case, ...]:
    """The cases of the smallest size, a few: one alone may hide a fault behind a dead unit.

    Fewer are taken again: each time the jitter is another.
    """
    least = min(case.elements for case in cases)
    small = [case for case in cases if case.elements == least]
    return tuple(itertools.islice(itertools.cycle(small), MOST_CASES))


def layers(a: Subject, b: Subject, cases: Sequence[Case], seed: int = 0) -> tuple[Layer, ...]:
    """Each surviving float tensor's error, in units of what jitter of the weights does to it.

    Pooled over the cases; sorted by `growth`: by how much the ratio exceeds that of the tensors
    before it.

    Raises:
        DataError: a graph does not run on a case.
        Misfit: the same of a case that was generated.
    """
    tracks: dict[str, _Track] = {}
    evaluators = _evaluators(a, b)
    for k, case in enumerate(cases):
        if not _compared(evaluators, case, (b.label, seed + k), tracks):
            return ()
    found = [track.layer(name, k) for k, (name, track) in enumerate(tracks.items())]
    return tuple(sorted(_with_growth(found), key=lambda layer: -layer.growth))


@dataclass(slots=True)
class _Track:
    """One tensor over the cases."""

    error: Pool = field(default_factory=Pool)
    effect: Pool = field(default_factory=Pool)
    channels: Channels = field(default_factory=Channels)
    unit: float = UNIT[1]
    misfit: bool = False

    def layer(self, name: str, position: int) -> Layer:
        if self.misfit:
            return Layer(name, position, math.inf, 0.0, math.inf, 0.0)
        loudest = self.error.loudest
        error = self.error.value(loudest) / self.unit
        jitter = self.effect.value(loudest, _LEAST_JITTER * self.unit) / self.unit
        worst = self.channels.worst(self.unit)
        channel = worst.ratio if worst else 0.0
        return Layer(name, position, error, jitter, error / jitter, 0.0, channel)


@dataclass(frozen=True, slots=True)
class _Evaluators:
    wanted: frozenset[str]
    reference: Evaluator
    original: Evaluator
    candidate: Evaluator


def _evaluators(a: Subject, b: Subject) -> _Evaluators:
    reference = reference_of(a, b)
    return _Evaluators(
        frozenset(surviving(a.model, b.model)),
        Evaluator(reference.model, read=reference.data.array),
        Evaluator(a.model, read=a.data.array),
        Evaluator(b.model, read=b.data.array),
    )


def _compared(
    these: _Evaluators, case: Case, of: tuple[str, int], tracks: dict[str, _Track]
) -> bool:
    """One case through all three graphs side by side; False where nothing computes it.

    `of` is the candidate's label and the seed of the jitter.
    """
    label, seed = of
    shaking = these.reference.shaken(jitter(seed))
    try:
        with (
            _Stream(these.original, case, these.wanted) as original,
            _Stream(shaking, case, these.wanted) as moved,
        ):
            known = _LEAST_JITTER * UNIT[1]

            def compare(name: str, value: Array) -> None:
                nonlocal known
                if name in these.wanted and value.dtype.kind == "f":
                    exact, shaken = original.take(name), moved.take(name)
                    if exact is not None:
                        track = tracks.setdefault(name, _Track())
                        known = _add(track, (exact, value, shaken), known)

            these.candidate.run(case.feeds, on_value=compare)
    except Unsupported:
        return False
    except EvaluationError as cause:
        kind = DataError if case.given else Misfit
        raise kind(f"the graph does not run: {show(cause, 300)}", where=label) from cause
    return True


def _add(track: _Track, values: tuple[Array, Array, Array | None], known: float) -> float:
    """One case; the relative effect of the jitter, which the next tensor may have to borrow."""
    a, b, shaken = values
    if a.shape != b.shape:
        track.misfit = True
        return known
    size = rms(a)
    # a tensor that the reference lacks is taken to be shaken as the one before it
    comparable = shaken is not None and shaken.shape == a.shape
    effect = rms(shaken - a) if shaken is not None and comparable else known * size
    if shaken is not None and comparable and all(np.isfinite(v).all() for v in (a, b, shaken)):
        track.channels.depart(a, b)
        track.channels.shake(a, shaken - a)
    track.error.add(rms(b - a), size)
    track.effect.add(effect, size)
    return effect / size if size else known


def _with_growth(found: list[Layer]) -> Iterator[Layer]:
    before = 1.0
    for layer in found:
        far = layer.excess * JITTER_LIMIT
        yield replace(layer, growth=far / before)
        before = max(before, far)


class _Stream:
    """A graph that runs in a thread and hands its tensors over as they are asked for."""

    def __init__(self, evaluator: Evaluator, case: Case, wanted: frozenset[str]) -> None:
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

    def _work(self, evaluator: Evaluator, case: Case, wanted: frozenset[str]) -> None:
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
