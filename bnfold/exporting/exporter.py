"""From a torch module or a checkpoint to ONNX, every BatchNorm intact."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence

import onnx
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from bnfold.errors import ModelError, UsageError
from bnfold.exporting.check import flattened, refuse_difference
from bnfold.exporting.quiet import quiet
from bnfold.exporting.source import Form, Shape, Source, source_of
from bnfold.exporting.tidy import tidied
from bnfold.extras import require
from bnfold.training.checkpoint import Checkpoint
from bnfold.training.ensemble import Ensemble
from bnfold.training.run import Run

logger = logging.getLogger(__name__)

OPSETS = range(18, 22)  # torch's exporter goes no lower, ONNX Runtime 1.18 takes no higher
IR_VERSION = 10  # the newest that ONNX Runtime 1.18 takes
TWO_GB = 2**31 - 1
BATCH = "batch"
TRACED = 2  # a batch of 0 or 1 would be specialised


def export(
    source: nn.Module | Run | Checkpoint | Ensemble | str | os.PathLike[str],
    example_shape: Shape | Sequence[Shape] | None = None,
    *,
    opset: int = 18,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    weights: str | os.PathLike[str] | None = None,
    classes: int = 1000,
    normalize: tuple[Sequence[float], Sequence[float]] | None = None,
    dtype: str | None = None,
    rtol: float | None = None,
    seed: int = 0,
) -> onnx.ModelProto:
    """The network as ONNX: BatchNormalization nodes kept, dynamic batch, checked against torch.

    `example_shape` is one input without its batch axis, (3, 224, 224), or one such shape an input;
    runs and checkpoints know theirs. The network itself is neither moved nor changed, in train
    mode or not: what is exported is its eval mode. `rtol` is relative to the rms of an output.

    An ensemble (`bnfold.training.ensemble`) becomes one graph that gives class probabilities.

    A source may also name a network (package.module:callable, or a model of ours), built for so
    many `classes`, with the `weights` of a file. `normalize` puts (x - mean) / std in front, and
    `dtype` ("float16", "float64") is that of the whole graph, its input included.

    Raises:
        UsageError: a bad shape, opset or name, or a missing folder.
        ModelError: the network cannot be exported with its BatchNorms frozen, or exceeds 2 GB.
        CheckFailed: the exported graph does not compute what the module does.
        DataError: the checkpoint is damaged or belongs to another network.
        EnvironmentLacks: onnxscript is not installed.
    """
    if opset not in OPSETS:
        raise UsageError(f"opset {opset}", hint=f"from {OPSETS[0]} to {OPSETS[-1]}")
    require("onnxscript", "train")
    with source_of(source, example_shape, Form(weights, classes, normalize, dtype)) as found:
        norms, outputs = _dry_run(found)
        inputs = _names(input_names, len(found.shapes), "input")
        model = tidied(_traced(found, opset, inputs, _names(output_names, outputs, "output")))
        model.ir_version = min(model.ir_version, IR_VERSION)
        _refuse_unfit(model, norms)
        worst = refuse_difference(model, found, rtol=rtol, seed=seed)
    logger.info("exported %d BatchNorms, within %.1e of the module", norms, worst)
    return model


def _dry_run(source: Source) -> tuple[int, int]:
    """(BatchNorms that run, output tensors) of one forward pass in eval mode."""
    ran: list[str] = []
    handles = [
        layer.register_forward_hook(lambda *_: ran.append("norm"))
        for layer in source.model.modules()
        if isinstance(layer, _BatchNorm)
    ]
    try:
        with torch.inference_mode():
            out = source.model(*source.inputs(TRACED, 0))
    except Exception as cause:
        shapes = ", ".join(str(shape) for shape in source.shapes)
        raise UsageError(
            f"the network does not take inputs of shape {shapes}: {_first_line(cause)}",
            hint="give example_shape without the batch axis",
        ) from cause
    finally:
        for handle in handles:
            handle.remove()
    return len(ran), len(flattened(out))


def _traced(
    source: Source, opset: int, inputs: Sequence[str], outputs: Sequence[str]
) -> onnx.ModelProto:
    """PyTorch's exporter without its optimiser, which would fold the BatchNorms (all, measured)."""
    try:
        with quiet():
            program = torch.onnx.export(
                source.model,
                source.inputs(TRACED, 0),
                dynamo=True,
                optimize=False,
                external_data=False,
                verbose=False,
                opset_version=opset,
                input_names=list(inputs),
                output_names=list(outputs),
                dynamic_shapes=tuple({0: BATCH} for _ in inputs),
            )
            assert program is not None
            model = program.model_proto
    except Exception as cause:  # torch.export raises a wide range of types
        if "user-specified" in str(_root(cause)):
            raise _fixed_batch(_first_line(cause)) from cause
        raise ModelError(
            f"torch cannot export this network: {_first_line(cause)}",
            hint="torch.export follows no Python branch or loop that depends on a tensor's values",
        ) from cause
    assert isinstance(model, onnx.ModelProto)
    return model


def _refuse_unfit(model: onnx.ModelProto, norms: int) -> None:
    """What must hold of the graph, whatever the exporter did."""
    nodes = [node for node in model.graph.node if node.op_type == "BatchNormalization"]
    fixed = {tensor.name for tensor in model.graph.initializer}
    for node in nodes:
        training = any(a.name == "training_mode" and a.i for a in node.attribute)
        if training or len(node.output) > 1 or not fixed >= set(node.input[3:5]):
            raise ModelError(
                "this BatchNorm normalises by each batch, whatever the network's mode is",
                where=node.name,
                hint="give it running statistics and call eval() on it",
            )
    if len(nodes) < norms:
        raise ModelError(f"{norms} BatchNorms ran in torch, {len(nodes)} are in the graph")
    for value in model.graph.input:
        axes = value.type.tensor_type.shape.dim
        if not (axes and axes[0].dim_param):
            raise _fixed_batch(f"input '{value.name}'")
    if model.ByteSize() > TWO_GB:
        raise ModelError(f"{model.ByteSize():,} bytes do not fit one file of 2 GB")
    _refuse_invalid(model)


def _refuse_invalid(model: onnx.ModelProto) -> None:
    """A graph of the types and shapes that its opset allows: Conv-11 takes no bfloat16."""
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as cause:
        raise ModelError(
            f"the exported graph is not valid ONNX: {_first_line(cause)}",
            hint="export the network in float32: module.float()",
        ) from cause


def _names(given: Sequence[str] | None, count: int, stem: str) -> list[str]:
    """The names given, or `input`, or `input_0`, `input_1`, ..."""
    if given is None:
        return [stem] if count == 1 else [f"{stem}_{index}" for index in range(count)]
    if len(given) != count or len(set(given)) != count or not all(given):
        raise UsageError(f"{count} different {stem} names are needed, not {list(given)}")
    return list(given)


def _fixed_batch(where: str) -> ModelError:
    return ModelError(
        "the network fixes its batch size",
        where=where,
        hint="look for a number in place of the batch in view(), reshape() or expand()",
    )


def _root(cause: BaseException) -> BaseException:
    """Where a chain of exceptions began."""
    return cause if cause.__cause__ is None else _root(cause.__cause__)


def _first_line(cause: BaseException) -> str:
    """The root of a chain of exceptions, in one line."""
    root = _root(cause)
    lines = str(root).strip().splitlines() or [type(root).__name__]
    return " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
