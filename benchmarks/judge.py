"""Is CANDIDATE the same function as ORIGINAL? `python judge.py ORIGINAL CANDIDATE` prints JSON.

Both run in ONNX Runtime with optimisation off on the same two seeded inputs. A third argument
names a level for the candidate: so ONNX Runtime's own optimisation is judged. A difference counts
beside the reaction of the original itself to inputs changed in their last bit: a net with random
weights can make much of a rounding.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import onnx
import onnxruntime

TOLERANCE = 1e-3  # of the output's root mean square, where the net amplifies nothing
AMPLIFIED = 30.0  # times the reaction to the last bit
SIZE_2D, SIZE_1D = 64, 512


def difference(original: str, candidate: str, level: str = "DISABLE_ALL") -> dict[str, Any]:
    """`same`, and the largest rms difference over rms of an output, with its allowance."""
    first, second = _session(original), _session(candidate, level)
    names = [output.name for output in first.get_outputs()]
    if names != [output.name for output in second.get_outputs()]:
        return {"same": False, "why": "other outputs"}
    worst = {"same": True, "difference": 0.0, "allowed": TOLERANCE}
    for seed in range(2):
        feeds = _feeds(first, np.random.default_rng(seed))
        want = first.run(None, feeds)
        nudged = first.run(None, {name: _nudged(array) for name, array in feeds.items()})
        known = {given.name for given in second.get_inputs()}
        got = second.run(None, {name: a for name, a in feeds.items() if name in known})
        for a, b, c in zip(want, got, nudged, strict=True):
            allowed = max(TOLERANCE, AMPLIFIED * _distance(a, c))
            found = _distance(a, b)
            if not found / allowed <= worst["difference"] / worst["allowed"]:
                worst = {"same": found <= allowed, "difference": found, "allowed": allowed}
    return worst


def _session(path: str, level: str = "DISABLE_ALL") -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = getattr(levels, f"ORT_{level}")
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _feeds(session: Any, rng: np.random.Generator) -> dict[str, np.ndarray]:
    inputs = session.get_inputs()
    batch = inputs[0].shape[0] if inputs and inputs[0].shape else None
    return {given.name: _array(given, batch, rng) for given in inputs}


def _array(given: Any, batch: Any, rng: np.random.Generator) -> np.ndarray:
    """Open sizes: 1 for the batch, else one that nets of images or of signals take."""
    open_size = SIZE_2D if len(given.shape) == 4 else SIZE_1D
    sizes = [
        size if isinstance(size, int) and size > 0 else (open_size if axis and size != batch else 1)
        for axis, size in enumerate(given.shape)
    ]
    kind = given.type.removeprefix("tensor(").removesuffix(")")
    dtype = np.dtype({"float": "float32", "double": "float64"}.get(kind, kind))
    if kind == "int64" and not sizes:
        return np.array(16000, dtype)  # the one scalar at hand is a sampling rate
    if dtype.kind in "biu":
        return rng.integers(0, 2, sizes).astype(dtype)
    return rng.standard_normal(sizes).astype(dtype)


def _nudged(array: np.ndarray) -> np.ndarray:
    return np.nextafter(array, array.dtype.type(np.inf)) if array.dtype.kind == "f" else array


def _distance(want: np.ndarray, got: np.ndarray) -> float:
    """Root mean square of the difference over that of what is wanted; inf where NaN differs."""
    if want.shape != got.shape or want.dtype != got.dtype:
        return float("inf")
    a, b = want.astype(np.float64), got.astype(np.float64)
    if not (np.isfinite(a) == np.isfinite(b)).all():
        return float("inf")
    finite = np.isfinite(a)
    size = np.sqrt(np.mean(a[finite] ** 2)) if finite.any() else 0.0
    apart = np.sqrt(np.mean((a - b)[finite] ** 2)) if finite.any() else 0.0
    return float(apart / size) if size > 0 else float(apart)


if __name__ == "__main__":
    onnx.load(sys.argv[2], load_external_data=False)
    print(json.dumps(difference(*sys.argv[1:])))
