"""Correct folds of real networks: what the gates say of each; none may be accused.

Prints a Markdown table; every model is a line of `--out FILE.jsonl`, and a second run goes on
behind the last one.

    python benchmarks/correct_folds.py --out folds.jsonl MODEL.onnx ...
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import bnfold
from bnfold.errors import BnfoldError

GATES = (
    "certificate",
    "float64",
    "float64-channel",
    "runtime-candidate-none",
    "runtime-candidate-all",
)


def judged(path: Path) -> dict:
    """The verdict's numbers, or why there is none."""
    try:
        result = bnfold.fold(path)
        verdict = bnfold.verify(path, result.model, batches=(1,))
    except BnfoldError as error:
        return {"error": f"{type(error).__name__}: {error}"}
    values = {name: gate.value for name in GATES if (gate := verdict.gate(name))}
    folds = len(result.report.folded)
    return {"ok": verdict.ok, "folds": folds, "gates": values, "seconds": verdict.seconds}


def main(paths: list[Path], out: Path) -> None:
    """Judge what is not yet in `out`, then print the table."""
    rows = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    done = {row["model"] for row in rows}
    for path in paths:
        if path.name not in done:
            rows.append({"model": path.name, **judged(path)})
            with out.open("a") as file:
                file.write(json.dumps(rows[-1]) + "\n")
    print("| model | folds | " + " | ".join(GATES) + " | accused |")
    print("| --- |" + " --- |" * (len(GATES) + 2))
    for row in rows:
        if "error" in row:
            print(f"| {row['model']} | not judged: {row['error']} |")
            continue
        numbers = (row["gates"].get(name) for name in GATES)
        cells = " | ".join("-" if n is None else f"{n:.2g}" for n in numbers)
        print(f"| {row['model']} | {row['folds']} | {cells} | {'no' if row['ok'] else 'YES'} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    main(given.models, given.out)
