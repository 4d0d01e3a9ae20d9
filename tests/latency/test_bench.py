"""bench end to end on tiny models: rows, counts, gates. No assertion is about time."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bnfold.errors import EnvironmentLacks, ModelError, UsageError
from bnfold.latency import Verdict, bench, runtime, sessions
from tests.build import batchnorm, make_model, node, randn, tensor, value

pytest.importorskip("onnxruntime")
RNG = np.random.default_rng


def conv_model(*, norm, dims=("N", 3, 8, 8), relu=True):
    rng = RNG(0)
    weight = tensor("w", randn(rng, 4, 3, 3, 3))
    nodes, constants = [node("Conv", ["x", "w"], "c")], [weight]
    if norm:
        made, parts = batchnorm("c", "n", 4, rng, positive=True)
        nodes.append(made)
        constants += parts
    nodes.append(node("Relu" if relu else "Exp", ["n" if norm else "c"], "y"))
    return make_model(nodes, [value("x", list(dims))], ["y"], constants)


@pytest.fixture(scope="module")
def report():
    models = [conv_model(norm=True), conv_model(norm=False)]
    return bench(models, batches=(1, 2), rounds=4, quick=True)


def test_three_rows_a_batch(report):
    assert [row.batch for row in report.rows] == [1, 1, 1, 2, 2, 2]
    assert [row.disabled for row in report.rows[:3]] == [(), (), runtime.BN_FUSIONS]
    assert [row.batchnorms for row in report.rows[:3]] == [1, 0, 1]


def test_fusion_is_really_off_in_the_third_row(report):
    left = [row.after_runtime.batchnorms for row in report.rows[:3]]
    assert left == [0, 0, 1]
    assert report.rows[0].after_runtime.level == "extended"


def test_the_headline_is_the_first_against_the_second(report):
    assert (report.headline.base, report.headline.other) == ("model-0.onnx", "model-1.onnx")
    assert report.headline.batch == 1
    assert report.verdict is report.headline.verdict


def test_a_row_holds_its_runs_and_its_facts(report):
    row = report.rows[3]
    assert row.shapes == {"x": (2, 3, 8, 8)}
    assert row.runs == sum(map(len, row.wall_ms)) == sum(map(len, row.cpu_ms))
    assert row.min_ms <= row.median_ms
    assert row.p99_ms is None
    assert row.throughput == pytest.approx(2000 / row.median_ms)
    assert row.file_bytes > 0
    assert row.load_ms > 0
    assert row.first_run_ms > 0
    assert row.placed is None or set(row.placed) == {"CPUExecutionProvider"}
    assert len(row.sha256) == 64


def test_the_report_is_json(report):
    told = json.loads(json.dumps(report.to_dict()))
    assert told["schema"] == "bnfold.bench/1"
    assert told["verdict"] in {verdict.value for verdict in Verdict}
    assert told["comparisons"][0]["sentence"]
    assert told["machine"]["cores"] >= 1
    assert len(told["rows"][0]["wall_ms"]) == report.design.rounds


def test_a_provider_that_got_no_node_is_refused():
    class Part:
        ep_name = "CPUExecutionProvider"

        def get_nodes(self):
            return [1, 2]

    class Made:
        def get_providers(self):
            return ["CUDAExecutionProvider", "CPUExecutionProvider"]

        def get_provider_graph_assignment_info(self):
            return [Part()]

    with pytest.raises(EnvironmentLacks, match="took none of the nodes"):
        sessions.placed(Made())


def test_one_model_alone_gets_its_ablation():
    report = bench([conv_model(norm=True)], rounds=4, quick=True)
    assert len(report.rows) == 2
    assert report.headline.other.endswith("ORT's BN fusion off")


@pytest.mark.parametrize("kind", ["nothing-to-fuse", "nothing-fuses"])
def test_no_ablation_where_it_says_nothing(kind):
    model = conv_model(norm=kind == "nothing-fuses")
    level = "none" if kind == "nothing-fuses" else "all"
    report = bench([model], rounds=4, quick=True, optimization=level)
    assert len(report.rows) == 1
    assert report.headline is None
    assert report.verdict in {Verdict.NO_DIFFERENCE, Verdict.INCONCLUSIVE}


def test_several_threads_are_judged_by_wall_time():
    report = bench([conv_model(norm=True)], rounds=4, quick=True, threads=2)
    assert report.controls[0].basis.value == "wall time"
    assert not report.spinning


def test_paths_and_bytes_are_taken(tmp_path):
    path = tmp_path / "a.onnx"
    path.write_bytes(conv_model(norm=False).SerializeToString())
    report = bench([path, path.read_bytes(), str(path)], rounds=4, quick=True)
    assert [row.label for row in report.rows] == ["a.onnx #1", "model-1.onnx #2", "a.onnx #3"]


@pytest.mark.parametrize(
    ("models", "options", "says"),
    [
        pytest.param([], {}, "no model", id="none"),
        pytest.param(["missing.onnx"], {}, "no such file", id="missing"),
        pytest.param([conv_model(norm=False)], {"batches": (0,)}, "start at 1", id="batch-0"),
        pytest.param([conv_model(norm=False)], {"rounds": 2}, "rounds start at 4", id="two-rounds"),
        pytest.param([conv_model(norm=False)], {"provider": "npu"}, "'npu'", id="provider"),
        pytest.param([conv_model(norm=False)], {"optimization": "max"}, "'max'", id="level"),
        pytest.param(
            [conv_model(norm=False, dims=("N", 3, "H", "W"))], {}, "axis 2 (H)", id="open-size"
        ),
        pytest.param(
            [conv_model(norm=False), conv_model(norm=False, dims=("N", 3, 9, 9))],
            {},
            "different inputs",
            id="different-work",
        ),
    ],
)
def test_usage_errors(models, options, says):
    with pytest.raises(UsageError) as caught:
        bench(models, **options)
    assert says in str(caught.value)


def test_what_does_not_load_is_a_model_error():
    model = conv_model(norm=False)
    model.ir_version = 99
    with pytest.raises(ModelError) as caught:
        bench([model], rounds=4)
    assert caught.value.exit_code == 3


def test_an_unknown_operator_is_a_model_error():
    model = make_model(
        [node("Nonsense", ["x"], "y", domain="none.such")],
        [value("x", [1])],
        [value("y", [1])],
        extra_opsets=[("none.such", 1)],
    )
    with pytest.raises(ModelError, match="ONNX Runtime cannot load it") as caught:
        bench([model], rounds=4)
    assert caught.value.where == "model-0.onnx"


def cuda_loads():
    from bnfold.latency.probe import probe

    return probe("CUDAExecutionProvider").loads


def test_cuda_that_is_not_there_is_said_not_replaced():
    if cuda_loads():
        pytest.skip("CUDA loads here")
    with pytest.raises(EnvironmentLacks) as caught:
        bench([conv_model(norm=False)], provider="cuda", rounds=4)
    assert "CUDAExecutionProvider" in caught.value.message
    assert "doctor" in caught.value.hint


def test_without_onnxruntime(monkeypatch):
    def absent(name):
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(runtime.importlib, "import_module", absent)
    with pytest.raises(EnvironmentLacks) as caught:
        bench([conv_model(norm=False)])
    assert "pip install" in caught.value.hint
