"""What a model is made of: who wrote it, its number types, and folds that others made before."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import onnx

from bnfold.onnxfile.outline import tensors
from bnfold.onnxfile.tensors import nbytes

# torch's older exporter names a constant so where its own folding made it
_TORCH_MADE = re.compile(r"onnx::Conv_\d+")
_FUSED = ("FusedConv", "FusedGemm", "FusedMatMul")


@dataclass(frozen=True, slots=True)
class Share:
    """The tensors of one number type: how many, their bytes, and the part of all bytes."""

    type: str
    tensors: int
    bytes: int
    share: float


@dataclass(frozen=True, slots=True)
class Makeup:
    """Producer, opsets by domain, number types by size, and traces of earlier folding."""

    producer: str
    opsets: dict[str, int]
    types: tuple[Share, ...]
    folded_before: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data."""
        return asdict(self)


def makeup(model: onnx.ModelProto) -> Makeup:
    """What a model is made of, from names and headers alone."""
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for tensor in tensors(model):
        name = onnx.TensorProto.DataType.Name(tensor.data_type).lower()
        counts[name] += 1
        sizes[name] += 0 if name == "string" else nbytes(tensor)
    total = sum(sizes.values()) or 1
    types = (Share(n, counts[n], size, size / total) for n, size in sizes.most_common())
    producer = f"{model.producer_name} {model.producer_version}".strip()
    opsets = {o.domain or "ai.onnx": o.version for o in model.opset_import}
    return Makeup(producer, opsets, tuple(types), tuple(_traces(model)))


def _traces(model: onnx.ModelProto) -> list[str]:
    """Sentences on folds that the exporter, a runtime or bnfold has made already."""
    found = []
    weights = {n.input[1] for n in model.graph.node if n.op_type == "Conv" and len(n.input) > 1}
    made = sum(bool(_TORCH_MADE.fullmatch(name)) for name in weights)
    if made:
        found.append(f"torch folded into {made} Conv weights when it exported")
    fused = sum(
        n.domain.startswith("com.microsoft") and n.op_type in _FUSED for n in model.graph.node
    )
    if fused:
        found.append(f"ONNX Runtime fused {fused} nodes: this is a file that it optimised")
    ours = {p.key: p.value for p in model.metadata_props}
    if "pkg.bnfold.folded" in ours:
        found.append(f"bnfold folded {ours['pkg.bnfold.folded']} maps")
    return found
