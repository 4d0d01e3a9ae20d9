"""A tenth of `benchmarks/planted_faults.py`, on the smallest real networks at hand."""

from __future__ import annotations

from pathlib import Path

import pytest

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
