"""Where a graph stands in its model, and who works on it between folds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bnfold.folding.certificate import Ledger
from bnfold.folding.report import Apart, Fold, Merge, Options
from bnfold.graph.index import GraphIndex
from bnfold.onnxfile import IN_MEMORY, DataFiles


@dataclass(frozen=True, slots=True)
class Swept:
    """What one sweep over a graph merged, the maps that went with it, and what stays apart."""

    folded: tuple[Fold, ...] = ()
    merged: tuple[Merge, ...] = ()
    apart: tuple[Apart, ...] = ()


Between = Callable[[GraphIndex, Ledger, str], Swept]  # of a graph and its scope


def nothing_between(_: GraphIndex, __: Ledger, ___: str) -> Swept:
    """Folding alone."""
    return Swept()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a graph stands: its scope, what callers may feed, and what it shares with others."""

    scope: str
    variable: frozenset[str]
    taken: set[str]  # every name in the whole model: new ones are entered
    options: Options
    borrowed: frozenset[str] = frozenset()  # captured from around: never changed
    released: frozenset[str] = frozenset()  # what bodies of this graph no longer read
    between: Between = nothing_between
    linear: frozenset[str] = frozenset()  # foreign operators that the user declares
    data: DataFiles = IN_MEMORY  # where initializers lie that are not in the model
