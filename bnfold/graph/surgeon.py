"""The door for graphs held by other libraries: onnx_graphsurgeon, onnx_ir, torch.onnx.

They come in as a ModelProto of their own and, a graphsurgeon Graph, go out again as one. None of
these libraries is imported unless one of its objects is given.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import onnx

from bnfold.errors import ModelError

if TYPE_CHECKING:
    import onnx_graphsurgeon

# graphsurgeon stamps the newest IR it knows, which ONNX Runtime may refuse; 10 belongs to opset 21
_MODERATE_IR = 10


def is_surgeon_graph(source: Any) -> bool:
    """Whether it is an onnx_graphsurgeon.Graph."""
    gs = sys.modules.get("onnx_graphsurgeon")
    return gs is not None and isinstance(source, gs.Graph)


def to_proto(source: Any) -> onnx.ModelProto | None:
    """A ModelProto of its own from a Graph, an onnx_ir.Model or an ONNXProgram; else None.

    Raises:
        ModelError: the library cannot turn its object into a model.
    """
    try:
        if is_surgeon_graph(source):
            return _from_surgeon(source)
        ir = sys.modules.get("onnx_ir")
        if ir is not None and isinstance(source, ir.Model):
            return ir.to_proto(source)  # type: ignore[no-any-return]
        program = getattr(source, "model_proto", None)  # torch.onnx.ONNXProgram
        return program if isinstance(program, onnx.ModelProto) else None
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise ModelError(f"{type(source).__name__} cannot be written as ONNX: {error}") from error


def _from_surgeon(graph: onnx_graphsurgeon.Graph) -> onnx.ModelProto:
    import onnx_graphsurgeon as gs

    model: onnx.ModelProto = gs.export_onnx(graph.copy())
    opset = max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=0)
    if opset <= 21:
        model.ir_version = min(model.ir_version, _MODERATE_IR)
    return model


def to_surgeon(model: onnx.ModelProto) -> onnx_graphsurgeon.Graph:
    """The graphsurgeon Graph of a model."""
    import onnx_graphsurgeon as gs

    return gs.import_onnx(model)
