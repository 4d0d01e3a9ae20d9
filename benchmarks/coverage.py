"""How many BatchNorms are left, model by model: bnfold beside every rival.

Each result is run beside its source (judge.py) and counted by counting.py; a wrong, refused or
crashed one is named as such. `python benchmarks/coverage.py --models DIR --rivals PYTHON`
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import counting
import onnx
import processes
import rivals

HERE = Path(__file__).resolve().parent
OURS = "bnfold"


@dataclass(frozen=True)
class Result:
    """One tool on one model. `excess`: constant Mul/Add/Sub/Div more than the source has."""

    model: str
    tool: str
    batchnorms: int | None
    excess: int
    nodes: int | None
    difference: float | None
    fault: str | None = None

    @property
    def cell(self) -> str:
        """As the table shows it: the BatchNorms left, what was added, what went wrong."""
        if self.fault:
            return f"**{self.fault}**"
        return f"{self.batchnorms}" + (f" (+{self.excess})" if self.excess > 0 else "")


def commands(python: str | None) -> dict[str, list[str]]:
    """Tool -> its command, to which source and target are added."""
    found = {OURS: [sys.executable, str(HERE / "fold_once.py")]}
    if python:
        script = str(HERE / "rivals.py")
        found |= {tool: [python, script, tool] for tool in rivals.OPTIMISERS}
    return found


def result(model: Path, tool: str, command: Sequence[str], folder: Path, limit_s: float) -> Result:
    """Runs the tool and judges what it wrote; of ONNX Runtime, what it runs.

    The graph that ONNX Runtime saves may ask for inputs that the source did not (IR 3).
    """
    source = counting.left(onnx.load(model, load_external_data=False))
    target = folder / f"{tool}.onnx"
    target.unlink(missing_ok=True)
    cost = processes.run([*command, str(model), str(target)], limit_s)
    if isinstance(cost, processes.Failed) or not target.exists():
        why = cost.why if isinstance(cost, processes.Failed) else "wrote nothing"
        print(f"{model.name}: {tool}: {why}", file=sys.stderr)
        return Result(model.name, tool, None, 0, None, None, "fails")
    left = counting.left(onnx.load(target, load_external_data=False))
    excess = left.affine - source.affine
    judged = [str(model), "ENABLE_EXTENDED"] if tool == "onnxruntime" else [str(target)]
    python = command[0] if tool == "onnxruntime" else sys.executable
    found, fault = _verdict([python, str(HERE / "judge.py"), str(model), *judged])
    if fault:
        print(f"{model.name}: {tool}: {fault}", file=sys.stderr)
    return Result(model.name, tool, left.batchnorms, excess, left.nodes, found, fault)


def _verdict(asked: Sequence[str]) -> tuple[float | None, str | None]:
    done = subprocess.run(asked, capture_output=True, text=True, errors="replace")
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["crashed"])[-1][:200]
        print(last, file=sys.stderr)
        return None, "does not run"
    told = json.loads(done.stdout)
    return told.get("difference"), None if told["same"] else _wrong(told)


def _wrong(told: dict[str, Any]) -> str:
    return f"wrong: {told['difference']:.1g}" if "difference" in told else f"wrong: {told['why']}"


def table(results: Sequence[Result], sources: dict[str, counting.Left]) -> str:
    """Markdown: a row a model, a column a tool, the sum below."""
    tools = list(dict.fromkeys(r.tool for r in results))
    lines = [
        "| model | BatchNorms | " + " | ".join(tools) + " |",
        "| --- | ---: |" + " ---: |" * len(tools),
    ]
    for name, source in sources.items():
        cells = {r.tool: r.cell for r in results if r.model == name}
        row = " | ".join(cells.get(tool, "-") for tool in tools)
        lines.append(f"| {name.removesuffix('.onnx')} | {source.batchnorms} | {row} |")
    sums = [_sum([r for r in results if r.tool == tool], sources) for tool in tools]
    total = sum(source.batchnorms for source in sources.values())
    return "\n".join([*lines, f"| **all** | **{total}** | {' | '.join(sums)} |"])


def _sum(of_tool: Sequence[Result], sources: dict[str, counting.Left]) -> str:
    """A result that is wrong or not there leaves every BatchNorm of its source."""
    left = sum(
        sources[r.model].batchnorms if r.fault or r.batchnorms is None else r.batchnorms
        for r in of_tool
    )
    return f"**{left}**"


def page(results: Sequence[Result], sources: dict[str, counting.Left], versions: str) -> str:
    """docs/coverage.md."""
    return f"""# What is left after folding

BatchNormalization nodes left in each model (all scopes). `(+n)`: n constant Mul, Add, Sub or Div
more than the source had. Every result was run beside its source in ONNX Runtime with graph
optimisation off; **wrong** (with the relative rms difference), **fails** and **does not run** mean
what they say, and count as nothing folded in the sum. bnfold runs with its defaults: where the
weights are inputs that a caller may override (ultraface_rfb320) it leaves them alone unless
`--freeze-inputs` is given. `onnxruntime` is the graph that ONNX Runtime
makes for itself at level EXTENDED.

{table(results, sources)}

{versions}

Made by `python benchmarks/coverage.py --models DIR --zoo DIR --rivals PYTHON`
(how the zoo is made, and what the rivals are called with: `benchmarks/README.md`).
"""


def _versions(python: str | None) -> str:
    names = ["onnx", "onnxruntime", *rivals.OPTIMISERS]
    ask = (
        "from importlib import metadata as m; import sys\n"
        "for n in dict.fromkeys(sys.argv[1:]):\n"
        "    try: print(n, m.version(n), end=', ')\n"
        "    except m.PackageNotFoundError: pass\n"
    )
    here = subprocess.run(
        [sys.executable, "-c", ask, OURS, "onnx"], capture_output=True, text=True, check=True
    )
    said = here.stdout
    if python:
        command = [python, "-c", ask, *names]
        there = subprocess.run(command, capture_output=True, text=True, check=True)
        said += f"the rivals with {there.stdout}"
    return f"{said}Python {platform.python_version()}."


def _rivals_of(earlier: Path | None) -> dict[tuple[str, str], Result]:
    if earlier is None:
        return {}
    found = [Result(**told) for told in json.loads(earlier.read_text())]
    return {(r.model, r.tool): r for r in found if r.tool != OURS}


def main() -> None:
    """Prints the table; writes files where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, action="append", default=[], metavar="DIR")
    parser.add_argument("--zoo", type=Path, action="append", default=[], metavar="DIR")
    parser.add_argument("--rivals", metavar="PYTHON", help="the rivals' environment")
    parser.add_argument("--only", default="", help="models whose name contains this")
    parser.add_argument("--limit", type=float, default=300, help="seconds a tool may take")
    parser.add_argument("--page", type=Path, help="write docs/coverage.md here")
    parser.add_argument("--json", type=Path, help="write every result here")
    parser.add_argument("--reuse", type=Path, help="an earlier --json: the rivals' results")
    given = parser.parse_args()
    files = [f for d in [*given.models, *given.zoo] for f in sorted(d.rglob("*.onnx"))]
    files = [file for file in files if given.only in file.name]
    known = _rivals_of(given.reuse)
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="bnfold-coverage-") as name:
        for model in files:
            for tool, command in commands(given.rivals).items():
                again = known.get((model.name, tool))
                found = again or result(model, tool, command, Path(name), given.limit)
                results.append(found)
            print(model.name, *(f"{r.tool}={r.cell}" for r in results if r.model == model.name))
            if given.json:
                given.json.write_text(json.dumps([asdict(r) for r in results], indent=1) + "\n")
    sources = {f.name: counting.left(onnx.load(f, load_external_data=False)) for f in files}
    print(table(results, sources))
    if given.page:
        given.page.write_text(page(results, sources, _versions(given.rivals)))


if __name__ == "__main__":
    main()
