"""Weights that lie in data files: folded from there, to the same constants as from memory."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

import onnx
import pytest

import bnfold
from bnfold.onnxfile import external
from tests.folding.cases import scopes
from tests.folding.cases.case import Case
from tests.properties.dress import DRESSES
from tests.properties.fuzz import model_of

STEERING = 64  # bytes: axes, pads and sizes come into memory as they do by the true bound


def from_files(model: onnx.ModelProto, options: bnfold.Options, folder: Path) -> bnfold.FoldResult:
    """Fold it with every tensor that may lie in a file in one."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    path = folder / "m.onnx"
    onnx.save(copy, path, save_as_external_data=True, location="m.data", size_threshold=0)
    with patch.object(external, "_SMALL", STEERING):
        return bnfold.fold(path, options)


def assert_same(model: onnx.ModelProto, options: bnfold.Options, folder: Path) -> None:
    found, wanted = from_files(model, options, folder), bnfold.fold(model, options)
    assert found.model.graph == wanted.model.graph
    assert found.report == wanted.report


@pytest.mark.parametrize("seed", range(0, 96, 3))
def test_random_graph(seed: int, tmp_path: Path) -> None:
    dress = list(DRESSES)[seed // 3 % len(DRESSES)]
    options = bnfold.Options(aggressive=seed % 2 == 1, reparam=seed % 4 > 1)
    assert_same(model_of(seed, dress=dress), options, tmp_path)


@pytest.mark.parametrize("row", scopes.ROWS, ids=[row.id for row in scopes.ROWS])
def test_bodies_and_functions(row: Case, tmp_path: Path) -> None:
    assert_same(row.model, bnfold.Options(), tmp_path)
