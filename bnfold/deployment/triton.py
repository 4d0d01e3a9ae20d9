"""Triton's model repository: NAME/config.pbtxt beside NAME/1/model.onnx.

Source: triton-inference-server, model_configuration.md and onnxruntime_backend's README.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from onnx import TensorProto

from bnfold.errors import UsageError
from bnfold.show import show
from bnfold.verification.subject import Dim, Port

_TYPES: Mapping[int, str] = {
    TensorProto.BOOL: "TYPE_BOOL",
    TensorProto.UINT8: "TYPE_UINT8",
    TensorProto.UINT16: "TYPE_UINT16",
    TensorProto.UINT32: "TYPE_UINT32",
    TensorProto.UINT64: "TYPE_UINT64",
    TensorProto.INT8: "TYPE_INT8",
    TensorProto.INT16: "TYPE_INT16",
    TensorProto.INT32: "TYPE_INT32",
    TensorProto.INT64: "TYPE_INT64",
    TensorProto.FLOAT16: "TYPE_FP16",
    TensorProto.FLOAT: "TYPE_FP32",
    TensorProto.DOUBLE: "TYPE_FP64",
    TensorProto.STRING: "TYPE_STRING",
    TensorProto.BFLOAT16: "TYPE_BF16",
}
_TENSORRT = """optimization {
  execution_accelerators {
    gpu_execution_accelerator [ { name: "tensorrt" } ]
  }
}
"""


def model_name(stem: str) -> str:
    """A name that a URL and a folder take."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", stem).strip("._") or "model"


def config(
    name: str,
    inputs: Sequence[Port],
    outputs: Sequence[Port],
    *,
    provider: str,
    most: int,
    instances: int = 1,
) -> str:
    """The text of `config.pbtxt`; `most` is the largest batch that Triton may put together.

    Where an input or output has no open batch axis, Triton batches nothing: max_batch_size 0.

    Raises:
        UsageError: an element type that Triton does not carry.
    """
    batched = all(port.dims and not isinstance(port.dims[0], int) for port in (*inputs, *outputs))
    kind = "KIND_CPU" if provider == "cpu" else "KIND_GPU"
    parts = [
        f'name: "{name}"\nbackend: "onnxruntime"\nmax_batch_size: {most if batched else 0}\n',
        _tensors("input", inputs, skip=int(batched)),
        _tensors("output", outputs, skip=int(batched)),
        "dynamic_batching { }\n" if batched else "",
        f"instance_group [ {{ count: {instances} kind: {kind} }} ]\n",
        _TENSORRT if provider == "tensorrt" else "",
    ]
    return "".join(parts)


def _tensors(what: str, ports: Sequence[Port], *, skip: int) -> str:
    rows = ",\n".join(f"  {{ {_tensor(port, skip)} }}" for port in ports)
    return f"{what} [\n{rows}\n]\n"


def _tensor(port: Port, skip: int) -> str:
    if port.elem_type not in _TYPES:
        kind = TensorProto.DataType.Name(port.elem_type)
        raise UsageError(f"Triton carries no {kind}", where=show(port.name), hint="--layout plain")
    name = port.name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'name: "{name}" data_type: {_TYPES[port.elem_type]} {_dims((port.dims or ())[skip:])}'


def _dims(dims: Sequence[Dim]) -> str:
    if not dims:  # Triton wants at least one: a scalar travels as one element
        return "dims: [ 1 ] reshape { shape: [ ] }"
    sizes = ", ".join(str(dim) if isinstance(dim, int) else "-1" for dim in dims)
    return f"dims: [ {sizes} ]"
