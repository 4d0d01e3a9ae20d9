"""Folded beside the original and beside every rival's output, in ONNX Runtime on this machine.

A difference counts when a second, fresh process claims it too; else the cell says so.
`python benchmarks/latency.py --models DIR --rivals PYTHON`
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import coverage
import onnx
import processes

from bnfold.latency import BenchReport, Comparison, Verdict, bench

OPEN_2D, OPEN_1D = 64, 512
CLAIMS = (Verdict.FASTER, Verdict.SLOWER)


def open_sizes(path: Path) -> dict[str, tuple[int, ...]]:
    """Shapes for inputs with open sizes beyond the batch: 64x64 images, 512 samples."""
    graph = onnx.load(path, load_external_data=False).graph
    known = {t.name for t in graph.initializer}
    shapes = {}
    for value in graph.input:
        dims = [d.dim_value for d in value.type.tensor_type.shape.dim]
        if value.name not in known and any(d < 1 for d in dims[1:]):
            size = OPEN_2D if len(dims) == 4 else OPEN_1D
            shapes[value.name] = tuple(d if d > 0 else size for d in dims[1:])
    return shapes


def fresh(models: Sequence[str], options: dict[str, Any]) -> BenchReport:
    """`bench` in a process of its own."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=spawn) as pool:
        return pool.submit(bench, list(models), **options).result()


def measured(models: Sequence[str], options: dict[str, Any]) -> dict[str, str]:
    """Other model -> a cell: its time over that of the first, and what may be said of it."""
    first = fresh(models, options).comparisons
    if not any(c.verdict in CLAIMS for c in first):
        return {c.other: cell(c, c) for c in first}
    again = fresh(models, {**options, "seed": options["seed"] + 1}).comparisons
    return {a.other: cell(a, b) for a, b in zip(first, again, strict=True)}


def cell(first: Comparison, again: Comparison) -> str:
    """The first run's ratio and interval; bold where both runs claim the same."""
    found = first.estimate
    told = f"{found.ratio:.2f} [{found.low:.2f}, {found.high:.2f}]"
    if first.verdict in CLAIMS and first.verdict is not again.verdict:
        return f"{told} not repeated"
    return f"**{told}**" if first.verdict in CLAIMS else f"{told} {words(first.verdict)}"


def words(verdict: Verdict) -> str:
    """How a cell says that there is no claim."""
    return "noisy" if verdict is Verdict.INCONCLUSIVE else "tie"


def row(model: Path, given: argparse.Namespace, folder: Path) -> dict[str, str]:
    """All cells of one model: column -> text. Ratios are over the folded model's time."""
    options = {"shapes": open_sizes(model), "quick": given.quick, "seed": 0}
    options |= {"provider": given.provider, "batches": (given.batch,)}
    made = {}
    for tool, command in coverage.commands(given.rivals).items():
        target = folder / f"{tool}.onnx"
        target.unlink(missing_ok=True)
        cost = processes.run([*command, str(model), str(target)])
        if isinstance(cost, processes.Cost) and target.exists():
            made[tool] = str(target)
        else:
            print(f"{model.name}: {tool} fails", file=sys.stderr)
    if coverage.OURS not in made:
        return {}
    folded = made.pop(coverage.OURS)
    cells = {"original": measured([folded, str(model)], options)[model.name]}
    off = measured([str(model)], options)
    cells["BN fusion off / original"] = next(iter(off.values()), "-")
    for tool, path in made.items():
        cells[tool] = measured([folded, path], options)[Path(path).name]
    return cells


def table(rows: dict[str, dict[str, str]]) -> str:
    """Markdown: a row a model."""
    heads = list(dict.fromkeys(head for cells in rows.values() for head in cells))
    lines = [f"| model | {' | '.join(heads)} |", "| --- |" + " ---: |" * len(heads)]
    for name, cells in rows.items():
        lines.append(f"| {name} | {' | '.join(cells.get(head, '-') for head in heads)} |")
    return "\n".join(lines)


def main() -> None:
    """Prints a Markdown table: times of the others over that of bnfold's output."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, action="append", default=[], metavar="DIR")
    parser.add_argument("--zoo", type=Path, action="append", default=[], metavar="DIR")
    parser.add_argument("--rivals", metavar="PYTHON", help="the rivals' environment")
    parser.add_argument("--only", default="", help="models whose name contains this")
    parser.add_argument("--provider", default="cpu")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path, help="write the cells here")
    given = parser.parse_args()
    files = [f for d in [*given.models, *given.zoo] for f in sorted(d.rglob("*.onnx"))]
    rows: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory(prefix="bnfold-latency-") as name:
        for model in files:
            if given.only not in model.name:
                continue
            try:
                rows[model.stem] = row(model, given, Path(name))
            except Exception as error:  # one model may not end the survey
                print(f"{model.name}: {error}", file=sys.stderr)
                continue
            print(model.stem, rows[model.stem], file=sys.stderr)
            if given.json:
                given.json.write_text(json.dumps(rows, indent=1) + "\n")
    print(f"{processes.machine()}, batch {given.batch}, {given.provider}\n\n{table(rows)}")


if __name__ == "__main__":
    main()
