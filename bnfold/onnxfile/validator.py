"""Is a model in memory sound? Our own checks, then onnx's, neither of which covers the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import onnx
import onnx.checker
from google.protobuf.message import DecodeError, EncodeError

from bnfold import child
from bnfold.errors import ModelError
from bnfold.onnxfile.external import IN_MEMORY, DataFiles
from bnfold.onnxfile.functions import check_functions
from bnfold.onnxfile.outline import nested_tensors, outline
from bnfold.onnxfile.structure import check_and_sort
from bnfold.onnxfile.tensors import check_data
from bnfold.show import show


def validate(model: onnx.ModelProto, where: str | None = None, data: DataFiles = IN_MEMORY) -> None:
    """Check names, scopes, order, tensors, versions, then run onnx's own checker.

    The order of nodes alone is no failure. The checker sees a copy without the tensors' data,
    which `check_data` has measured, or `data` when it opened its files: so a model may be larger
    than a message may be.

    Raises:
        ModelError: what is wrong; `where` is the file.
    """
    with located(where):
        _check_header(model)
        for tensor in nested_tensors(model):
            _check_tensor(tensor)
        for tensor in model.graph.initializer:
            if not data.keep(tensor):
                _check_tensor(tensor)
        bones = outline(model, _without_data)
        check_functions(bones)
        check_and_sort(bones)
        _run_checker(bones)


@contextmanager
def located(where: str | None) -> Iterator[None]:
    """Name the file in a ModelError that does not say where it was met."""
    try:
        yield
    except ModelError as error:
        error.where = error.where or where
        raise


def _check_tensor(tensor: onnx.TensorProto) -> None:
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        raise ModelError(
            f"the data of tensor '{show(tensor.name)}' lies in another file",
            hint="pass the model's path, so that the file can be found",
        )
    check_data(tensor)


def _check_header(model: onnx.ModelProto) -> None:
    if not model.ir_version or not (model.graph.node or model.graph.output):
        raise ModelError("this is not an ONNX model, or an empty one")
    if not model.graph.output:
        raise ModelError("the graph has no output")
    _check_opsets(model.opset_import)
    for function in model.functions:
        _check_opsets(function.opset_import)


def _check_opsets(imports: Iterable[onnx.OperatorSetIdProto]) -> None:
    newest = onnx.defs.onnx_opset_version()
    versions: dict[str, int] = {}
    for opset in imports:
        domain = "" if opset.domain == "ai.onnx" else opset.domain
        if versions.setdefault(domain, opset.version) != opset.version:
            raise ModelError(f"two versions of the operator set '{show(domain)}' are imported")
    if not 0 <= versions.get("", newest) <= newest:
        raise ModelError(
            f"operator set {versions['']} is unknown; onnx {onnx.__version__} ends at {newest}",
            hint="pip install -U onnx",
        )


def _without_data(source: onnx.TensorProto, target: onnx.TensorProto) -> None:
    """Name and type; no elements, hence no data."""
    if not isinstance(source.name, str):
        raise ModelError(f"the name of a tensor is not UTF-8 text: {show(source.name)}")
    target.name = source.name
    target.data_type = source.data_type
    target.dims.append(0)


def _run_checker(model: onnx.ModelProto) -> None:
    try:
        with child.native_call(), child.little_memory():
            onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise ModelError(f"onnx's checker refuses it: {show(' '.join(lines), 300)}") from error
    except (DecodeError, EncodeError, ValueError, TypeError, RuntimeError, MemoryError) as error:
        raise ModelError(f"onnx's checker cannot read it: {show(error, 300)}") from error
