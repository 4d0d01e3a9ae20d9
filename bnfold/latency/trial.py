"""How far this machine may be trusted: its rate of false claims, and what it finds.

The trial behind `bench`'s design, repeatable anywhere: equal models must show no difference, and
one with a tenth more work must be found slower; half of the pairs while another process loads the
machine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import onnx

from bnfold.errors import UsageError
from bnfold.latency import case, inputs, sessions
from bnfold.latency.estimate import Estimate, Verdict
from bnfold.latency.judging import judged
from bnfold.latency.load import loaded
from bnfold.latency.machine import machine
from bnfold.latency.report import Basis
from bnfold.latency.rounds import FULL, QUICK, Design
from bnfold.latency.specimens import BLOCKS, SHAPE, SPECIMENS
from bnfold.leftovers import temporary_folder


@dataclass(frozen=True, slots=True)
class Pair:
    """One comparison: what was planted, whether another process loaded the machine, the answer."""

    specimen: str
    planted: bool
    loaded: bool
    basis: Basis
    estimate: Estimate
    floor: float | None
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Tally:
    """Of equal pairs: `false_claims`. Of planted ones: `found` slower, `median_ratio` (true 1.1).

    `inconclusive` is of both; `by_cpu` counts the verdicts that stand on thread-CPU time.
    """

    equal: int
    planted: int
    false_claims: int
    found: int
    inconclusive: int
    by_cpu: int
    median_ratio: float | None

    @property
    def sentence(self) -> str:
        """The counts in words."""
        said = (
            f"{self.false_claims} of {self.equal} equal pairs claim a difference, "
            f"{self.found} of {self.planted} slow-downs of 10 % are found, "
            f"{self.inconclusive} inconclusive, {self.by_cpu} judged by thread CPU time"
        )
        return said if self.median_ratio is None else f"{said}; median {self.median_ratio:.3f}"


@dataclass(frozen=True, slots=True)
class Trial:
    """All pairs, in the order in which they ran, on a machine whose load was `load` before."""

    load: float | None
    pairs: tuple[Pair, ...]

    @property
    def all(self) -> Tally:
        """Every pair."""
        return tally(self.pairs)

    @property
    def quiet(self) -> Tally:
        """The pairs beside which we started no other process."""
        return tally([pair for pair in self.pairs if not pair.loaded])

    @property
    def under_load(self) -> Tally:
        """The pairs beside which another process of ours ran."""
        return tally([pair for pair in self.pairs if pair.loaded])

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data."""
        parts = {"all": self.all, "quiet": self.quiet, "under_load": self.under_load}
        told = {name: asdict(part) for name, part in parts.items()}
        pairs = [
            {**asdict(p), "basis": p.basis.value, "verdict": p.verdict.value} for p in self.pairs
        ]
        return {"load": self.load, **told, "pairs": pairs}


def tally(pairs: Sequence[Pair]) -> Tally:
    """Counts over `pairs`."""
    equal = Counter(p.verdict for p in pairs if not p.planted)
    planted = Counter(p.verdict for p in pairs if p.planted)
    ratios = [p.estimate.ratio for p in pairs if p.planted]
    return Tally(
        equal=equal.total(),
        planted=planted.total(),
        false_claims=equal[Verdict.FASTER] + equal[Verdict.SLOWER],
        found=planted[Verdict.SLOWER],
        inconclusive=equal[Verdict.INCONCLUSIVE] + planted[Verdict.INCONCLUSIVE],
        by_cpu=sum(p.basis is Basis.CPU for p in pairs),
        median_ratio=float(np.median(ratios)) if ratios else None,
    )


def self_test(
    n: int,
    *,
    threads: int = 1,
    seed: int = 0,
    quick: bool = False,
    on_pair: Callable[[int], None] | None = None,
) -> Trial:
    """`n` equal and `n` unequal pairs, timed and judged as `bench` does; seconds each.

    Raises:
        UsageError: `n` is no count.
        EnvironmentLacks: onnxruntime is not installed.
    """
    if n < 1:
        raise UsageError("the self-test wants at least one pair")
    here = machine()
    pairs = []
    with _files() as paths:
        for number in range(2 * n):
            if on_pair:
                on_pair(number)
            design = QUICK if quick else FULL
            pairs.append(_pair(number, paths, design, threads, seed + number))
    return Trial(here.load, tuple(pairs))


@contextmanager
def _files() -> Iterator[dict[tuple[str, int], str]]:
    """(specimen, blocks) -> a file of it."""
    with temporary_folder() as folder:
        paths = {}
        for (name, make), blocks in product(SPECIMENS.items(), (BLOCKS, BLOCKS + 1)):
            paths[name, blocks] = str(folder / f"{name}-{blocks}.onnx")
            onnx.save(make(blocks), paths[name, blocks])
        yield paths


def _pair(
    number: int, paths: dict[tuple[str, int], str], design: Design, threads: int, seed: int
) -> Pair:
    """Equal and planted take turns, then quiet and loaded, then the specimens."""
    planted, busy = bool(number & 1), bool(number & 2)
    name = list(SPECIMENS)[(number >> 2) % len(SPECIMENS)]
    table = case.Case("batch 1", 1, {}, sessions.Setting(threads=threads), design, seed)
    arrays = inputs.arrays([("x0", onnx.TensorProto.FLOAT, SHAPE[name])], seed)
    makers = [
        partial(sessions.runner, paths[name, blocks], table.how, arrays)
        for blocks in (BLOCKS, BLOCKS + planted, BLOCKS)  # the last is the control
    ]
    with loaded() if busy else nullcontext():
        timings, _ = case.timings_of(makers, table)
    seen = judged(timings, by_thread=table.by_thread, seed=seed)
    found, verdict = seen.found[0]
    return Pair(name, planted, busy, seen.basis, found, seen.floor, verdict)
