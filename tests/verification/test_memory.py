"""Weights in external data stay in their files while a model is verified."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto

import bnfold
from bnfold import onnxfile
from tests.build import make_model, node, value

WIDTH, LAYERS = 2048, 16  # 16 MiB a weight, 256 MiB in all

JUDGED = """
import json, resource, sys
import numpy as np
import bnfold

def peak(who):
    return resource.getrusage(who).ru_maxrss * 1024

feeds = {"x": np.ones((1, 64), np.float32)}
small = bnfold.verify(*sys.argv[1:3], inputs=feeds)  # whatever is loaded for any model is there now
before = peak(resource.RUSAGE_SELF)
feeds = {"x": np.random.default_rng(0).standard_normal((1, int(sys.argv[5])), np.float32)}
large = bnfold.verify(*sys.argv[3:5], inputs=feeds)
print(json.dumps({"ok": small.ok and large.ok, "more": peak(resource.RUSAGE_SELF) - before}))
"""


def external(path: Path, width: int, layers: int) -> int:
    """Gemm -> BatchNormalization -> Relu in a row, all weights in one data file; their bytes."""
    rng = np.random.default_rng(0)
    nodes, tensors, x = [], [], "x"
    with path.with_suffix(".data").open("wb") as data:

        def put(name: str, array: np.ndarray) -> None:
            one = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=array.shape)
            one.data_location = TensorProto.EXTERNAL
            place = {"location": path.stem + ".data", "offset": data.tell(), "length": array.nbytes}
            for key, entry in place.items():
                one.external_data.add(key=key, value=str(entry))
            data.write(array.tobytes())
            tensors.append(one)

        for i in range(layers):
            scale = np.float32(np.sqrt(2 / width))
            put(f"w{i}", rng.standard_normal((width, width), np.float32) * scale)
            names = [f"{part}{i}" for part in ("gamma", "beta", "mean", "var")]
            for name in names:
                put(name, rng.uniform(0.5, 1.5, width).astype(np.float32))
            nodes.append(node("Gemm", [x, f"w{i}"], f"g{i}"))
            nodes.append(node("BatchNormalization", [f"g{i}", *names], f"n{i}"))
            nodes.append(node("Relu", [f"n{i}"], f"r{i}"))
            x = f"r{i}"
        size = data.tell()
    made = make_model(nodes, [value("x", ["n", width])], [value(x, ["n", width])], tensors)
    path.write_bytes(made.SerializeToString())
    return size


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, int]:
    """A model of 256 MiB and its fold, weights of both in external data."""
    folder = tmp_path_factory.mktemp("large")
    size = external(folder / "m.onnx", WIDTH, LAYERS)
    onnxfile.write(bnfold.fold(folder / "m.onnx").model, folder / "f.onnx", external=True)
    return folder / "m.onnx", folder / "f.onnx", size


def test_memory_is_bounded(large: tuple[Path, Path, int], tmp_path: Path) -> None:
    """The original folded again lies in memory once, and one weight in float64 a few times.

    Both models, that fold and its jittered copy in memory would be five times the weights.
    """
    pytest.importorskip("onnxruntime")
    external(tmp_path / "s.onnx", 64, 1)
    onnxfile.write(bnfold.fold(tmp_path / "s.onnx").model, tmp_path / "t.onnx")
    words = [tmp_path / "s.onnx", tmp_path / "t.onnx", *large[:2], WIDTH]
    done = subprocess.run(
        [sys.executable, "-c", JUDGED, *map(str, words)], check=True, capture_output=True, text=True
    )
    told = json.loads(done.stdout)
    weight = large[2] / LAYERS
    assert told["ok"]
    assert told["more"] < large[2] + 12 * weight
