"""Which fold breaks it: fewer and fewer folds re-applied; or the first tensor that departs."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bnfold.errors import CheckFailed
from bnfold.show import show
from bnfold.verification import layers as layer_walk
from bnfold.verification.brought import Brought, brought
from bnfold.verification.cases import Case, Shapes, generated
from bnfold.verification.gates import JITTER_LIMIT
from bnfold.verification.subject import Model, Subject, check_signatures, subject
from bnfold.verification.verdict import Layer


@dataclass(frozen=True, slots=True)
class Culprit:
    """Where it went wrong. `tensor` and `node` are None where nothing departs."""

    sentence: str
    tensor: str | None
    node: str | None
    ratio: float
    input: str
    layers: tuple[Layer, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return asdict(self)


def bisect(
    original: Model,
    candidate: Model,
    *,
    shapes: Shapes | None = None,
    inputs: Brought | None = None,
    seed: int = 0,
) -> Culprit:
    """The first tensor, in the candidate's order, that departs by more than rounding does.

    Raises:
        UsageError: a missing file, or sizes that cannot be.
        ModelError: not a sound ONNX model.
        CheckFailed: the signatures differ, or no tensor has the same name in both.
        DataError: inputs that do not fit, or on which a graph does not run.
    """
    with tempfile.TemporaryDirectory(prefix="bnfold-") as folder:
        a = subject(original, "original", Path(folder))
        b = subject(candidate, "candidate", Path(folder))
        check_signatures(a, b)
        if not layer_walk.surviving(a.model, b.model):
            raise CheckFailed("no tensor has the same name in both models")
        if inputs is None:
            cases: Sequence[Case] = generated(a.inputs, (1,), shapes, seed)
        else:
            cases = brought(inputs, a.inputs)
        return _first(a, b, cases, seed)


def _first(a: Subject, b: Subject, cases: Sequence[Case], seed: int) -> Culprit:
    """The earliest departure over the inputs: a dead unit may hide it on some."""
    best: Culprit | None = None
    for case in cases:
        found = layer_walk.layers(a, b, case, seed)
        if not found:
            raise CheckFailed("no tensor could be compared in float64")
        layer = layer_walk.first_departure(found, JITTER_LIMIT)
        culprit = _culprit(b, case, found, layer)
        if best is None or _earlier(culprit, best):
            best = culprit
    assert best is not None
    return best


def _earlier(new: Culprit, old: Culprit) -> bool:
    if new.tensor is None or old.tensor is None:
        return new.tensor is not None
    place = {layer.name: layer.position for layer in new.layers}
    return place[new.tensor] < place.get(old.tensor, len(place))


def _culprit(b: Subject, case: Case, found: tuple[Layer, ...], layer: Layer | None) -> Culprit:
    if layer is None:
        worst = max(entry.ratio for entry in found)
        sentence = f"no tensor departs: at most {worst:.3g} times what rounding does"
        return Culprit(sentence, None, None, worst, case.name, found)
    maker = next(n for n in b.model.graph.node if layer.name in n.output)
    node = f"{maker.op_type} {maker.name}".strip()
    sentence = (
        f"{show(layer.name)}, made by {show(node)}, is the first tensor that departs:"
        f" {layer.ratio:.3g} times what rounding the weights does (limit {JITTER_LIMIT:g})"
    )
    return Culprit(sentence, layer.name, node, layer.ratio, case.name, found)


def first_bad(count: int, breaks: Callable[[int], bool]) -> int | None:
    """The smallest k in 1..count for which the first k folds break it, in log2 steps.

    None where all of them together do not. `breaks` is taken to be monotone.
    """
    if count == 0 or not breaks(count):
        return None
    good, bad = 0, count
    while bad - good > 1:
        middle = (good + bad) // 2
        if breaks(middle):
            bad = middle
        else:
            good = middle
    return bad
