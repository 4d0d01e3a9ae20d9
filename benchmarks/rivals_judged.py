"""Optimisers' outputs of models on which they have been seen to err, judged by `bnfold verify`.

Prints a Markdown table: what each tool's output truly is (by a float64 run of the tests' own
judge, and onnx's checker) and what `verify` says of it. `--python` is the interpreter of an
environment that holds the tools (see rivals.py).

    python benchmarks/rivals_judged.py --python /path/to/rivals/bin/python
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import onnx  # noqa: E402
from onnx import numpy_helper  # noqa: E402

from benchmarks.rivals import OPTIMISERS  # noqa: E402
from bnfold.errors import BnfoldError  # noqa: E402
from bnfold.verification import verify  # noqa: E402
from tests.folding.cases.case import Case  # noqa: E402
from tests.folding.test_rival_faults import ROWS  # noqa: E402
from tests.oracle import assert_equivalent  # noqa: E402


def truth(row: Case, target: Path) -> str:
    """`none` written, `broken` for onnx's checker, `wrong`, `right`, or `foreign` operators."""
    if not target.exists():
        return "none"
    try:
        onnx.checker.check_model(str(target), full_check=True)
        made = onnx.load(target)
    except Exception:
        return "broken"
    if not _finite(row.model) and len(row.model.graph.node) == len(made.graph.node):
        return "right"
    if _finite(row.model) and not _finite(made):
        return "wrong"
    try:
        assert_equivalent(row.model, made)
    except AssertionError:
        return "wrong"
    except NotImplementedError:
        return "foreign"
    return "right"


def _finite(model: onnx.ModelProto) -> bool:
    floats = (numpy_helper.to_array(t) for t in model.graph.initializer)
    return all(np.isfinite(a).all() for a in floats if a.dtype.kind == "f")


def said(row: Case, source: Path, target: Path) -> str:
    """The verdict on one output, in a word and a sentence.

    On inputs that are made quieter until the original itself gives no NaN or infinity.
    """
    told = ""
    for loud in (None, 1e-2, 1e-4, 1e-8):
        try:
            verdict = verify(source, target, inputs=loud and _quiet(row, loud), timeout_s=600)
        except BnfoldError as error:
            told = f"exit {error.exit_code}: {error}"
            if "own output" not in told:
                return told
        else:
            return "equivalent" if verdict.ok else f"accused: {verdict.sentence}"
    return told


def _quiet(row: Case, loud: float) -> dict[str, np.ndarray]:
    """Normal values times `loud`, in the type of each input."""
    given = {tensor.name for tensor in row.model.graph.initializer}
    rng = np.random.default_rng(0)
    feeds = {}
    for port in row.model.graph.input:
        kind = port.type.tensor_type
        dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
        if port.name not in given:
            shape = [dim.dim_value or 2 for dim in kind.shape.dim]
            feeds[port.name] = (loud * rng.standard_normal(shape)).astype(dtype)
    return feeds


def optimised(python: str, tool: str, source: Path) -> Path:
    """Where the tool's output lies, if there is one."""
    target = source.with_suffix(f".{tool}.onnx")
    command = [python, str(ROOT / "benchmarks" / "rivals.py"), tool, str(source), str(target)]
    with contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(command, capture_output=True, timeout=600)
    return target


def main(python: str) -> None:
    """Every tool on every model."""
    tally: Counter[tuple[str, str]] = Counter()
    print("| model | tool | output | verify |\n| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for row in ROWS:
            source = Path(folder) / f"{row.id}.onnx"
            onnx.save(row.model, source)
            for tool in OPTIMISERS:
                target = optimised(python, tool, source)
                known = truth(row, target)
                verdict = "" if known == "none" else said(row, source, target)
                tally[known, verdict.partition(":")[0]] += 1
                print(f"| {row.id} | {tool} | {known} | {verdict} |", flush=True)
    print(*(f"{known}, {verdict or '-'}: {n}" for (known, verdict), n in sorted(tally.items())))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", required=True)
    main(parser.parse_args().python)
