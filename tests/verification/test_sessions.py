"""Sessions of large models take turns in the child, and nobody sees it in the answers."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from bnfold.verification import worker
from tests.build import make_model, node, tensor, value


@pytest.fixture
def asked(tmp_path):
    """Three models of the same size; each adds another number."""
    questions = []
    for k in range(3):
        path = tmp_path / f"{k}.onnx"
        onnx.save(
            make_model(
                [node("Add", ["x", "c"], "y")],
                [value("x", [2])],
                [value("y", [2])],
                [tensor("c", [float(k)])],
            ),
            path,
        )
        question = {"key": str(k), "path": str(path), "size": 100, "level": "none", "tf32": 0}
        questions.append({**question, "provider": "CPUExecutionProvider", "threads": 1})
    return questions


@pytest.mark.parametrize(("room", "open_at_once"), [(1000, 3), (200, 2), (100, 1), (1, 1)])
def test_sessions_take_turns(asked, monkeypatch, room, open_at_once):
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(worker, "_TOGETHER", room)
    sessions = worker._Sessions()
    for question in asked:
        reply, _ = sessions.load(question, {})
        assert reply["provider"] == "CPUExecutionProvider"
    for k in (0, 1, 2, 2, 0, 1):
        _, outputs = sessions.run({"key": str(k)}, {"x": np.zeros(2, np.float32)})
        assert outputs["y"].tolist() == [k, k]
        assert len(sessions.made) == open_at_once
    for k in range(3):  # a closed one is dropped as well as an open one
        assert sessions.drop({"key": str(k)}, {})[0] == {"nodes": {}}
    assert not sessions.made
