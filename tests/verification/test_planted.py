"""A tenth of `benchmarks/planted_faults.py`, on the smallest real networks at hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import bnfold
from bnfold.ops64 import evaluate
from tests.build import make_model, value
from tests.verification import nets

pytest.importorskip("onnxruntime")
MODELS = Path(__file__).resolve().parents[3] / "shared" / "models"


@pytest.mark.skipif(not MODELS.is_dir(), reason="no ../shared/models beside the checkout")
@pytest.mark.parametrize("place", [0, 1])
def test_a_tenth_of_the_planted_faults(place: int) -> None:
    from benchmarks.planted_faults import LEAST, cases

    names = ("mnist_resnet_torchscript_raw", "mnist_resnet_tied_identity")
    path = MODELS / f"{names[place]}.onnx"
    judged = 0
    for k, (condition, fault, judge) in enumerate(cases(path)):
        if k % 10 != 5 * place:
            continue
        row = judge()
        assert "error" not in row, row
        judged += 1
        said = f"{condition}: {fault or 'correct'}: {row['gates']}"
        if not fault:
            assert row["ok"], said
        elif float(row["moved"]) >= LEAST:
            assert not row["ok"], said
            assert row["named"] == row["site"], said
    assert judged >= 5


def test_a_shift_lost_at_the_border_is_whole_inside() -> None:
    from benchmarks.faults import border_shift_lost, sites

    net = nets.model(nets.pair().original, norms=True)
    folded = bnfold.fold(net).model
    site = next(site for site in sites(net, folded) if site.output == "depth.y")
    wrong = border_shift_lost(folded, site)
    x = {"x": np.random.default_rng(0).normal(size=(2, 3, 16, 16))}
    right = evaluate(folded, x, keep=[site.output])[site.output]
    moved = np.abs(evaluate(wrong.model, x, keep=[site.output])[site.output] - right)
    assert moved[..., 1:-1, 1:-1].max() < 1e-6
    lost = np.abs(site.fold(site.s)[1])[:, None] / 3
    np.testing.assert_allclose(moved[:, :, 0, 1:-1].max(axis=(0, 2)), lost[:, 0], rtol=1e-3)


def test_swapped_branches_are_of_a_concat_of_feature_maps() -> None:
    from onnx import helper

    from benchmarks.faults import branches_swapped

    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Concat", ["s", "s"], ["sizes"], axis=-1),
        helper.make_node("Concat", ["x", "a"], ["y"], axis=1),
    ]
    model = make_model(nodes, [value("x", [1, 2, 4])], [value("y", [1, 4, 4])])
    wrong = branches_swapped(model, model, np.random.default_rng(0))
    assert wrong.tensor == "y"
    assert list(wrong.model.graph.node[3].input) == ["a", "x"]
