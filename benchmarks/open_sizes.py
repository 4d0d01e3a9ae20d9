"""Sizes for inputs that leave them open beyond the batch: 64x64 images, 512 samples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnx

OPEN_2D, OPEN_1D = 64, 512


def open_sizes(path: Path) -> dict[str, tuple[int, ...]]:
    """Input -> its sizes without the batch, where the file does not fix them."""
    graph = onnx.load(path, load_external_data=False).graph
    known = {t.name for t in graph.initializer}
    fed = [value for value in graph.input if value.name not in known]
    dims = {value.name: value.type.tensor_type.shape.dim for value in fed}
    batch = {d[0].dim_param for d in list(dims.values())[:1] if d} - {""}
    return {name: _sizes(own) for name, own in dims.items() if _is_open(own, batch)}


def _is_open(dims: Sequence[onnx.TensorShapeProto.Dimension], batch: set[str]) -> bool:
    """A size beyond the first that is neither fixed nor the batch again, as states have it."""
    return any(d.dim_value < 1 and d.dim_param not in batch for d in dims[1:])


def _sizes(dims: Sequence[onnx.TensorShapeProto.Dimension]) -> tuple[int, ...]:
    size = OPEN_2D if len(dims) == 4 else OPEN_1D
    return tuple(d.dim_value if d.dim_value > 0 else size for d in dims[1:])
