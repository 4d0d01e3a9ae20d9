"""Fold a synthetic model of several GB in external data; report peak memory and time.

`python benchmarks/large_model.py --folder DIR --gigabytes 3` writes the model, loads, checks and
saves it with onnx in one process, folds it in another, prints both peaks and their ratio, and
deletes all.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

WIDTH = 4096  # channels: a 1x1 Conv of float32 takes 64 MiB
LOAD_CHECK_SAVE = """
import onnx
model = onnx.load(source)
onnx.checker.check_model(source)
onnx.save(model, target, save_as_external_data=True, location="out.data")
"""
FOLD = """
from bnfold_cli.main import run
assert run(["fold", source, "-o", target]) == 0
"""


def write_model(path: Path, gigabytes: float) -> int:
    """Conv -> BatchNorm -> Relu in a row; the weights go to the data file one at a time."""
    count = max(1, round(gigabytes * 1e9 / (4 * WIDTH * WIDTH)))
    rng = np.random.default_rng(0)
    nodes, tensors, x = [], [], "x"
    with path.with_suffix(".data").open("wb") as data:
        for i in range(count):
            weight = TensorProto(name=f"w{i}", data_type=1, dims=(WIDTH, WIDTH, 1, 1))
            weight.data_location = TensorProto.EXTERNAL
            entries = {"location": data_name(path), "offset": data.tell(), "length": 4 * WIDTH**2}
            for key, value in entries.items():
                weight.external_data.add(key=key, value=str(value))
            data.write(rng.standard_normal(WIDTH * WIDTH, np.float32).tobytes())
            tensors.append(weight)
            parts = [f"{part}{i}" for part in ("gamma", "beta", "mean", "var")]
            for name in parts:
                drawn = rng.uniform(0.5, 2.0, WIDTH).astype(np.float32)
                tensors.append(onnx.numpy_helper.from_array(drawn, name))
            nodes.append(helper.make_node("Conv", [x, f"w{i}"], [f"c{i}"]))
            nodes.append(helper.make_node("BatchNormalization", [f"c{i}", *parts], [f"n{i}"]))
            nodes.append(helper.make_node("Relu", [f"n{i}"], [f"r{i}"]))
            x = f"r{i}"
    info = helper.make_tensor_value_info
    shape = ["N", WIDTH, 1, 1]
    graph = helper.make_graph(nodes, "large", [info("x", 1, shape)], [info(x, 1, shape)], tensors)
    opset = [helper.make_opsetid("", 17)]
    path.write_bytes(
        helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    )
    return count


def data_name(path: Path) -> str:
    """The data file beside the model."""
    return path.with_suffix(".data").name


def peak(code: str, source: Path, target: Path) -> dict[str, float]:
    """Run code in a process of its own; its peak memory in GB and its time."""
    report = "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    names = f"source, target = {str(source)!r}, {str(target)!r}\n"
    since = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", names + code + report], check=True, capture_output=True, text=True
    )
    taken = time.perf_counter() - since
    return {"peak_gb": int(done.stdout.split()[-1]) * 1024 / 1e9, "seconds": round(taken, 1)}


def main() -> None:
    """Write, measure both, delete."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--gigabytes", type=float, default=3.0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        source, target = Path(folder) / "large.onnx", Path(folder) / "out.onnx"
        count = write_model(source, args.gigabytes)
        plain = peak(LOAD_CHECK_SAVE, source, target)
        folded = peak(FOLD, source, target.with_name("folded.onnx"))
    result = {"batchnorms": count, "load_check_save": plain, "fold": folded}
    result["ratio_of_peaks"] = folded["peak_gb"] / plain["peak_gb"]
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
