"""Export: `export(module | run | checkpoint, example_shape) -> onnx.ModelProto`; needs torch."""

from bnfold.exporting.exporter import export

__all__ = ["export"]
