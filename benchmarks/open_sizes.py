"""Sizes for inputs that leave them open beyond the batch: 64x64 images, 512 samples."""

from __future__ import annotations

from pathlib import Path

import onnx

OPEN_2D, OPEN_1D = 64, 512


def open_sizes(path: Path) -> dict[str, tuple[int, ...]]:
    """Input -> its sizes without the batch, where the file does not fix them."""
    graph = onnx.load(path, load_external_data=False).graph
    known = {t.name for t in graph.initializer}
    shapes = {}
    for value in graph.input:
        dims = [d.dim_value for d in value.type.tensor_type.shape.dim]
        if value.name not in known and any(d < 1 for d in dims[1:]):
            size = OPEN_2D if len(dims) == 4 else OPEN_1D
            shapes[value.name] = tuple(d if d > 0 else size for d in dims[1:])
    return shapes
