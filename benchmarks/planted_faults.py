"""Faults planted into folds of real networks: is each accused, and no correct fold?

Prints Markdown: a table, and the departures of correct folds and of faults drawn. Every case is a
line of `--out FILE.jsonl`, and a second run goes on behind the last one. `--step 10` takes
every tenth fault; without models nothing is run.

    python benchmarks/planted_faults.py --out faults.jsonl MODEL.onnx ...
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import bnfold  # noqa: E402
from benchmarks.faults import (  # noqa: E402
    FAULTS,
    Planted,
    border_shift_lost,
    branches_swapped,
    ill,
    sites,
    with_constants,
)
from benchmarks.open_sizes import open_sizes  # noqa: E402
from benchmarks.quiet import planted as quietly  # noqa: E402
from benchmarks.quiet import quiet  # noqa: E402
from bnfold.errors import BnfoldError  # noqa: E402
from bnfold.ops64 import Evaluator  # noqa: E402
from bnfold.verification import bisect, verify  # noqa: E402
from bnfold.verification.cases import Case, generated  # noqa: E402
from bnfold.verification.gates import Float64Gate  # noqa: E402
from bnfold.verification.judge import subjects  # noqa: E402
from bnfold.verification.measures import UNIT  # noqa: E402
from bnfold.verification.truth import Sample, Truth, Watched, watched  # noqa: E402
from bnfold.verification.verdict import CHANNEL_LIMIT, JITTER_LIMIT  # noqa: E402

LEAST = 20.0  # a fault that moves no output this many times as far as rounding does need not show
LEAST_CHANNEL = 2 * CHANNEL_LIMIT  # the same of one quiet channel, whose limit is another
BORDER, BRANCHES = "shift lost at the border", "Concat branches swapped"
Row = dict[str, Any]
Judge = Callable[[], Row]


@dataclass(frozen=True)
class Pair:
    """A network, its correct fold, and the sizes of its open inputs."""

    original: onnx.ModelProto
    folded: onnx.ModelProto
    shapes: dict[str, tuple[int, ...]]
    known: dict[tuple[Watched, ...], list[tuple[Case, Sample]]] = field(default_factory=dict)


def cases(path: Path) -> Iterator[tuple[str, str, Judge]]:
    """(condition, fault, how to judge it) of one model; the correct fold is the fault ""."""
    whole = onnx.load(path)
    for condition in ("normal", "ill"):
        original = whole if condition == "normal" else ill(whole)
        pair = Pair(original, bnfold.fold(original).model, open_sizes(path))
        found = list(sites(original, pair.folded))
        if not found:
            return
        right = with_constants(pair.folded, found[0], [])
        yield condition, "", partial(judged, pair, right)
        for name in (*FAULTS, BORDER, BRANCHES):
            rng = np.random.default_rng([zlib.crc32(name.encode()), zlib.crc32(path.name.encode())])
            wrong = _planted(name, pair, [found[k] for k in rng.permutation(len(found))], rng)
            if wrong is not None:
                yield condition, name, partial(judged, pair, wrong, name)
    soft = quiet(whole)
    if soft is not None:
        pair = Pair(soft, bnfold.fold(soft).model, open_sizes(path))
        for name, wrong in quietly(whole):
            yield "quiet", name, partial(judged, pair, wrong, name)


def _planted(name: str, pair: Pair, found: list, rng: np.random.Generator) -> Planted | None:
    """The fault at the first site that it fits."""
    if name == BRANCHES:
        return branches_swapped(pair.original, pair.folded, rng)
    for site in found:
        if name == BORDER:
            wrong = border_shift_lost(pair.folded, site)
        else:
            values = FAULTS[name](site, rng)
            wrong = None if values is None else with_constants(pair.folded, site, values)
        if wrong is not None:
            return wrong
    return None


def judged(pair: Pair, planted: Planted, fault: str = "") -> Row:
    """The verdict's numbers; how far an output moves on other inputs; for a fault who is named."""
    try:
        asked = {"batches": (1,), "shapes": pair.shapes, "timeout_s": 600.0}  # on a loaded machine
        verdict = verify(pair.original, planted.model, **asked)
        numbers = {gate.name: gate.value for gate in verdict.gates}
        row: Row = {"ok": verdict.ok, "gates": numbers, "seconds": verdict.seconds}
        row["moved"], row["moved_channel"] = moved(pair, planted.model)
        if fault:
            culprit = bisect(pair.original, planted.model, **asked)
            row |= {"named": culprit.tensor, "site": planted.tensor}
    except BnfoldError as error:
        return {"error": f"{type(error).__name__}: {error}"}
    return row


def moved(pair: Pair, candidate: onnx.ModelProto) -> tuple[float, float]:
    """Departure over jitter, worst output and worst channel; other inputs, another seed."""
    with (
        tempfile.TemporaryDirectory() as folder,
        subjects(pair.original, candidate, Path(folder)) as (a, b),
    ):
        pairs = watched(a, b)
        gate = Float64Gate(pairs, {p.name: UNIT.get(p.elem_type, UNIT[1]) for p in a.outputs})
        if pairs not in pair.known:  # all but the candidate's part
            truth = Truth(a, b, pair.folded, pairs, seed=1)
            cases = generated(a.inputs, (1,), pair.shapes, 1)
            samples = [truth.sample(case, range(k, k + 1)) for k, case in enumerate(cases)]
            pair.known[pairs] = list(zip(cases, samples, strict=True))
        evaluator = Evaluator(b.model)
        for case, sample in pair.known[pairs]:
            values = evaluator.run(case.feeds, keep=[p.candidate for p in pairs])
            gate.add(replace(sample, candidate=tuple(values[p.candidate] for p in pairs)))
    return float(gate.gate().value or 0.0), float(gate.channel_gate().value or 0.0)


def main(paths: list[Path], out: Path, step: int) -> list[Row]:
    """Run what is not yet in `out`; all rows."""
    lines = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    done = {(row["model"], row["condition"], row["fault"]) for row in lines}
    count = 0
    for path in paths:
        for condition, fault, judge in cases(path):
            count += 1
            if (path.name, condition, fault) in done or (fault and count % step):
                continue
            row = {"model": path.name, "condition": condition, "fault": fault, **judge()}
            lines.append(row)
            with out.open("a") as file:
                file.write(json.dumps(row) + "\n")
            sys.stderr.write(f"{path.name} {condition} {fault or 'correct'}\n")
    return lines


def loud(rows: list[Row]) -> list[Row]:
    """Faults that move some output 20 times as far as rounding and as the correct fold do.

    Or, in a quiet channel, that channel 128 times as far.
    """
    right = {(r["model"], r["condition"]): r for r in rows if r["fault"] == ""}

    def heard(row: Row) -> bool:
        key, least = ("moved", LEAST)
        if row["condition"] == "quiet":
            key, least = ("moved_channel", LEAST_CHANNEL)
        own = right.get((row["model"], row["condition"]), {}).get(key, 1.0)
        return bool(row[key] >= least * max(1.0, own))

    return [row for row in rows if row["fault"] and heard(row)]


def table(rows: list[Row]) -> None:
    """A line a condition: accused of those that move an output, correct folds accused."""
    print("| condition | correct folds accused | faults | that move an output 20-fold, or a quiet"
          " channel 128-fold | accused | named |")  # fmt: skip
    print("| --- | --- | --- | --- | --- | --- |")
    judged_rows = [r for r in rows if "error" not in r]
    for condition in ("normal", "ill", "quiet"):
        here = [r for r in judged_rows if r["condition"] == condition]
        right = [r for r in here if not r["fault"]]
        heard = loud(here)
        accused = sum(not r["ok"] for r in right)
        named = sum(r["named"] == r["site"] for r in heard)
        print(f"| {condition} | {accused} of {len(right)} | {len(here) - len(right)} |"
              f" {len(heard)} | {sum(not r['ok'] for r in heard)} | {named} |")  # fmt: skip
    for row in loud(judged_rows):
        if row["ok"] or row["named"] != row["site"]:
            what = "missed" if row["ok"] else f"named {row['named']} for {row['site']}"
            print(f"{what}: {row['model']} {row['condition']} {row['fault']}: {row['gates']}")
    for row in rows:
        if "error" in row:
            print(f"not judged: {row['model']} {row['condition']} {row['fault']}: {row['error']}")


EDGES = (0, 0.03, 0.1, 0.3, 1, 3, 8, 20, 64, 200, 1e3, 1e4, 1e5, 1e6, 1e7, math.inf)
WIDEST = 50  # signs in a row of the plot


def plot(rows: list[Row], gate: str, limit: float) -> None:
    """Departures of correct folds (o) and of faults that count (#), by decade."""
    judged_rows = [r for r in rows if "error" not in r]
    right, wrong = [r for r in judged_rows if not r["fault"]], loud(judged_rows)
    counts = [
        [sum(low <= (r["gates"][gate] or 0.0) < high for r in these) for these in (right, wrong)]
        for low, high in itertools.pairwise(EDGES)
    ]
    each = max(1, -(-max(faults for _, faults in counts) // WIDEST))
    for (low, high), (folds, faults) in zip(itertools.pairwise(EDGES), counts, strict=True):
        if low == limit:
            print(f"{'limit':>14} +{'-' * WIDEST}")
        name = f"{low:g} - {high:g}" if high < math.inf else f"over {low:g}"
        print(f"{name:>14} | {'o' * folds}{'#' * -(-faults // each)}".rstrip())
    print(f"{gate}: o a correct fold, # {each} faults that count, or fewer")


GATES = ("float64", "float64-channel", "runtime-candidate-none")


def summary(rows: list[Row]) -> dict[str, Any]:
    """What is kept of a run: a short row a case, beside the columns' names."""
    short = [
        [r["model"].removesuffix(".onnx"), r["condition"], r["fault"], r["ok"],
         *(_digits(r["gates"].get(name)) for name in GATES),
         *(_digits(r[name]) for name in ("moved", "moved_channel")),
         None if not r["fault"] else r["named"] == r["site"]]
        for r in rows if "error" not in r
    ]  # fmt: skip
    columns = ["model", "condition", "fault", "ok", "float64", "channel", "runtime", "moved",
               "moved_channel", "named"]  # fmt: skip
    return {"bnfold": bnfold.__version__, "columns": columns, "cases": short}


def _digits(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.3g}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="a line a case; goes on behind it")
    parser.add_argument("--step", type=int, default=1, help="every so manieth fault: 10, a tenth")
    parser.add_argument("--summary", type=Path, help="write the short form of all cases there")
    given = parser.parse_args()
    every = main(given.models, given.out, given.step)
    table(every)
    spoken = [row for row in every if row["condition"] != "quiet"]
    plot(spoken, "float64", JITTER_LIMIT)
    plot([row for row in every if row["condition"] == "quiet"], "float64-channel", CHANNEL_LIMIT)
    if given.summary:
        lines = json.dumps(summary(every)).replace("], [", "],\n[")
        given.summary.write_text(lines + "\n")
