"""`bnfold fold` and `inspect`: where the result goes, and what must hold before it is written."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from bnfold import onnxfile
from tests.build import batchnorm, make_model, node, randn, value
from tests.cli.conftest import Answer

Call = Callable[..., Answer]


@pytest.fixture
def stuck(tmp_path: Path) -> Path:
    """A BatchNormalization behind a Conv, which folds, and one between Sigmoids, which stays."""
    rng = np.random.default_rng(1)
    weight = onnx.numpy_helper.from_array(randn(rng, 4, 3, 3, 3), "weight")
    first, parameters = batchnorm("conv", "norm1", 4, rng)
    second, more = batchnorm("sig", "norm2", 4, rng)
    nodes = [
        node("Conv", ["x", "weight"], "conv"),
        first,
        node("Sigmoid", ["norm1"], "sig"),
        second,
        node("Sigmoid", ["norm2"], "y"),
    ]
    model = make_model(
        nodes,
        [value("x", ["N", 3, 8, 8])],
        [value("y", ["N", 4, 6, 6])],
        [weight, *parameters, *more],
    )
    onnxfile.write(model, tmp_path / "stuck.onnx")
    return tmp_path / "stuck.onnx"


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """No BatchNorm, and an unusual but sound serialisation."""
    model = make_model(
        [node("Relu", ["x"], "y")], [value("x", [1, 3])], [value("y", [1, 3])]
    ).SerializeToString()
    (tmp_path / "plain.onnx").write_bytes(model[2:] + model[:2])  # ir_version last
    return tmp_path / "plain.onnx"


def norms(path: Path) -> int:
    return sum(made.op_type == "BatchNormalization" for made in onnx.load(path).graph.node)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_default_output(bnfold: Call, model: Path) -> None:
    before = model.read_bytes()
    answer = bnfold("fold", model)
    target = model.with_name("m.folded.onnx")
    assert answer.code == 0
    assert "1 of 1 BatchNorms fold" in answer.out
    assert f"wrote {target}" in answer.out
    assert answer.err == ""
    assert model.read_bytes() == before
    assert norms(target) == 0
    onnx.checker.check_model(str(target))
    found = onnxfile.provenance(onnx.load(target))
    assert found["source_sha256"] == onnxfile.read(model).sha256
    assert found["folded"] == "1"


def test_output_replaces_an_older_one(bnfold: Call, model: Path, tmp_path: Path) -> None:
    (tmp_path / "o.onnx").write_bytes(b"old")
    assert bnfold("fold", model, "-o", tmp_path / "o.onnx").code == 0
    assert norms(tmp_path / "o.onnx") == 0


def test_the_same_bytes_each_time(process: Call, model: Path, tmp_path: Path) -> None:
    for seed in ("0", "1", "2"):
        process("fold", model, "-o", f"{seed}.onnx", PYTHONHASHSEED=seed)
    assert len({(tmp_path / f"{seed}.onnx").read_bytes() for seed in ("0", "1", "2")}) == 1


def test_over_the_input_only_when_asked(bnfold: Call, model: Path, tmp_path: Path) -> None:
    before = model.read_bytes()
    (tmp_path / "soft.onnx").symlink_to(model)
    os.link(model, tmp_path / "hard.onnx")
    for same in (model, tmp_path / "soft.onnx", tmp_path / "hard.onnx", tmp_path / "." / "m.onnx"):
        answer = bnfold("fold", model, "-o", same)
        assert answer.code == 2
        assert "--in-place" in answer.err
    assert model.read_bytes() == before
    assert bnfold("fold", model, "--in-place").code == 0
    assert norms(model) == 0


def test_dry_run_writes_nothing(bnfold: Call, model: Path) -> None:
    answer = bnfold("fold", model, "--dry-run", "--json")
    assert answer.code == 0
    assert answer.json["after"]["batchnorms"] == 0
    assert answer.json["output"] is None
    assert names(model.parent) == {"m.onnx"}


def test_folding_again_changes_nothing(bnfold: Call, model: Path, tmp_path: Path) -> None:
    bnfold("fold", model)
    once = tmp_path / "m.folded.onnx"
    bnfold("fold", once, "-o", tmp_path / "twice.onnx")
    assert (tmp_path / "twice.onnx").read_bytes() == once.read_bytes()


def test_nothing_to_fold_is_copied(bnfold: Call, plain: Path, tmp_path: Path) -> None:
    assert bnfold("fold", plain).code == 0
    assert (tmp_path / "plain.folded.onnx").read_bytes() == plain.read_bytes()
    assert bnfold("fold", plain, "--in-place").code == 0


def test_external_data_stays_external(bnfold: Call, tmp_path: Path) -> None:
    from tests.onnxfile.small import conv_norm

    onnxfile.write(conv_norm(16), tmp_path / "m.onnx", external=True)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    (tmp_path / "out").mkdir()
    assert bnfold("fold", tmp_path / "m.onnx", "-o", tmp_path / "out" / "o.onnx").code == 0
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".onnx", ".data"}
    onnx.checker.check_model(str(tmp_path / "out" / "o.onnx"))
    assert norms(tmp_path / "out" / "o.onnx") == 0
    assert all(path.read_bytes() == data for path, data in before.items())
    (data,) = (path for path in before if path.suffix == ".data")
    answer = bnfold("fold", tmp_path / "m.onnx", "-o", data)
    assert answer.code == 2
    assert "data file of the input" in answer.err
    assert all(path.read_bytes() == data for path, data in before.items())


@pytest.mark.parametrize(("require", "code"), [("1", 0), ("2", 4), ("all", 4), ("0", 0)])
def test_require(bnfold: Call, stuck: Path, require: str, code: int) -> None:
    report = stuck.with_name("r.json")
    answer = bnfold("fold", stuck, "--require", require, "--report", report, "--json")
    assert answer.code == code
    assert answer.json["before"]["batchnorms"] == 2
    assert answer.json["after"]["batchnorms"] == 1
    if code:
        assert answer.json["error"]["code"] == "check"
        assert names(stuck.parent) == {"stuck.onnx"}
    else:
        assert names(stuck.parent) == {"stuck.onnx", "stuck.folded.onnx", "r.json"}
        written = json.loads(report.read_text())
        assert written["schema"] == "bnfold.fold/1"
        assert written["remaining"] == answer.json["remaining"]


def test_verify_before_writing(bnfold: Call, model: Path) -> None:
    answer = bnfold("fold", model, "--verify")
    assert answer.code == 0, answer.err
    assert "verified: " in answer.out
    assert norms(model.with_name("m.folded.onnx")) == 0


def test_a_wrong_fold_is_not_written(
    bnfold: Call, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import bnfold as library

    real = library.fold

    def wrong(*arguments: object) -> object:
        result = real(*arguments)
        for tensor in result.model.graph.initializer:
            values = onnx.numpy_helper.to_array(tensor) * np.float32(1.001)
            tensor.raw_data = values.tobytes()
        return result

    monkeypatch.setattr(library, "fold", wrong)
    answer = bnfold("fold", model, "--verify")
    assert answer.code == 4
    assert names(model.parent) == {"m.onnx"}


def test_inspect_names_the_reason(bnfold: Call, stuck: Path) -> None:
    answer = bnfold("inspect", stuck)
    assert answer.code == 0
    assert "1 of 2 BatchNorms fold" in answer.out
    assert "nonlinear-neighbours" in answer.out
    assert names(stuck.parent) == {"stuck.onnx"}
    data = bnfold("inspect", stuck, "--json").json
    assert data["schema"] == "bnfold.inspect/1"
    assert [one["code"] for one in data["remaining"] if one["kind"] == "batchnorm"] == [
        "nonlinear-neighbours"
    ]


def test_freeze_inputs(bnfold: Call, tmp_path: Path) -> None:
    from tests.onnxfile.small import conv_norm

    model = conv_norm()
    for tensor in model.graph.initializer:
        model.graph.input.append(value(tensor.name, list(tensor.dims)))
    onnxfile.write(model, tmp_path / "m.onnx")
    answer = bnfold("fold", tmp_path / "m.onnx", "--dry-run")
    assert "parameter-overridable" in answer.out
    assert "--freeze-inputs" in answer.out
    assert bnfold("fold", tmp_path / "m.onnx", "--freeze-inputs", "--require", "all").code == 0


def test_no_runtime_is_imported(model: Path) -> None:
    from tests.cli.test_help import modules_after

    seen = modules_after("fold", str(model)) | modules_after("inspect", str(model))
    assert not seen & {"torch", "onnxruntime", "matplotlib"}
