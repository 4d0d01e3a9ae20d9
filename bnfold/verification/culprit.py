"""Where it went wrong: the first tensor that departs, in a candidate by whomever."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Unpack

from bnfold.errors import CheckFailed
from bnfold.folding.report import Fold
from bnfold.leftovers import temporary_folder
from bnfold.show import show
from bnfold.verification import layers as layer_walk
from bnfold.verification import steps
from bnfold.verification.judge import Asked, Question, fitting, subjects
from bnfold.verification.refold import reference_of
from bnfold.verification.subject import Model, Subject
from bnfold.verification.verdict import CHANNEL_LIMIT, JITTER_LIMIT, Layer


@dataclass(frozen=True, slots=True)
class Culprit:
    """Where it went wrong: a fold, a tensor with the node that makes it, or both, or nothing.

    `tried` counts how often a part of the fold was done again.
    """

    sentence: str
    fold: Fold | None = None
    tensor: str | None = None
    node: str | None = None
    ratio: float | None = None
    tried: int = 0
    layers: tuple[Layer, ...] = ()

    @property
    def found(self) -> bool:
        """Whether anything is wrong."""
        return self.fold is not None or self.tensor is not None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return asdict(self)


def bisect(original: Model, candidate: Model | None = None, **asked: Unpack[Asked]) -> Culprit:
    """Which single fold breaks `original`, or the first tensor of `candidate` that departs.

    Without a candidate, the original is folded in ever smaller parts, each judged as `verify`
    judges it. With one: the first tensor, in its order, that departs by more than rounding does,
    and the fold that made it where bnfold did. The keywords are those of `verify`.

    Raises:
        UsageError: a missing file, or sizes that cannot be.
        ModelError: not a sound ONNX model.
        CheckFailed: the signatures differ, or no tensor has the same name in both.
        DataError: inputs that do not fit, or on which a graph does not run.
    """
    if candidate is None:
        return _breaking_fold(original, asked)
    question = Question(**asked)
    with (
        temporary_folder() as folder,
        subjects(original, candidate, folder) as (a, b),
    ):
        if not layer_walk.surviving(a.model, b.model):
            raise CheckFailed("no tensor has the same name in both models")
        found = fitting(
            a,
            question,
            lambda cases: layer_walk.layers(a, b, layer_walk.telling(cases), question.seed),
        )
        if not found:
            raise CheckFailed("no tensor could be compared in float64")
        return _first(a, b, found)


def _breaking_fold(original: Model, asked: Asked) -> Culprit:
    found = steps.breaking(original, asked)
    if found.fold is None:
        return Culprit(found.sentence, tried=found.tried)
    named = f"'{show(found.fold.map)}'"
    into = ", ".join(map(show, found.fold.absorbed_by))
    how = f"{found.fold.outcome} into {into}" if into else found.fold.outcome
    alone = "by itself" if found.alone else "after the folds before it, not by itself"
    sentence = f"the fold of {named} ({how}) breaks it {alone}: {found.sentence}"
    return Culprit(sentence, found.fold, tried=found.tried)


def _first(a: Subject, b: Subject, found: tuple[Layer, ...]) -> Culprit:
    ordered = sorted(found, key=lambda layer: layer.position)
    layer = next((layer for layer in ordered if not layer.excess <= 1.0), None)
    if layer is None:
        worst = max(entry.ratio for entry in found)
        sentence = f"no tensor departs: at most {worst:.3g} times what rounding does"
        return Culprit(sentence, ratio=worst, layers=found)
    maker = next(n for n in b.model.graph.node if layer.name in n.output)
    node = f"{maker.op_type} {maker.name}".strip()
    far = f"{layer.ratio:.3g} times what rounding the weights does (limit {JITTER_LIMIT:g})"
    if layer.ratio <= JITTER_LIMIT:
        far = f"in one channel {layer.channel:.3g} times that (limit {CHANNEL_LIMIT:g}), {far}"
    sentence = (
        f"'{show(layer.name)}', made by {show(node)}, is the first tensor that departs: {far}"
    )
    folds = reference_of(a, b).folds
    fold = next((one for one in folds if maker.name and maker.name in one.absorbed_by), None)
    if fold is not None:
        sentence += f"; the fold of '{show(fold.map)}' went into it"
    return Culprit(sentence, fold, layer.name, node, layer.ratio, layers=found)
