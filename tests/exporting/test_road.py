"""train -> calibrate -> export on a small net, from each form in which a run can be given."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from onnx.reference import ReferenceEvaluator

from bnfold.exporting import export
from bnfold.exporting.source import Form, source_of
from bnfold.training import calibrate, evaluate_torch, load_checkpoint, load_data, train
from tests.training.small import config


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train(config(tmp_path_factory.mktemp("runs") / "run", model="digits", epochs=6))


def test_train_calibrate_export(run):
    calibrated = calibrate(run.folder, estimator="paper", batches=3, device="cpu")
    model = export(run.folder)
    assert sum(node.op_type == "BatchNormalization" for node in model.graph.node) == 7
    data = load_data("digits")
    logits = ReferenceEvaluator(model).run(None, {"input": data.inputs(data.test.images).numpy()})[
        0
    ]
    share = float(np.mean(np.argmax(logits, 1) == data.test.labels.numpy()))
    assert share == pytest.approx(calibrated.accuracy, abs=1e-9)
    assert share == pytest.approx(evaluate_torch(run.folder).accuracy, abs=1e-9)


def test_run_checkpoint_path_and_module_are_the_same(run):
    forms = [
        (load_checkpoint(run.checkpoint), None),
        (str(run.folder), None),
        (run.checkpoint, None),
        (load_checkpoint(run.folder).model, run.shape),
    ]
    states = []
    for given, shape in forms:
        with source_of(given, shape, Form()) as source:
            assert source.shapes == ((1, 8, 8),)
            states.append(source.model.state_dict())
    assert all(torch.equal(state[k], states[0][k]) for state in states for k in states[0])


def test_a_run_is_taken_as_it_is(run):
    with source_of(run, None, Form()) as source:
        assert source.model is not run.model
        assert source.shapes == (run.shape,)
