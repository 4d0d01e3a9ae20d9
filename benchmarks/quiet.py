"""One channel of an output made a million times quieter, and faults in that channel alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import helper, numpy_helper, shape_inference

import bnfold
from benchmarks.faults import Planted

QUIET = 1e-6
# what becomes of the quiet channel's scale q and shift t
FAULTS = {
    "quiet scale off by 1e-4": lambda q, t: (q * (1 + 1e-4), t),
    "quiet scale off by a tenth": lambda q, t: (q * 1.1, t),
    "quiet scale of the wrong sign": lambda q, t: (-q, t),
    "quiet shift lost": lambda q, t: (q, 0 * t),
    "quiet shift of the wrong sign": lambda q, t: (q, -t),
}


def output_of(model: onnx.ModelProto) -> tuple[str, int, int] | None:
    """Name, channels and rank of the first float output that has channels."""
    for port in shape_inference.infer_shapes(model).graph.output:
        kind = port.type.tensor_type
        dims = [dim.dim_value for dim in kind.shape.dim]
        if kind.elem_type == onnx.TensorProto.FLOAT and len(dims) > 1 and dims[1] > 1:
            return port.name, dims[1], len(dims)
    return None


def quiet(model: onnx.ModelProto, fault: str = "") -> onnx.ModelProto | None:
    """That output times q, plus t, per channel, one of which is quiet; None without one."""
    found = output_of(model)
    if found is None:
        return None
    name, channels, rank = found
    out = onnx.ModelProto()
    out.CopyFrom(model)
    rng = np.random.default_rng(0)
    q, t = np.ones(channels), rng.normal(size=channels)
    channel = int(rng.integers(channels))
    q[channel], t[channel] = q[channel] * QUIET, t[channel] * QUIET
    if fault:
        q[channel], t[channel] = FAULTS[fault](q[channel], t[channel])
    for node in out.graph.node:
        node.input[:] = [f"{name}.loud" if port == name else port for port in node.input]
        node.output[:] = [f"{name}.loud" if port == name else port for port in node.output]
    for part, values in (("q", q), ("t", t)):
        wide = values.reshape(1, -1, *[1] * (rank - 2)).astype(np.float32)
        out.graph.initializer.append(numpy_helper.from_array(wide, f"{name}.{part}"))
    scaled = f"{name}.scaled"
    out.graph.node.append(helper.make_node("Mul", [f"{name}.loud", f"{name}.q"], [scaled]))
    out.graph.node.append(helper.make_node("Add", [scaled, f"{name}.t"], [name]))
    return out


def planted(model: onnx.ModelProto) -> Iterator[tuple[str, Planted]]:
    """Each fault in the fold of the quiet model, whose record is taken away; "" is none."""
    for fault in ("", *FAULTS):
        wrong = quiet(model, fault)
        if wrong is None:
            return
        candidate = bnfold.fold(wrong).model
        del candidate.metadata_props[:]
        made = {name for node in candidate.graph.node for name in node.output}
        first = wrong.graph.node[-2].output[0]  # absorbed, where it has gone
        at = first if "scale" in fault and first in made else wrong.graph.node[-1].output[0]
        yield fault, Planted(candidate, at)
