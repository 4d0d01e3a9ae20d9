"""Several checkpoints as one network, and one graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from onnx.reference import ReferenceEvaluator

from bnfold.errors import DataError, UsageError
from bnfold.exporting import export
from bnfold.training import ensemble, load_checkpoint, train
from tests.training.small import config


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("runs")
    made = [config(root / f"{seed}", seed=seed, epochs=1) for seed in (0, 1)]
    return [train(one).folder for one in made]


def test_the_mean_of_the_members_probabilities(runs):
    whole = ensemble(runs)
    x = torch.randn(7, *whole.shape, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        parts = [load_checkpoint(run).model(x).softmax(1) for run in runs]
        assert torch.allclose(whole.model(x), (parts[0] + parts[1]) / 2)
    assert not torch.allclose(*parts, atol=1e-2)


def test_one_graph_with_every_norm_and_names_of_its_own(runs):
    whole = ensemble(runs)
    model = export(whole)
    graph = model.graph
    assert sum(node.op_type == "BatchNormalization" for node in graph.node) == 6
    names = [node.name for node in graph.node] + [tensor.name for tensor in graph.initializer]
    assert len(set(names)) == len(names)
    for member in ("members.0.", "members.1."):
        assert any(t.name.startswith(member) for t in graph.initializer)
    x = torch.randn(3, *whole.shape, generator=torch.Generator().manual_seed(1))
    got = np.asarray(ReferenceEvaluator(model).run(None, {"input": x.numpy()})[0])
    assert np.allclose(got.sum(1), 1, atol=1e-6)
    assert np.allclose(got, whole.model(x).detach().numpy(), atol=1e-6)


@pytest.mark.parametrize(("changes", "told"), [
    ({"data": "fake:1x8x8:7", "steps": 1}, "classes: 10"),
    ({"data": "fake:1x9x8:10", "steps": 1}, r"shape: \[1, 8, 8\]"),
    ({"binarize": True}, "binarize: False"),
], ids=["classes", "shape", "scaling"])  # fmt: skip
def test_members_of_other_data(runs, tmp_path, changes, told):
    other = train(config(tmp_path / "other", **{"epochs": 1, "shift": 0, **changes}))
    with pytest.raises(DataError, match=f"disagree on {told}"):
        ensemble([runs[0], other.folder])


def test_none(tmp_path):
    with pytest.raises(UsageError):
        ensemble([])
    with pytest.raises(UsageError, match="no such run"):
        ensemble([tmp_path / "none"])
