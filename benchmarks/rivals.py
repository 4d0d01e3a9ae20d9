"""The optimisers that people use, each by its own defaults: `python rivals.py TOOL IN OUT`.

Runs inside the rivals' environment, which has neither bnfold nor torch:
`pip install onnx onnxruntime onnxslim onnxsim onnxoptimizer onnxscript`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path


def onnxscript(source: str, target: str) -> None:
    """The optimizer that torch's exporter runs by default."""
    import onnx
    import onnxscript.optimizer

    onnx.save(onnxscript.optimizer.optimize(onnx.load(source)), target)


def onnxslim(source: str, target: str) -> None:
    """`slim` with its defaults."""
    import onnx
    import onnxslim

    onnx.save(onnxslim.slim(onnx.load(source)), target)


def onnxsim(source: str, target: str) -> None:
    """`simplify` with its defaults."""
    import onnx
    import onnxsim

    model, _ = onnxsim.simplify(onnx.load(source))
    onnx.save(model, target)


def onnxoptimizer(source: str, target: str) -> None:
    """Every fusing and eliminating pass."""
    import onnx
    import onnxoptimizer

    passes = onnxoptimizer.get_fuse_and_elimination_passes()
    onnx.save(onnxoptimizer.optimize(onnx.load(source), passes), target)


def onnxruntime(source: str, target: str) -> None:
    """The graph that ONNX Runtime makes for itself, saved at level EXTENDED."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = target
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    model: str | bytes = source
    if Path(f"{source}.data").exists():  # else the saved graph looks for the weights beside itself
        import onnx

        model = onnx.load(source).SerializeToString()
    onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def copy(source: str, target: str) -> None:
    """No rival: what loading, checking and saving with onnx costs by itself."""
    import onnx

    model = onnx.load(source)
    onnx.checker.check_model(model)
    onnx.save(model, target)


OPTIMISERS: dict[str, Callable[[str, str], None]] = {
    "onnxscript": onnxscript,
    "onnxslim": onnxslim,
    "onnxsim": onnxsim,
    "onnxoptimizer": onnxoptimizer,
    "onnxruntime": onnxruntime,
}

if __name__ == "__main__":
    tool, source, target = sys.argv[1:]
    {**OPTIMISERS, "copy": copy}[tool](source, target)
