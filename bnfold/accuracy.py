"""`evaluate`: held-out accuracy of a run or a checkpoint in torch, of a model in ONNX Runtime."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bnfold import onnxfile
from bnfold.errors import DataError, ModelError, UsageError
from bnfold.extras import require
from bnfold.show import show

if TYPE_CHECKING:
    from bnfold.training.dataset import Dataset
    from bnfold.training.evaluation import Evaluation

_BATCH = 64


def evaluate(
    target: str | os.PathLike[str],
    data: str | None = None,
    *,
    device: str = "auto",
    provider: str = "cpu",
) -> Evaluation:
    """The share of held-out images that `target` classifies rightly.

    Args:
        target: A run's or checkpoint's folder, or an ONNX file.
        data: A data set's name or folder; of a run, what it was trained on by default.
        device: Where torch computes.
        provider: What ONNX Runtime runs on.

    Raises:
        UsageError: no such target or data, or an ONNX file without `data`.
        ModelError: ONNX Runtime cannot load or run the model.
        DataError: the model's inputs or outputs do not fit the data, or something is damaged.
        EnvironmentLacks: torch, ONNX Runtime, the device or the provider is not there.
    """
    training = require("bnfold.training", "train")
    path = Path(target)
    if path.is_dir() or not path.exists():
        result: Evaluation = training.evaluate_torch(target, data, device=device)
        return result
    if data is None:
        raise UsageError("an ONNX file says nothing of its data", hint="--data NAME or a folder")
    dataset = training.load_data(data)
    share = _in_runtime(onnxfile.read(path), dataset, provider)
    found: Evaluation = training.Evaluation(share, len(dataset.test), dataset.name)
    return found


def _in_runtime(file: onnxfile.ModelFile, data: Dataset, provider: str) -> float:
    import torch

    from bnfold.latency import runtime
    from bnfold.latency.sessions import Setting, session

    where = show(file.path, 300)
    inputs = _fed(file)
    if len(inputs) != 1 or not file.model.graph.output:
        raise DataError(f"the model has {len(inputs)} inputs; images fill one", where=where)
    kind = _type(file, inputs[0])
    made = session(str(file.path), Setting(provider=runtime.provider_name(provider)))
    right = 0
    for start in range(0, len(data.test), _BATCH):
        chosen = torch.arange(start, min(start + _BATCH, len(data.test)))
        images, taken = data.test.take(chosen)
        labels = taken.numpy()
        scores = _run(made, inputs[0], data.inputs(images).numpy().astype(kind), where)
        if scores.ndim != 2 or scores.shape != (len(labels), data.classes):
            raise DataError(
                f"the first output has shape {scores.shape}, not (N, {data.classes})", where=where
            )
        right += int((scores.argmax(1) == labels).sum())
    return right / len(data.test)


def _fed(file: onnxfile.ModelFile) -> list[str]:
    constants = {tensor.name for tensor in file.model.graph.initializer}
    return [value.name for value in file.model.graph.input if value.name not in constants]


def _type(file: onnxfile.ModelFile, name: str) -> np.dtype[Any]:
    """The input's own type: images go into a float16 model as float16."""
    from onnx import helper

    value = next(v for v in file.model.graph.input if v.name == name)
    return helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)


def _run(made: Any, name: str, images: np.ndarray[Any, Any], where: str) -> np.ndarray[Any, Any]:
    """The first output; ONNX Runtime's errors have no common base but their module."""
    try:
        return np.asarray(made.run(None, {name: images})[0])
    except Exception as error:
        if not type(error).__module__.endswith("onnxruntime_pybind11_state"):
            raise
        raise ModelError(
            f"ONNX Runtime cannot run it on images of shape {images.shape}: {show(error, 300)}",
            where=where,
        ) from error
