"""Optimisers' outputs of models on which they have been seen to err, judged by `bnfold verify`.

Prints a line a model and tool: equivalent, accused, refused (no sound model) or no output.
`--python` is the interpreter of an environment that holds the tools (see rivals.py).

    python benchmarks/rivals_judged.py --python /path/to/rivals/bin/python
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import onnx  # noqa: E402

from benchmarks.rivals import OPTIMISERS  # noqa: E402
from bnfold.errors import BnfoldError  # noqa: E402
from bnfold.verification import verify  # noqa: E402
from tests.verification.test_rivals import WRONG  # noqa: E402


def said(source: Path, target: Path) -> str:
    """The verdict on one output, in a word and a sentence."""
    if not target.exists():
        return "no output"
    try:
        verdict = verify(source, target, batches=(2,), timeout_s=600)
    except BnfoldError as error:
        return f"refused: {error}"
    return "equivalent" if verdict.ok else f"accused: {verdict.sentence}"


def main(python: str) -> None:
    """Every tool on every original."""
    with tempfile.TemporaryDirectory() as folder:
        for case in WRONG:
            source = Path(folder) / f"{case.__name__}.onnx"
            onnx.save(case()[0], source)
            for tool in OPTIMISERS:
                target = source.with_suffix(f".{tool}.onnx")
                command = [python, str(ROOT / "benchmarks" / "rivals.py"), tool, source, target]
                with contextlib.suppress(subprocess.TimeoutExpired):
                    subprocess.run(command, capture_output=True, timeout=600)
                print(f"{case.__name__:34} {tool:14} {said(source, target)}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", required=True)
    main(parser.parse_args().python)
