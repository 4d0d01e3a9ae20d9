"""Whole models: order, scopes, functions, types, memory, perturbation."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from bnfold.ops64 import EvaluationError, Evaluator, Unsupported, control, evaluate
from tests.build import FLOAT, FLOAT16, INT64, make_model, node, tensor, value

X = np.array([[1.0, 2.0], [3.0, 4.0]])
MODELS = Path(__file__).resolve().parents[3] / "shared" / "models"


def small(nodes, initializers=(), outputs=("y",), dtype=FLOAT):
    typed = [value(name, [None, None], dtype) for name in outputs]
    return make_model(nodes, [value("x", [2, 2], dtype)], typed, initializers)


def test_unsorted_nodes_run():
    model = small([node("Neg", ["h"], "y"), node("Exp", ["x"], "h")])
    np.testing.assert_array_equal(evaluate(model, {"x": X})["y"], -np.exp(X))


def test_a_cycle_is_refused():
    model = small([node("Add", ["x", "y"], "h"), node("Exp", ["h"], "y")])
    with pytest.raises(EvaluationError, match="cycle"):
        Evaluator(model)


def test_a_deep_chain_listed_backwards_needs_no_recursion():
    names = ["x", *(f"h{k}" for k in range(3000)), "y"]
    chain = [node("Identity", [a], b) for a, b in itertools.pairwise(names)]
    np.testing.assert_array_equal(evaluate(small(chain[::-1]), {"x": X})["y"], X)


def test_keep_runs_only_what_is_asked_for():
    model = small([node("Exp", ["x"], "h"), node("Nonsense", ["h"], "y")])
    np.testing.assert_array_equal(evaluate(model, {"x": X}, keep=["h"])["h"], np.exp(X))
    with pytest.raises(Unsupported, match="Nonsense"):
        evaluate(model, {"x": X})


def test_values_are_freed_after_their_last_reader():
    import weakref

    alive, dead = {}, []

    def watch(name, array):
        alive[name] = weakref.ref(array)
        dead.append([other for other, ref in alive.items() if ref() is None])

    names = ["x", "a", "b", "c", "y"]
    chain = [node("Exp", [p], q) for p, q in itertools.pairwise(names)]
    evaluate(small(chain), {"x": X}, on_value=watch)
    assert dead == [[], [], ["a"], ["a", "b"]]


def test_a_name_nobody_makes_is_named():
    with pytest.raises(EvaluationError, match=r"'lost'.*Exp"):
        evaluate(small([node("Exp", ["lost"], "y")]), {"x": X})
    with pytest.raises(EvaluationError, match="input 'x'"):
        evaluate(small([node("Exp", ["x"], "y")]), {})


def test_a_failing_node_is_named():
    model = small([node("MatMul", ["x", "w"], "y")], [tensor("w", np.ones((3, 3)))])
    with pytest.raises(EvaluationError, match="MatMul #0"):
        evaluate(model, {"x": X})


def test_float32_weights_are_raised_and_casts_to_float32_keep_digits():
    w = np.full((2, 2), 0.1, dtype=np.float32)
    model = small(
        [node("MatMul", ["x", "w"], "h"), node("Cast", ["h"], "y", to=FLOAT)], [tensor("w", w)]
    )
    np.testing.assert_array_equal(evaluate(model, {"x": X})["y"], X @ w.astype(np.float64))


def test_a_cast_to_float16_rounds_and_cast_like_follows():
    half = tensor("half", np.zeros(1, dtype=np.float16))
    model = small([node("CastLike", ["x", "half"], "y")], [half])
    got = evaluate(model, {"x": X + 2.0**-12})["y"]
    np.testing.assert_array_equal(got, X)


def test_a_float16_model_runs_in_float64():
    w = np.full((2, 2), 0.1, dtype=np.float16)
    model = small([node("MatMul", ["x", "w"], "y")], [tensor("w", w)], dtype=FLOAT16)
    np.testing.assert_array_equal(evaluate(model, {"x": X})["y"], X @ w.astype(np.float64))


def branch(name, op, reads):
    return helper.make_graph([node(op, [reads], name)], name, [], [value(name, None)])


def test_if_sees_the_outer_scope():
    nodes = [
        node("ReduceSum", ["x"], "total", keepdims=0),
        node("Greater", ["total", "zero"], "up"),
        node("If", ["up"], "y", then_branch=branch("t", "Neg", "x"),
             else_branch=branch("e", "Exp", "x")),
    ]  # fmt: skip
    model = small(nodes, [tensor("zero", np.float32(0))])
    np.testing.assert_array_equal(evaluate(model, {"x": X})["y"], -X)
    np.testing.assert_array_equal(evaluate(model, {"x": -X})["y"], np.exp(-X))


def test_loop_carries_state_and_stacks():
    body = helper.make_graph(
        [node("Add", ["s", "x"], "s2"), node("Identity", ["c"], "c2"),
         node("Identity", ["s2"], "scan")],
        "body",
        [value("k", [], INT64), value("c", [], onnx.TensorProto.BOOL), value("s", None)],
        [value("c2", [], onnx.TensorProto.BOOL), value("s2", None), value("scan", None)],
    )  # fmt: skip
    model = make_model(
        [node("Loop", ["three", "", "x"], ["y", "z"], body=body)],
        [value("x", [2, 2])],
        [value("y", None), value("z", None)],
        [tensor("three", np.int64(3))],
    )
    got = evaluate(model, {"x": X})
    np.testing.assert_array_equal(got["y"], 4 * X)
    np.testing.assert_array_equal(got["z"], np.stack([2 * X, 3 * X, 4 * X]))


def looping(turns: int | None, *scanned: onnx.NodeProto) -> onnx.ModelProto:
    """Adds 1 to x, for so many turns or for ever; `scanned` makes "scan" of the iteration "k"."""
    body = helper.make_graph(
        [node("Add", ["s", "one"], "s2"), node("Identity", ["c"], "c2"), *scanned],
        "body",
        [value("k", [], INT64), value("c", [], onnx.TensorProto.BOOL), value("s", None)],
        [value("c2", [], onnx.TensorProto.BOOL), value("s2", None),
         *([value("scan", None)] if scanned else [])],
    )  # fmt: skip
    known = [tensor("one", np.float32(1)), tensor("go", np.array(True))]
    known += [] if turns is None else [tensor("turns", np.int64(turns))]
    ports = ["" if turns is None else "turns", "go", "x"]
    outputs = ["y", "all"] if scanned else ["y"]
    return small([node("Loop", ports, outputs, name="on and on", body=body)], known)


@pytest.mark.parametrize("turns", [None, 2**62])
def test_an_endless_loop_is_stopped_and_named(turns, monkeypatch):
    monkeypatch.setattr(control, "SECONDS", 0.05)
    with pytest.raises(EvaluationError, match=r"Loop 'on and on': no end after \d+ turns"):
        evaluate(looping(turns), {"x": X})


def test_a_loop_that_states_its_turns_may_take_its_time(monkeypatch):
    monkeypatch.setattr(control, "SECONDS", 0.0)
    np.testing.assert_array_equal(evaluate(looping(50), {"x": X})["y"], X + 50)


def test_loops_in_loops_share_what_is_free(monkeypatch):
    monkeypatch.setattr(control, "SECONDS", 0.0)
    monkeypatch.setattr(control, "FREE_TURNS", 40)
    model = looping(30)
    model.graph.node.add().CopyFrom(model.graph.node[0])
    again = model.graph.node[1]
    again.input[2], again.output[0] = "y", "z"
    with pytest.raises(EvaluationError, match="no end after 41 turns"):
        evaluate(model, {"x": X}, keep=["z"])


def test_what_a_loop_cannot_stack_is_said_of_it():
    """One value more a turn: no tensor holds them all."""
    grown = [node("Unsqueeze", ["k", "zero"], "n"), node("ConstantOfShape", ["n"], "scan")]
    model = looping(3, *grown)
    model.graph.initializer.append(tensor("zero", np.array([0])))
    with pytest.raises(EvaluationError, match="Loop 'on and on'"):
        evaluate(model, {"x": X}, keep=["all"])


def test_a_local_function_binds_its_attributes():
    inner = node("LeakyRelu", ["a"], "b")
    inner.attribute.append(onnx.AttributeProto(
        name="alpha", ref_attr_name="slope", type=onnx.AttributeProto.FLOAT))  # fmt: skip
    function = helper.make_function(
        "own", "Leak", ["a"], ["b"], [inner], [helper.make_opsetid("", 17)], ["slope"]
    )
    call = helper.make_node("Leak", ["x"], ["y"], domain="own", slope=0.5)
    model = make_model([call], [value("x", [2, 2])], [value("y", None)], functions=[function],
                       extra_opsets=[("own", 1)])  # fmt: skip
    np.testing.assert_array_equal(evaluate(model, {"x": -X})["y"], -X / 2)


def test_a_foreign_operator_of_a_known_name_is_not_taken_for_it():
    call = helper.make_node("Relu", ["x"], ["y"], domain="com.example")
    model = make_model([call], [value("x", [2, 2])], [value("y", None)],
                       extra_opsets=[("com.example", 1)])  # fmt: skip
    with pytest.raises(Unsupported, match=r"com.example.Relu"):
        evaluate(model, {"x": X})


def test_perturbation_touches_learned_constants_alone():
    seen = []

    def perturb(name, array, kind):
        seen.append((name, kind))
        return array * 2

    w = tensor("w", np.eye(2, dtype=np.float32))
    nodes = [
        node("Transpose", ["w"], "wt"),
        node("MatMul", ["x", "wt"], "h"),
        node("Clip", ["h", "low"], "y"),
    ]
    model = small(nodes, [w, tensor("low", np.float32(-100))])
    got = Evaluator(model, perturb=perturb).run({"x": X})["y"]
    np.testing.assert_array_equal(got, 2 * X)
    assert seen == [("wt", FLOAT)]


@pytest.mark.skipif(not MODELS.is_dir(), reason="no ../shared/models beside the checkout")
@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("mnist_resnet_local_functions", (2, 1, 28, 28)),
        ("ultraface_rfb320", (1, 3, 240, 320)),
        ("ppocr_mobile_v2_cls", (1, 3, 48, 192)),
        ("light_shufflenet", (1, 3, 224, 224)),
    ],
)
def test_real_networks_agree_with_onnxruntime(name, shape):
    ort = pytest.importorskip("onnxruntime")
    path = MODELS / f"{name}.onnx"
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    feeds = {session.get_inputs()[0].name: x}
    got = evaluate(onnx.load(path), feeds)
    for output, want in zip(session.get_outputs(), session.run(None, feeds), strict=True):
        error = np.linalg.norm(got[output.name] - want) / np.linalg.norm(want)
        assert error < 3e-6
