"""Which single fold breaks it: the original folded in ever smaller parts, in log2 steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from bnfold.errors import CheckFailed, ModelError
from bnfold.folding.report import Fold
from bnfold.leftovers import temporary_folder
from bnfold.show import show
from bnfold.verification.judge import Asked, verify
from bnfold.verification.refold import refolded
from bnfold.verification.subject import Model, Subject, subject


@dataclass(frozen=True, slots=True)
class Found:
    """The breaking fold and what the verdict said of it; `alone`: it breaks by itself, too."""

    fold: Fold | None
    sentence: str
    tried: int
    alone: bool = True


@dataclass(slots=True)
class _Trials:
    """Parts of the fold, each judged once."""

    original: Subject
    asked: Asked
    said: dict[frozenset[str], str] = field(default_factory=dict)

    def complaint(self, labels: frozenset[str]) -> str:
        """What is wrong when these folds alone are done; empty if nothing."""
        if labels not in self.said:
            self.said[labels] = self._judged(labels)
        return self.said[labels]

    def _judged(self, labels: frozenset[str]) -> str:
        again = refolded(self.original, {}, lambda spot: spot.label in labels)
        assert not isinstance(again, str)
        try:
            verdict = verify(self.original.path, again[0].whole(), **self.asked)
        except (ModelError, CheckFailed) as cause:
            if cause.where == show(self.original.path.name):
                raise  # not the fold's doing
            return str(cause)
        return "" if verdict.ok else verdict.sentence


def breaking(original: Model, asked: Asked) -> Found:
    """The first fold, in the order in which they are done, after which the verdict is bad.

    Raises:
        BnfoldError: as `verify`, where the original itself cannot be judged.
    """
    with (
        temporary_folder() as folder,
        subject(original, "original", folder) as source,
    ):
        whole = refolded(source, {})
        if isinstance(whole, str):
            raise CheckFailed(whole)
        folds = whole[1].folded
        trials = _Trials(source, asked)

        def breaks(count: int) -> bool:
            return bool(trials.complaint(frozenset(one.map for one in folds[:count])))

        place = first_bad(len(folds), breaks)
        if place is None:
            sentence = f"all {len(folds)} folds together are equivalent to the original"
            return Found(None, sentence, len(trials.said))
        fold = folds[place - 1]
        sentence = trials.complaint(frozenset(one.map for one in folds[:place]))
        alone = bool(trials.complaint(frozenset((fold.map,))))
        return Found(fold, sentence, len(trials.said), alone)


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
