"""Folded beside the original and beside every rival's output, in ONNX Runtime on this machine.

Three steps, each of which goes on where it was cut off (`--work DIR` keeps what is done): the
tools write their files; ONNX Runtime tells which of them it runs as the same graph (those need no
timing); the rest is timed, and a difference counts when a second, fresh process claims it too.
`python benchmarks/latency.py --models DIR --rivals PYTHON --work DIR`
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import coverage
import onnx
import processes
from open_sizes import open_sizes

from bnfold import onnxfile
from bnfold.errors import BnfoldError
from bnfold.latency import BenchReport, Comparison, Verdict, bench

HERE = Path(__file__).resolve().parent
CLAIMS = (Verdict.FASTER, Verdict.SLOWER)
TOOL_S = 120.0  # the most that a tool may take for one file
TIMED_S = 6.0  # what the runs of one table may take together
ROUNDS, LEAST_ROUNDS = 40, 8
ORIGINAL, OFF = "original", "original, ORT's BN fusion off"


def outputs(model: Path, given: argparse.Namespace) -> None:
    """Every tool's file in the model's folder; a tool that fails leaves its reason there."""
    folder = given.work / model.stem
    folder.mkdir(parents=True, exist_ok=True)
    for tool, command in coverage.commands(given.rivals).items():
        target, failed = folder / f"{tool}.onnx", folder / f"{tool}.failed"
        if target.exists() or failed.exists():
            continue
        part = folder / f"{tool}.part.onnx"
        cost = processes.run([*command, str(model), str(part)], TOOL_S)
        if isinstance(cost, processes.Cost) and part.exists():
            part.rename(target)  # data files keep their names: the model names them
        else:
            why = cost.why if isinstance(cost, processes.Failed) else "wrote nothing"
            failed.write_text(why + "\n")


def graphs(model: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Label -> path, fingerprint and milliseconds; what ONNX Runtime cannot run has an error."""
    folder = given.work / model.stem
    kept = folder / f"graphs-{given.batch}.json"
    files = {ORIGINAL: str(model)}
    tools = coverage.commands(given.rivals)
    files |= {t: str(folder / f"{t}.onnx") for t in tools if (folder / f"{t}.onnx").exists()}
    if not kept.exists():
        command = [sys.executable, str(HERE / "same_graph.py"), str(given.batch), *files.values()]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        if done.returncode != 0:
            raise RuntimeError((done.stderr.strip().splitlines() or ["crashed"])[-1])
        kept.write_text(done.stdout)
    told = json.loads(kept.read_text())
    return {label: {"path": path, **told[path]} for label, path in files.items()}


def fresh(models: Sequence[str], options: dict[str, Any]) -> BenchReport:
    """`bench` in a process of its own."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=spawn) as pool:
        return pool.submit(bench, list(models), **options).result()


def rounds_for(ms: float, rows: int) -> int:
    """As many as fit into the time of one table, at one run a letter."""
    return max(LEAST_ROUNDS, min(ROUNDS, int(TIMED_S * 1e3 / (2 * rows * ms))))


def incomparable(told: dict[str, Any], original: dict[str, Any]) -> str:
    """Why a file is not the same model for its callers; "" where it is.

    Some tools drop the weights that callers may override from the inputs (IR 4 and later), which
    `bnfold fold` does under --freeze-inputs alone; some write what onnx's checker refuses.
    """

    def names(one: dict[str, Any]) -> set[str]:
        model = onnx.load(one["path"], load_external_data=False)
        weights = {t.name for t in model.graph.initializer} if model.ir_version < 4 else set()
        return {i.name for i in model.graph.input} - weights

    if told["path"] != original["path"] and names(told) != names(original):
        return "other inputs"
    try:
        onnxfile.read(Path(told["path"]))
    except BnfoldError:
        return "invalid"
    return ""


def timed(found: dict[str, Any], given: argparse.Namespace) -> dict[str, str]:
    """Label -> a cell: its time over that of the folded file, and what may be said of it."""
    ours = found[coverage.OURS]
    cells = {k: "does not run" for k, told in found.items() if "error" in told}
    cells |= {k: why for k, told in found.items() if (why := incomparable(told, found[ORIGINAL]))}
    runs = {k: told for k, told in found.items() if k not in cells and k != coverage.OURS}
    cells |= {k: "same graph" for k, told in runs.items() if told["graph"] == ours["graph"]}
    others: dict[str, list[str]] = {}
    for label, told in runs.items():
        if label not in cells:
            others.setdefault(told["graph"], []).append(label)
    if not others:
        return cells
    firsts = [labels[0] for labels in others.values()]
    measured = _measured({k: found[k]["path"] for k in firsts}, ours, given)
    for labels in others.values():
        cells |= dict.fromkeys(labels, measured[labels[0]])
    return {**cells, **({OFF: measured[OFF]} if OFF in measured else {})}


def _measured(paths: dict[str, str], ours: dict[str, Any], given: argparse.Namespace) -> Any:
    """Quickly at first; what is claimed then is measured once more, by the full design."""
    options: dict[str, Any] = {
        "shapes": open_sizes(Path(paths.get(ORIGINAL, ours["path"]))),
        "batches": (given.batch,),
        "rounds": rounds_for(ours["ms"], len(paths) + 3),
        "timeout_s": 300.0,
    }
    labels = [*paths, OFF]
    first = fresh([ours["path"], *paths.values()], {**options, "quick": True, "seed": 0})
    one = dict(zip(labels, first.comparisons, strict=False))
    claimed = [label for label, found in one.items() if found.verdict in CLAIMS and label != OFF]
    cells = {label: cell(found, None) for label, found in one.items()}
    if claimed:
        again = fresh([ours["path"], *(paths[k] for k in claimed)], {**options, "seed": 1})
        two = dict(zip(claimed, again.comparisons, strict=False))
        cells |= {label: cell(one[label], two[label]) for label in claimed}
    return cells


def cell(first: Comparison, again: Comparison | None) -> str:
    """Ratio and interval, of the second run where there is one; bold where both claim the same."""
    found = (again or first).estimate
    told = f"{found.ratio:.2f} [{found.low:.2f}, {found.high:.2f}]"
    if again is None:
        words = {Verdict.INCONCLUSIVE: " noisy", Verdict.NO_DIFFERENCE: " tie"}
        return told + words.get(first.verdict, "")
    return f"**{told}**" if again.verdict is first.verdict else f"{told} not repeated"


def table(rows: dict[str, dict[str, str]], tools: Sequence[str]) -> str:
    """Markdown: a row a model, what is slower than ours counted below."""
    heads = [ORIGINAL, OFF, *tools]
    lines = [f"| model | {' | '.join(heads)} |", "| --- |" + " ---: |" * len(heads)]
    for name, cells in rows.items():
        lines.append(f"| {name} | {' | '.join(cells.get(head, '-') for head in heads)} |")
    counts = [_counts([cells.get(head, "-") for cells in rows.values()]) for head in heads]
    sums = f"| **ours: faster / even / slower / untold** | {' | '.join(counts)} |"
    return "\n".join([*lines, sums])


def _counts(cells: Sequence[str]) -> str:
    """Faster and slower where the claim was repeated; even on the same graph or by a tie."""
    bold = [float(c.removeprefix("**").split()[0]) for c in cells if c.startswith("**")]
    slower = sum(ratio < 1 for ratio in bold)
    even = sum(c == "same graph" or c.endswith(" tie") for c in cells)
    ran = sum(c not in ("-", "does not run", "other inputs", "invalid") for c in cells)
    return f"{len(bold) - slower} / {even} / {slower} / {ran - len(bold) - even}"


def survey(models: Sequence[Path], given: argparse.Namespace) -> dict[str, dict[str, str]]:
    """All three steps; the first two on every core, the clock alone on the machine."""
    until = time.monotonic() + 60 * given.minutes
    with ThreadPoolExecutor(given.workers) as pool:
        list(pool.map(lambda model: outputs(model, given), models))
    with ThreadPoolExecutor(given.workers) as pool:
        found = list(pool.map(lambda model: _tried(graphs, model, model, given), models))
    rows: dict[str, dict[str, str]] = {}
    for model, of_model in zip(models, found, strict=True):
        kept = given.work / model.stem / f"cells-{given.batch}.json"
        if of_model is None or "error" in of_model.get(coverage.OURS, {"error": ""}):
            print(f"{model.stem}: our file does not run: {of_model}", file=sys.stderr)
            continue
        if not kept.exists() and time.monotonic() > until:
            print(f"{model.stem}: left for the next call", file=sys.stderr)
            continue
        if not kept.exists():
            cells = _tried(timed, model, of_model, given)
            if cells is None:
                continue
            if not any(" noisy" in told for told in cells.values()):  # else the next call tries
                kept.write_text(json.dumps(cells, indent=1) + "\n")
            rows[model.stem] = cells
        rows.setdefault(model.stem, json.loads(kept.read_text()) if kept.exists() else {})
        print(f"{time.strftime('%H:%M:%S')} {model.stem} {rows[model.stem]}", file=sys.stderr)
    return rows


def _tried(step: Any, model: Path, *arguments: Any) -> Any:
    """One model may not end the survey."""
    try:
        return step(*arguments)
    except Exception as error:
        print(f"{model.name}: {error}", file=sys.stderr)
        return None


def main() -> None:
    """Prints a Markdown table: times of the others over that of bnfold's output."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, action="append", default=[], metavar="DIR")
    parser.add_argument("--zoo", type=Path, action="append", default=[], metavar="DIR")
    parser.add_argument("--rivals", metavar="PYTHON", help="the rivals' environment")
    parser.add_argument("--work", type=Path, required=True, help="keeps files and results")
    parser.add_argument("--only", default="", help="models whose name contains this")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2, help="for the steps without a clock")
    parser.add_argument("--minutes", type=float, default=25, help="then no new model is begun")
    parser.add_argument("--json", type=Path, help="write the cells here")
    given = parser.parse_args()
    start = time.monotonic()
    files = [f for d in [*given.models, *given.zoo] for f in sorted(d.rglob("*.onnx"))]
    models = [f for f in files if given.only in f.name and ".folded." not in f.name]
    rows = survey(models, given)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")
    minutes = (time.monotonic() - start) / 60
    print(f"{processes.machine()}, batch {given.batch}, {minutes:.0f} minutes\n")
    print(table(rows, [tool for tool in coverage.commands(given.rivals) if tool != coverage.OURS]))


if __name__ == "__main__":
    main()
