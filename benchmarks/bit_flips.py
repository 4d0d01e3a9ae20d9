"""Single flipped bits in the weights of a folded model: how many do numbers find, and a manifest?

    python benchmarks/bit_flips.py MODEL.onnx [--flips 1000] [--limit 1e-5]

Numbers: both models run in ONNX Runtime on one random input; a flip is found where an output
departs by more than LIMIT of its rms, or is no number.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort

import bnfold
from bnfold import onnxfile
from bnfold.errors import CheckFailed


def outputs(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    """One run at the default optimisation."""
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return list(session.run(None, feeds))


def departs(ours: list[np.ndarray], theirs: list[np.ndarray], limit: float) -> bool:
    """Does any output differ by more than `limit` of its rms?"""
    return any(
        not float(np.abs(b - a).max()) <= limit * float(np.sqrt((a.astype(float) ** 2).mean()))
        for a, b in zip(ours, theirs, strict=True)
    )


def main() -> None:
    """Flip, look, count."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--flips", type=int, default=1000)
    parser.add_argument("--limit", type=float, default=1e-5)
    asked = parser.parse_args()
    model, rng = bnfold.fold(asked.model).model, np.random.default_rng(0)
    constants = {tensor.name for tensor in model.graph.initializer}
    feeds = {
        i.name: rng.standard_normal(
            [d.dim_value or 1 for d in i.type.tensor_type.shape.dim], np.float32
        )
        for i in model.graph.input
        if i.name not in constants
    }
    weights = [t for t in model.graph.initializer if t.data_type == 1 and len(t.raw_data)]
    sizes = np.array([len(weight.raw_data) for weight in weights], float)
    truth, found, listed = outputs(model, feeds), 0, 0
    with tempfile.TemporaryDirectory() as folder:
        manifest = Path(folder) / "manifest.json"
        onnxfile.write_manifest(model, manifest)
        for _ in range(asked.flips):
            weight = weights[rng.choice(len(weights), p=sizes / sizes.sum())]
            whole, data = weight.raw_data, bytearray(weight.raw_data)
            data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
            weight.raw_data = bytes(data)
            found += departs(truth, outputs(model, feeds), asked.limit)
            try:
                onnxfile.check_manifest(model, manifest)
            except CheckFailed:
                listed += 1
            weight.raw_data = whole
    print(f"{Path(asked.model).name}: {asked.flips} flips, by numbers {found}, manifest {listed}")


if __name__ == "__main__":
    main()
