"""Right and wrong candidates behind all kinds of tails, and what cannot be compared at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from bnfold import errors
from bnfold.verification import bisect, verify
from tests.build import BOOL, FLOAT, INT64, make_model, node, tensor, value

pytest.importorskip("onnxruntime")
R = np.random.default_rng(0)
W, B = R.normal(size=(6, 3, 3, 3)) * 0.3, R.normal(size=6)
GAMMA, BETA = R.uniform(0.5, 1.5, 6), R.normal(size=6)
MEAN, VAR = R.normal(size=6), R.uniform(0.5, 2, 6)
S = GAMMA / np.sqrt(VAR + 1e-5)
RIGHT = (W * S[:, None, None, None], (B - MEAN) * S + BETA)
WRONG = (RIGHT[0], RIGHT[1] + 0.05 * (np.arange(6) == 2))
IMAGE = ["n", 6, 8, 8]


@dataclass(frozen=True)
class Tail:
    """What comes behind Conv and BatchNormalization, whose output is h."""

    nodes: Sequence[onnx.NodeProto]
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    output: tuple[list, int] = (IMAGE, FLOAT)
    inputs: Sequence[onnx.ValueInfoProto] = ()

    def model(self, fold: tuple[np.ndarray, np.ndarray] | None) -> onnx.ModelProto:
        """With its BatchNormalization, or folded with these constants."""
        found = {"w": W, "b": B, "gamma": GAMMA, "beta": BETA, "mean": MEAN, "var": VAR}
        first = [
            node("Conv", ["x", "w", "b"], "c", pads=[1] * 4),
            node("BatchNormalization", ["c", "gamma", "beta", "mean", "var"], "h"),
        ]
        if fold is not None:
            first = [node("Conv", ["x", "w", "b"], "h", pads=[1] * 4)]
            found = dict(zip("wb", fold, strict=True))
        held = [tensor(k, v.astype(np.float32)) for k, v in found.items()]
        held += [tensor(k, v) for k, v in self.constants.items()]
        ports = [value("x", ["n", 3, 8, 8]), *self.inputs], [value("y", *self.output)]
        return make_model([*first, *self.nodes], *ports, held)


def number(x: float) -> np.ndarray:
    return np.float32(x).reshape(())


def branches(least: float, factor: float = 0.1) -> Tail:
    """Relu where the mean of h exceeds `least`, else times `factor`."""
    then = helper.make_graph([node("Relu", ["h"], "t")], "t", [], [value("t", None)])
    other = helper.make_graph([node("Mul", ["h", "k"], "e")], "e", [], [value("e", None)])
    nodes = [
        node("ReduceMean", ["h"], "mean_h", keepdims=0),
        node("Greater", ["mean_h", "least"], "up"),
        node("If", ["up"], "y", name="fork", then_branch=then, else_branch=other),
    ]
    return Tail(nodes, {"least": number(least), "k": number(factor)})


def flat(*nodes: onnx.NodeProto) -> list[onnx.NodeProto]:
    return [node("GlobalAveragePool", ["h"], "p"), node("Flatten", ["p"], "q"), *nodes]


COMPARED = {
    "argmax": Tail(flat(node("ArgMax", ["q"], "y", axis=1)), {}, (["n", 1], INT64)),
    "indices of top-k": Tail(
        flat(node("TopK", ["q", "two"], ["best", "y"])),
        {"two": np.array([2])}, (["n", 2], INT64)),
    "a comparison": Tail([node("Greater", ["h", "zero"], "y")],
                         {"zero": number(0)}, (IMAGE, BOOL)),
    "quantised at the end": Tail(
        [node("QuantizeLinear", ["h", "s", "z"], "q"),
         node("DequantizeLinear", ["q", "s", "z"], "y")],
        {"s": number(0.05), "z": np.array(128, np.uint8)}),
    "a sequence inside": Tail(
        [node("SplitToSequence", ["h"], "s", axis=1),
         node("ConcatFromSequence", ["s"], "y", axis=1)]),
    "NaN made and hidden": Tail(
        [node("Sqrt", ["h"], "r"), node("IsNaN", ["r"], "bad"),
         node("Where", ["bad", "zero", "r"], "y")], {"zero": number(0)}),
    "a branch": branches(-0.2),
    "a scalar input": Tail([node("Mul", ["h", "a"], "y")], inputs=[value("a", [])]),
    "a boolean input": Tail([node("Where", ["f", "h", "zero"], "y")], {"zero": number(0)},
                            inputs=[value("f", [], BOOL)]),
    "the number of rows found": Tail(
        [node("Relu", ["h"], "r"), node("NonZero", ["r"], "y")], {}, ([4, "k"], INT64)),
}  # fmt: skip


@pytest.mark.parametrize("name", COMPARED)
def test_a_right_and_a_wrong_fold_behind(name: str) -> None:
    tail = COMPARED[name]
    right = verify(tail.model(None), tail.model(RIGHT), batches=(1,))
    assert right.ok, right.sentence
    assert right.reference == "float64"
    wrong = verify(tail.model(None), tail.model(WRONG), batches=(1,))
    assert not wrong.ok, wrong.sentence


def test_a_batch_baked_in_is_accused_and_not_the_input() -> None:
    shape = (["n", 384], FLOAT)
    kept, baked = (
        Tail([node("Reshape", ["h", "s"], "y")], {"s": np.array([size, 384])}, shape)
        for size in (-1, 1)
    )
    with pytest.raises(errors.CheckFailed, match="candidate does not run on 'normal x3'"):
        verify(kept.model(None), baked.model(RIGHT))


@pytest.mark.parametrize("draws", ["Dropout", "RandomNormalLike"])
def test_an_original_that_draws_at_random(draws: str) -> None:
    ports = ["h", "half", "on"] if draws == "Dropout" else ["h"]
    tail = Tail([node(draws, ports, "y")], {"half": number(0.5), "on": np.array(True)})
    with pytest.raises(errors.CheckFailed, match="differs from run to run"):
        verify(tail.model(None), tail.model(RIGHT))


def table(rows: int, fault: float = 0.0) -> onnx.ModelProto:
    """Symbols looked up in a table, whose middle row may be off."""
    off = fault * (np.arange(rows) == rows // 2)
    held = np.arange(rows * 4).reshape(rows, 4) / 7 + off[:, None]
    nodes = [node("Gather", ["e", "x"], "g"), node("ReduceMean", ["g"], "y", axes=[1])]
    ports = [value("x", ["n", "t"], INT64)], [value("y", ["n", 1, 4])]
    return make_model(nodes, *ports, [tensor("e", held.astype(np.float32))])


def test_symbols_reach_all_rows_of_their_table() -> None:
    assert verify(table(40), table(40)).ok
    assert not verify(table(40), table(40, 0.01)).ok


def frames(taps: int) -> onnx.ModelProto:
    """A Conv over samples, which takes no fewer than its taps."""
    w = np.random.default_rng(1).normal(size=(2, 1, taps))
    ports = [value("x", ["n", 1, "samples"])], [value("y", ["n", 2, "k"])]
    return make_model([node("Conv", ["x", "w"], "y")], *ports, [tensor("w", w.astype(np.float32))])


def test_open_sizes_are_tried_in_turn() -> None:
    verdict = verify(frames(300), frames(300))
    assert verdict.ok
    assert "open sizes were taken as x=1,1,512" in verdict.notes
    assert not bisect(frames(300), frames(300)).found


def test_where_no_open_size_fits_the_hint_names_what_was_tried() -> None:
    with pytest.raises(errors.UsageError) as caught:
        verify(frames(20_000), frames(20_000))
    assert caught.value.hint is not None
    assert "--shape" in caught.value.hint
    assert "tried: x=1,1,128; x=1,1,512; x=1,1,16; x=1,1,16000" in caught.value.hint


def test_without_weights_nothing_is_blind() -> None:
    def model(op: str) -> onnx.ModelProto:
        return make_model([node(op, ["x"], "y")], [value("x", ["n", 4])], [value("y", ["n", 4])])

    assert verify(model("Relu"), model("Relu")).ok
    assert not verify(model("Relu"), model("Abs")).ok


def test_a_quantised_operator_needs_no_float_weights() -> None:
    def model(zero: int) -> onnx.ModelProto:
        ports = ["xq", "sx", "zx", "w", "sx", "zw", "sx", "zx"]
        nodes = [
            node("QuantizeLinear", ["x", "sx", "zx"], "xq"),
            node("QLinearMatMul", ports, "yq"),
            node("DequantizeLinear", ["yq", "sx", "zx"], "y"),
        ]
        w = np.random.default_rng(2).integers(-90, 90, (8, 5)).astype(np.int8)
        held = [tensor("sx", number(0.05)), tensor("zx", np.array(128, np.uint8)),
                tensor("w", w), tensor("zw", np.array(zero, np.int8))]  # fmt: skip
        return make_model(nodes, [value("x", ["n", 8])], [value("y", ["n", 5])], held)

    assert verify(model(0), model(0)).ok
    assert not verify(model(0), model(1)).ok


def test_strings_are_compared() -> None:
    def model(op: str) -> onnx.ModelProto:
        ports = ["x", "x"] if op == "StringConcat" else ["x"]
        kinds = [value("x", [2], TensorProto.STRING)], [value("y", [2], TensorProto.STRING)]
        return make_model([node(op, ports, "y")], *kinds, opset=20)

    assert verify(model("StringConcat"), model("StringConcat")).ok
    assert not verify(model("StringConcat"), model("Identity")).ok
