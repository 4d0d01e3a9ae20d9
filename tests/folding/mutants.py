"""Mutation check of the rule tables: every rule with a planted fault must fail some row.

    python -m tests.folding.mutants [TABLE ...]

Three faults a rule: the shift is lost, the sign of the scale is lost, the map lies on another
axis. Prints the mutants that no row notices; `EXEMPT` says why some cannot be noticed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np

from bnfold.folding import asking
from bnfold.folding.affine import Affine
from bnfold.folding.rules import microsoft, rectified
from tests.folding import test_aggressive, test_microsoft
from tests.folding.test_cases import CASES
from tests.folding.verdict import assert_claim

Fault = Callable[[Affine], Affine]
Claim = Callable[[], object]
TABLES: Mapping[str, tuple[ModuleType, str]] = {
    "PULL": (asking, "PULL"),
    "PULL_MANY": (asking, "PULL_MANY"),
    "PUSH": (asking, "PUSH"),
    "PUSH_MANY": (asking, "PUSH_MANY"),
    "MICROSOFT_PULL": (microsoft, "PULL"),
    "MICROSOFT_PUSH": (microsoft, "PUSH"),
    "RECTIFIED_PULL": (rectified, "PULL"),
    "RECTIFIED_PUSH": (rectified, "PUSH"),
}
SHORT_OF_TIME = 60.0  # seconds for the rows of one mutant


def shift_lost(m: Affine) -> Affine:
    return m.scale_part()


def sign_lost(m: Affine) -> Affine:
    return Affine.of(np.abs(m.scale), m.shift)


def axis_moved(m: Affine) -> Affine:
    return m.transposed([(axis + 1) % m.rank for axis in range(m.rank)])


FAULTS: tuple[Fault, ...] = (shift_lost, sign_lost, axis_moved)

# faults that change nothing
EXEMPT: Mapping[tuple[str, str, str], str] = {
    ("PUSH", "LpPool", "sign_lost"): "its own rule is to lose the sign",
    ("PUSH", "ReduceL1", "sign_lost"): "its own rule is to lose the sign",
    ("PUSH", "ReduceL2", "sign_lost"): "its own rule is to lose the sign",
    ("PUSH", "ReduceSumSquare", "sign_lost"): "its own rule is to lose the sign",
    ("PUSH", "ArgMax", "shift_lost"): "its own rule is to lose the shift",
    ("PUSH", "ArgMin", "shift_lost"): "its own rule is to lose the shift",
    ("PUSH", "GroupNormalization", "shift_lost"): "its own rule is to lose the shift",
    ("PUSH", "LayerNormalization", "shift_lost"): "its own rule is to lose the shift",
    ("PUSH", "LogSoftmax", "shift_lost"): "its own rule is to lose the shift",
    ("PUSH", "Softmax", "shift_lost"): "its own rule is to lose the shift",
    ("PUSH", "HardSigmoid", "axis_moved"): "only a map without an axis crosses",
    ("PULL", "Clip", "axis_moved"): "only a map without an axis crosses",
    ("PUSH", "Clip", "axis_moved"): "only a map without an axis crosses",
    ("PUSH", "Abs", "sign_lost"): "its own rule is to lose the sign",
    ("PUSH", "InstanceNormalization", "shift_lost"): "its own rule is to lose the shift",
}


def faulty(rule: Any, fault: Fault) -> Any:
    """The rule, asked about a map with a fault in it."""

    def asked(node: Any, maps: Any, *slot: int) -> Any:
        if isinstance(maps, Affine):
            return rule(node, fault(maps), *slot)
        return rule(node, {k: fault(m) for k, m in maps.items()})

    return asked


def claims(table: str, op_type: str) -> Iterator[tuple[str, Claim]]:
    """What may notice a mutant: the rows with such an operator, or those of `--aggressive`."""
    if table.startswith("RECTIFIED"):
        for name, build in test_aggressive.RECTIFIED.items():
            yield name, partial(test_aggressive.test_a_relu_becomes_a_maximum, build)
        for name, (build, code) in test_aggressive.STAYS.items():
            yield name, partial(test_aggressive.test_a_relu_stays, build, code)
        return
    if table.startswith("MICROSOFT"):
        for name, build in {**test_microsoft.FOLD, **test_microsoft.STAY}.items():
            made = build if callable(build) else build[0]
            if any(n.op_type == op_type for n in test_microsoft.model_of(name, made).graph.node):
                test = (
                    test_microsoft.test_it_folds
                    if callable(build)
                    else test_microsoft.test_it_stays
                )
                yield name, partial(test, name)
        return
    for row in CASES:
        if any(node.op_type == op_type for node in row.model.graph.node):
            yield row.id, partial(assert_claim, row)


def mutants(tables: Sequence[str]) -> Iterator[tuple[str, str, Fault]]:
    for table in tables:
        for op_type in getattr(*TABLES[table]):
            yield from ((table, op_type, fault) for fault in FAULTS)


def killed(table: str, op_type: str, fault: Fault) -> str | None:
    """The first claim that fails under a mutant, or None."""
    where = TABLES[table]
    kept = getattr(*where)
    rules: MutableMapping[str, Any] = dict(kept)
    rules[op_type] = faulty(rules[op_type], fault)
    setattr(*where, rules)
    started = time.monotonic()
    try:
        for name, claim in claims(table, op_type):
            if time.monotonic() - started > SHORT_OF_TIME:
                return None
            try:
                claim()
            except Exception:  # an assertion, or a crash: either is noticed
                return name
    finally:
        setattr(*where, kept)
    return None


def main(tables: Sequence[str]) -> int:
    count = 0
    survivors = []
    for table, op_type, fault in mutants(tables or tuple(TABLES)):
        count += 1
        mutant = (table, op_type, fault.__name__)
        by = killed(table, op_type, fault)
        if by is None and mutant not in EXEMPT:
            survivors.append(mutant)
            print("SURVIVES", *mutant, flush=True)
    print(f"{count} mutants, {len(survivors)} survive")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
