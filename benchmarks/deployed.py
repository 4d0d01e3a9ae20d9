"""Every model deployed: the check on each ONNX Runtime, and one byte changed in each file.

`python benchmarks/deployed.py MODEL... [--runtime 1.16=PYTHON]... [--tamper]`. A runtime's PYTHON
belongs to an environment that holds onnxruntime and numpy and nothing of bnfold.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bnfold
from bnfold.errors import BnfoldError


def deployed(model: Path, folder: Path, target: str | None) -> str:
    """An empty word, or why it was refused."""
    try:
        bnfold.deploy(model, folder, target=target, batches=(1,), timeout_s=300)
    except BnfoldError as error:
        return f"exit {error.exit_code}: {error.message}"
    return ""


def checked(python: str, folder: Path) -> str:
    """What the folder's check.py says under that Python."""
    done = subprocess.run(
        [python, "-I", str(folder / "check.py"), "--json", "--runs", "3"],
        capture_output=True,
        text=True,
    )
    if done.returncode == 0:
        return "holds"
    told: dict[str, Any] = json.loads(done.stdout) if done.stdout.strip() else {}
    error = told.get("error", {}).get("message")
    failed = [f["sentence"] for f in told.get("findings", ()) if not f["ok"]]
    return f"exit {done.returncode}: {error or failed or done.stderr[-200:]}"


def tampered(folder: Path) -> tuple[int, list[str]]:
    """How many files were changed by one byte, and those that the check did not name."""
    missed = []
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in paths:
        good, name = path.read_bytes(), path.relative_to(folder).as_posix()
        place = len(good) // 2
        path.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        try:
            report = bnfold.check(folder, runs=1)
            said = "" if report.ok else report.sentence
        except BnfoldError as error:
            said = f"{error.message} {error.where}"
        if name not in said:
            missed.append(name)
        path.write_bytes(good)
    return len(paths), missed


def _row(model: Path, runtimes: Sequence[tuple[str, str]], *, tamper: bool) -> list[str]:
    cells = []
    with tempfile.TemporaryDirectory() as scratch:
        for version, python in runtimes:
            folder = Path(scratch) / version
            refused = deployed(model, folder, f"ort:{version}")
            cells.append(refused or checked(python, folder))
        if tamper:
            folder = Path(scratch) / "here"
            refused = deployed(model, folder, None)
            count, missed = (0, [refused]) if refused else tampered(folder)
            cells.append(", ".join(missed) or f"{count} of {count} named")
    return cells


def main() -> int:
    """Print the table; 1 where something does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--runtime", action="append", default=[], metavar="VERSION=PYTHON")
    parser.add_argument("--tamper", action="store_true")
    asked = parser.parse_args()
    runtimes = [tuple(word.split("=", 1)) for word in asked.runtime]
    heads = [f"ort:{version}" for version, _ in runtimes] + ["one byte changed"] * asked.tamper
    print("| model | " + " | ".join(heads) + " |\n|" + " --- |" * (len(heads) + 1), flush=True)
    bad = 0
    for model in asked.models:
        cells = _row(model, [(v, p) for v, p in runtimes], tamper=asked.tamper)
        bad += sum(cell != "holds" and not cell.endswith("named") for cell in cells)
        print(f"| {model.stem} | " + " | ".join(cells) + " |", flush=True)
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
