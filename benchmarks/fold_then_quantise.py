"""int8 after folding beside int8 of the model as it came: agreement, error, latency.

`python benchmarks/fold_then_quantise.py MODEL=CALIBRATION.npz ... [--held N]`. The last N samples
are held out of the calibration and judged. Latencies are medians of interleaved rounds, one thread.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

import bnfold
from bnfold import onnxfile
from bnfold.deployment import int8, lowering, targets
from bnfold.verification.subject import subject

ROUNDS = 40


def quantised(model: Path, folder: Path, calibration: Sequence[Any], name: str) -> Path:
    """The int8 model of a float one, by the quantiser of `bnfold deploy`."""
    source = onnxfile.read(model).model
    raised = lowering.raised(source, 13, targets.installed(), "int8").model
    path = folder / f"{name}-float.onnx"
    onnxfile.write(raised, path)
    with subject(path, name, folder) as found:
        int8.quantise(replace(found, label=name), folder / f"{name}-int8.onnx", calibration, "cpu")
    return folder / f"{name}-int8.onnx"


def session(path: Path) -> ort.InferenceSession:
    """With one thread, so that its time is the caller's."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def outputs(one: ort.InferenceSession, cases: Sequence[Any]) -> list[np.ndarray]:
    """Each output over all cases."""
    rows = [one.run(None, dict(case.feeds)) for case in cases]
    return [np.concatenate([row[k] for row in rows]) for k in range(len(rows[0]))]


def latencies(sessions: Mapping[str, ort.InferenceSession], feeds: Any) -> dict[str, float]:
    """Medians in ms, the order turned about in each round."""
    walls: dict[str, list[float]] = {name: [] for name in sessions}
    for one in sessions.values():
        one.run(None, feeds)
    for k in range(ROUNDS):
        names = list(sessions)[:: 1 if k % 2 else -1]
        for name in names:
            start = time.thread_time()
            sessions[name].run(None, feeds)
            walls[name].append((time.thread_time() - start) * 1e3)
    return {name: float(np.median(values)) for name, values in walls.items()}


def spread(rows: Sequence[Mapping[str, Any]]) -> str:
    """The median and the largest spread of the weights' channels."""
    values = [row["spread"] for row in rows if row["spread"] is not None]
    return f"{np.median(values):.1f} / {max(values):.1f}" if values else "-"


def _judged(model: Path, data: Path, held: int, folder: Path) -> None:
    with subject(model, "source", folder) as whole:
        cases = int8.calibration_cases(data, whole.inputs)
    kept, judged = cases[:-held], cases[-held:]
    folded = folder / "folded.onnx"
    result = bnfold.fold(model, bnfold.Options(freeze_inputs=True))
    onnxfile.write(result.model, folded)
    paths = {
        "float, folded": folded,
        "int8 of the folded": quantised(folded, folder, kept, "folded"),
        "int8 of the unfolded": quantised(model, folder, kept, "unfolded"),
    }
    sessions = {name: session(path) for name, path in paths.items()}
    times = latencies(sessions, dict(judged[0].feeds))
    truth = outputs(sessions["float, folded"], judged)
    after = result.report.after.batchnorms
    before = result.report.before.batchnorms
    spreads = [spread(int8.spreads(onnx.load(p))) for p in (model, folded)]
    print(f"\n{model.stem}: {before} BatchNorms, {after} after folding; channel spread of the")
    print(f"weights (median / largest) {spreads[0]} before, {spreads[1]} after folding;")
    print(f"{len(kept)} samples to calibrate, {len(judged)} to judge.\n")
    print("| model | output | top-1 agrees | rms error | CPU ms | of float |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    for name, one in sessions.items():
        for k, output in enumerate(one.get_outputs()):
            got = outputs(one, judged)[k]
            error = np.sqrt(np.mean((got - truth[k]) ** 2)) / np.sqrt(np.mean(truth[k] ** 2))
            top = int8.top_agreement(truth[k].astype(np.float64), got.astype(np.float64), 1)
            share = times[name] / times["float, folded"]
            told = "-" if top is None else f"{top:.2%}"
            row = (name, output.name, told, f"{error:.3g}", f"{times[name]:.2f}", f"{share:.2f}")
            print("| " + " | ".join(row) + " |")


def main() -> None:
    """Print a table a model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pairs", nargs="+", metavar="MODEL=CALIBRATION.npz")
    parser.add_argument("--held", type=int, default=100)
    asked = parser.parse_args()
    for pair in asked.pairs:
        model, _, data = pair.partition("=")
        if not data:
            parser.error(f"{pair}: not MODEL=CALIBRATION.npz")
        with tempfile.TemporaryDirectory() as folder:
            _judged(Path(model), Path(data), asked.held, Path(folder))


if __name__ == "__main__":
    main()
