"""Branches that no input takes are taken all the same; what cannot be is said in the sentence."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import bnfold
from bnfold.verification import verify
from tests.build import make_model, node, tensor, value

pytest.importorskip("onnxruntime")
R = np.random.default_rng(0)
W = (R.normal(size=(6, 3, 3, 3)) * 0.3).astype(np.float32)
NORM = {
    "gamma": R.uniform(0.5, 1.5, 6).astype(np.float32),
    "beta": R.normal(size=6).astype(np.float32),
    "mean": R.normal(size=6).astype(np.float32),
    "var": R.uniform(0.5, 2, 6).astype(np.float32),
}
NEVER = 1e9  # no mean of an input exceeds it


def graph(name: str, nodes: list[onnx.NodeProto], out: str, *held: onnx.TensorProto):
    return helper.make_graph(nodes, name, [], [value(out, None)], [*held])


def plain() -> onnx.GraphProto:
    return graph("plain", [node("Conv", ["x", "w"], "e", pads=[1] * 4)], "e")


def norm(out: str) -> list[onnx.NodeProto]:
    ports = ["c", "gamma", "beta", "mean", "var"]
    return [
        node("Conv", ["x", "w"], "c", pads=[1] * 4),
        node("BatchNormalization", ports, out),
    ]


def fork(then: onnx.GraphProto, out: str = "y") -> onnx.NodeProto:
    return node("If", ["up"], out, name="fork", then_branch=then, else_branch=plain())


def model(nodes: list[onnx.NodeProto], least: float = NEVER, **changed: np.ndarray):
    """`nodes` behind the question whether the mean of x exceeds `least`."""
    asking = [
        node("ReduceMean", ["x"], "m", keepdims=0),
        node("Greater", ["m", "least"], "up"),
    ]
    found = {"w": W, "least": np.float32(least), **NORM} | changed
    used = {name for n in (*asking, *nodes) for name in reads(n)}
    held = [tensor(k, v) for k, v in found.items() if k in used]
    ports = [value("x", ["n", 3, 8, 8])], [value("y", ["n", 6, 8, 8])]
    return make_model([*asking, *nodes], *ports, held)


def reads(n: onnx.NodeProto) -> set[str]:
    inner = [a.g for a in n.attribute if a.type == a.GRAPH]
    return {*n.input, *(name for g in inner for m in g.node for name in reads(m))}


def flat() -> list[onnx.NodeProto]:
    return [fork(graph("then", norm("t"), "t"))]


def nested() -> list[onnx.NodeProto]:
    """Its BatchNorm lies behind two conditions that no input meets."""
    asking = node("Greater", ["m", "least"], "more")
    inner = node("If", ["more"], "i", then_branch=graph("in", norm("t"), "t"), else_branch=plain())
    return [fork(graph("then", [asking, inner], "i"))]


def looped() -> list[onnx.NodeProto]:
    body = helper.make_graph(
        [node("Identity", ["go"], "on"), fork(graph("then", norm("t"), "t"), "s")],
        "body",
        [value("k", [], onnx.TensorProto.INT64), value("go", [], onnx.TensorProto.BOOL),
         value("before", None)],
        [value("on", [], onnx.TensorProto.BOOL), value("s", None)],
    )  # fmt: skip
    twice = node("Constant", [], "two", value=tensor("", np.array(2)))
    start = node("Conv", ["x", "w"], "z", pads=[1] * 4)
    return [twice, start, node("Loop", ["two", "", "z"], "y", body=body)]


def chosen() -> list[onnx.NodeProto]:
    """Both sides of a Where are computed, one is chosen."""
    return [*norm("t"), node("Conv", ["x", "w"], "e", pads=[1] * 4),
            node("Where", ["up", "t", "e"], "y", name="choice")]  # fmt: skip


PLACES: dict[str, Callable[[], list[onnx.NodeProto]]] = {
    "a branch": flat,
    "a branch in a branch": nested,
    "a branch in a loop": looped,
    "a side of a Where": chosen,
}


@pytest.mark.parametrize("place", PLACES)
def test_a_fault_in_a_branch_that_no_input_takes(place: str) -> None:
    nodes = PLACES[place]
    wrong = verify(model(nodes()), model(nodes(), beta=NORM["beta"] + 0.01), batches=(1,))
    assert not wrong.ok
    assert "then_branch" in wrong.sentence or "X of Where 'choice'" in wrong.sentence
    assert wrong.gate("branches").ok is False
    assert wrong.gate("float64").ok


@pytest.mark.parametrize("place", PLACES)
def test_a_right_fold_in_a_branch_that_no_input_takes(place: str) -> None:
    original = model(PLACES[place]())
    ours = bnfold.fold(original)
    assert ours.report.folded
    verdict = verify(original, ours.model, batches=(1,))
    assert verdict.gate("certificate").ok
    assert verdict.gate("branches") is None
    del ours.model.metadata_props[:]  # as another tool would have written it
    verdict = verify(original, ours.model, batches=(1,))
    assert verdict.ok, verdict.sentence
    assert verdict.gate("branches").value < 2
    assert "proven" not in verdict.sentence


@pytest.mark.parametrize("place", PLACES)
def test_a_constant_changed_in_a_body_fails_the_certificate(place: str) -> None:
    original = model(PLACES[place]())
    candidate = bnfold.fold(original).model
    known = {t.name for t in original.graph.initializer}
    held = [candidate.graph, *bodies(candidate.graph)]
    target = next(t for g in held for t in g.initializer if t.name not in known and t.dims)
    values = numpy_helper.to_array(target) * np.float32(1.001)
    target.CopyFrom(numpy_helper.from_array(values, target.name))
    verdict = verify(original, candidate, batches=(1,))
    assert verdict.gate("certificate").ok is False
    assert not verdict.ok


def bodies(g: onnx.GraphProto) -> list[onnx.GraphProto]:
    inner = [a.g for n in g.node for a in n.attribute if a.type == a.GRAPH]
    return [*inner, *(deeper for one in inner for deeper in bodies(one))]


def unfit(size: int) -> list[onnx.NodeProto]:
    """Its Reshape is made for inputs whose mean is that large, not for these."""
    shape = numpy_helper.from_array(np.array([size, 7]), "shape")
    return [fork(graph("then", [node("Reshape", ["x", "shape"], "t")], "t", shape))]


def test_what_cannot_be_taken_is_said_in_the_sentence() -> None:
    verdict = verify(model(unfit(5)), model(unfit(6)), batches=(1,))
    assert verdict.ok
    left = "nothing is proven of what no input takes: then_branch of If 'fork'"
    assert verdict.sentence.endswith(left)
    same = verify(model(unfit(5)), model(unfit(5)), batches=(1,))
    assert "proven" not in same.sentence
    assert "the same in both" in same.gate("branches").sentence


def test_branches_that_inputs_take_are_no_question() -> None:
    verdict = verify(model(flat(), least=0.0), model(flat(), least=0.0), batches=(1,))
    assert verdict.gate("branches") is None


def test_a_constant_side_of_a_where_is_no_question() -> None:
    zero = node("Constant", [], "zero", value=tensor("", np.float32(0)))
    bad = node("IsNaN", ["c2"], "bad")
    clean = node("Where", ["bad", "zero", "c2"], "y")
    nodes = [zero, node("Conv", ["x", "w"], "c2", pads=[1] * 4), bad, clean]
    assert verify(model(nodes), model(nodes), batches=(1,)).gate("branches") is None


def test_a_dead_branch_is_no_question() -> None:
    never = [node("Constant", [], "up2", value=tensor("", np.array(False)))]
    dead = node("If", ["up2"], "y", then_branch=graph("t", norm("t"), "t"), else_branch=plain())
    alive = node("Conv", ["x", "w"], "y", pads=[1] * 4)
    verdict = verify(model([*never, dead]), model([alive]), batches=(1,))
    assert verdict.ok
    assert verdict.gate("branches") is None


def test_a_branch_inside_one_that_few_inputs_take() -> None:
    """What the first inputs do not meet is asked of those that do."""
    inner = node("If", ["deep"], "d", name="deep", then_branch=graph("in", norm("i"), "i"),
                 else_branch=plain())  # fmt: skip
    then = graph("then", [node("Greater", ["m", "never"], "deep"), inner], "d")
    both = [model([fork(then)], least=5.0, never=np.float32(NEVER), **more)
            for more in ({}, {"beta": NORM["beta"] + 1})]  # fmt: skip
    low, high = (np.full((1, 3, 8, 8), at, np.float32) for at in (0.5, 9.0))
    inputs = [{"x": low}, {"x": 2 * low}, {"x": high}]
    assert verify(both[0], both[0], inputs=inputs).ok
    assert not verify(both[0], both[1], inputs=inputs).ok
