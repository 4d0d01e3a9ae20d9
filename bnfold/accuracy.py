"""`evaluate`: held-out accuracy of a run or a checkpoint in torch, of a model in ONNX Runtime."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bnfold import onnxfile
from bnfold.errors import DataError, UsageError
from bnfold.extras import require
from bnfold.leftovers import temporary_folder
from bnfold.show import show

if TYPE_CHECKING:
    import torch

    from bnfold.training.crops import Crops
    from bnfold.training.dataset import Dataset
    from bnfold.training.voting import Evaluation

_BATCH = 64


def evaluate(
    target: str | os.PathLike[str],
    data: str | None = None,
    *,
    device: str = "auto",
    provider: str = "cpu",
    crops: str = "single",
) -> Evaluation:
    """The share of held-out images that `target` classifies rightly.

    Args:
        target: A run's or checkpoint's folder, or an ONNX file.
        data: A data set's name or folder; of a run, what it was trained on by default.
        device: Where torch computes.
        provider: What ONNX Runtime runs on.
        crops: Whose class probabilities are averaged: single, shifted (9), shifted-flipped (18),
            or googlenet (144, of image files).

    Raises:
        UsageError: no such target, data or crops, or an ONNX file without `data`.
        ModelError: ONNX Runtime cannot load the model.
        DataError: the model's inputs or outputs do not fit the data, or something is damaged.
        EnvironmentLacks: torch, ONNX Runtime, the device or the provider is not there.
    """
    training = require("bnfold.training", "train")
    if crops not in list(training.Crops):
        raise UsageError(f"unknown crops '{crops}'", hint=f"one of {', '.join(training.Crops)}")
    wanted = training.Crops(crops)
    path = Path(target)
    if path.is_dir() or not path.exists():
        result: Evaluation = training.evaluate_torch(target, data, device=device, crops=wanted)
        return result
    if data is None:
        raise UsageError("an ONNX file says nothing of its data", hint="--data NAME or a folder")
    file = onnxfile.read(path)
    dataset = training.load_data(data, **_side(file))
    return _in_runtime(file, dataset, provider, wanted)


def _in_runtime(file: onnxfile.ModelFile, data: Dataset, provider: str, crops: Crops) -> Evaluation:
    import torch

    from bnfold.training.voting import judged, votes
    from bnfold.verification.runtime import Runtime
    from bnfold.verification.subject import subject

    where = show(file.path, 300)
    inputs = _fed(file)
    if len(inputs) != 1 or not file.model.graph.output:
        raise DataError(f"the model has {len(inputs)} inputs; images fill one", where=where)
    with (
        temporary_folder() as folder,
        Runtime(provider, threads=1) as runtime,
        subject(file.path, where, folder) as found,
    ):
        key = runtime.load(found, "all")
        kind, output = _type(file, inputs[0]), file.model.graph.output[0].name

        def predict(images: torch.Tensor) -> torch.Tensor:
            fed = images.numpy().astype(kind)
            try:
                scores = runtime.run(key, {inputs[0]: fed})[output]
            except DataError as error:
                what = f"it does not run on images of shape {fed.shape}: {error.message}"
                raise DataError(what, where=where) from error
            if scores.shape != (len(images), data.classes):
                what = f"the first output has shape {scores.shape}, not (N, {data.classes})"
                raise DataError(what, where=where)
            return torch.from_numpy(scores.astype(np.float64))

        score = judged(votes(predict, data, data.test, crops=crops, batch=_BATCH), data.name, crops)
        runtime.drop(key)
    return score


def _side(file: onnxfile.ModelFile) -> dict[str, int]:
    """The size of images to read from files, where the model's input says one."""
    shapes = {value.name: value.type.tensor_type.shape.dim for value in file.model.graph.input}
    fixed = [shapes[name][2].dim_value for name in _fed(file)[:1] if len(shapes[name]) == 4]
    return {"size": fixed[0]} if fixed and fixed[0] else {}


def _fed(file: onnxfile.ModelFile) -> list[str]:
    constants = {tensor.name for tensor in file.model.graph.initializer}
    return [value.name for value in file.model.graph.input if value.name not in constants]


def _type(file: onnxfile.ModelFile, name: str) -> np.dtype[Any]:
    """The input's own type: images go into a float16 model as float16."""
    from onnx import helper

    value = next(v for v in file.model.graph.input if v.name == name)
    return helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
