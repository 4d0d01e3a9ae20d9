"""Wrong outputs that optimisers have been seen to write, rebuilt by hand: each is accused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest

from bnfold.errors import CheckFailed
from bnfold.verification import verify
from tests.build import make_model, node, tensor, value

pytest.importorskip("onnxruntime")
Pair = tuple[onnx.ModelProto, onnx.ModelProto]
R = np.random.default_rng(0)
W = R.normal(size=(3, 3, 3, 3)).astype(np.float32)
GAMMA = R.uniform(0.5, 1.5, 3).astype(np.float32)
BETA, MEAN = (R.normal(size=3).astype(np.float32) for _ in range(2))
VAR = R.uniform(0.5, 2.0, 3).astype(np.float32)
S = GAMMA / np.sqrt(VAR + 1e-5)
T = BETA - MEAN * S
SHAPE = ["n", 3, 5, 3]
OUT = ["n", 3, "h", "w"]


def conv(weight: np.ndarray, bias: np.ndarray, kind: int = 1, **attributes: object):
    dtype = np.float16 if kind == 10 else np.float32
    with np.errstate(over="ignore"):
        constants = [tensor("w", weight.astype(dtype)), tensor("b", bias.astype(dtype))]
    ports = [value("x", SHAPE, kind)], [value("y", OUT, kind)]
    attributes = {"pads": [1, 1, 1, 1], **attributes}
    return make_model([node("Conv", ["x", "w", "b"], "y", **attributes)], *ports, constants)


def normed(
    nodes: list, constants: dict[str, np.ndarray], kind: int = 1, norm: dict | None = None
) -> onnx.ModelProto:
    """The nodes, then a BatchNormalization of their `z`."""
    norm = {"gamma": GAMMA, "beta": BETA, "mean": MEAN, "var": VAR, **(norm or {})}
    epsilon = norm.pop("epsilon", 1e-5)
    dtype = np.float16 if kind == 10 else np.float32
    bn = node("BatchNormalization", ["z", "gamma", "beta", "mean", "var"], "y", epsilon=epsilon)
    both = {**constants, **norm}
    stored = [tensor(name, np.asarray(array, dtype)) for name, array in both.items()]
    return make_model([*nodes, bn], [value("x", SHAPE, kind)], [value("y", OUT, kind)], stored)


def plain(kind: int = 1, weight: np.ndarray = W, **norm: object) -> onnx.ModelProto:
    return normed([node("Conv", ["x", "w"], "z", pads=[1, 1, 1, 1])], {"w": weight}, kind, norm)


def rows(v: np.ndarray) -> np.ndarray:
    return v.reshape(-1, 1, 1, 1)


def width_for_channel() -> Pair:
    """A factor along the width, of the same length as the channels, taken as per channel."""
    factor = np.array([0.5, 1.0, 2.0], np.float32)
    nodes = [node("Conv", ["x", "w"], "c", pads=[1, 1, 1, 1]), node("Mul", ["c", "k"], "z")]
    return normed(nodes, {"w": W, "k": factor}), conv(rows(S * factor) * W, T)


def function_of_that_name() -> Pair:
    """A local function called BatchNormalization that squares its input, folded as one."""
    square = onnx.helper.make_function(
        "custom", "BatchNormalization", ["a", "g", "b", "m", "v"], ["c"],
        [node("Mul", ["a", "a"], "c")], [onnx.helper.make_opsetid("", 17)])  # fmt: skip
    model = plain()
    model.graph.node[-1].domain = "custom"
    del model.graph.node[-1].attribute[:]
    model.functions.append(square)
    model.opset_import.append(onnx.helper.make_opsetid("custom", 1))
    return model, conv(rows(S) * W, T)


def training_mode() -> Pair:
    """training_mode=1 normalises by the batch, folded by the running statistics."""
    model = plain()
    model.graph.node[-1].attribute.append(onnx.helper.make_attribute("training_mode", 1))
    model.graph.node[-1].output.extend(["running_mean", "running_var"])
    return model, conv(rows(S) * W, T)


def transposed_along_the_wrong_axis() -> Pair:
    nodes = [node("ConvTranspose", ["x", "w"], "z", pads=[1, 1, 1, 1])]
    ports = [value("x", SHAPE)], [value("y", OUT)]
    wrong = make_model(
        [node("ConvTranspose", ["x", "w", "b"], "y", pads=[1, 1, 1, 1])],
        *ports,
        [tensor("w", rows(S) * W), tensor("b", T)],
    )
    return normed(nodes, {"w": W}), wrong


def bias_not_scaled() -> Pair:
    bias = np.array([0.3, -0.2, 0.1], np.float32)
    nodes = [node("Conv", ["x", "w", "c"], "z", pads=[1, 1, 1, 1])]
    return normed(nodes, {"w": W, "c": bias}), conv(rows(S) * W, bias + T)


def scale_computed_in_half() -> Pair:
    """var 6e-8 and eps 1e-7 add up to another number in float16: 8 % off."""
    var, eps = np.full(3, 6e-8, np.float16), np.float16(1e-7)
    s = GAMMA * 1e-3 / np.sqrt(var + eps).astype(np.float64)
    norm = {"gamma": GAMMA * 1e-3, "var": var, "mean": np.zeros(3), "beta": np.zeros(3)}
    return plain(10, W, epsilon=1e-7, **norm), conv(rows(s) * W, np.zeros(3), kind=10)


def weights_of_infinity() -> Pair:
    wrong = rows(S) * W
    wrong[0, 0, 0, 0] = np.inf
    return plain(), conv(wrong, T)


WRONG: list[Callable[[], Pair]] = [
    width_for_channel,
    function_of_that_name,
    training_mode,
    transposed_along_the_wrong_axis,
    bias_not_scaled,
    scale_computed_in_half,
    weights_of_infinity,
]


@pytest.mark.parametrize("case", WRONG, ids=lambda case: case.__name__)
def test_accused(case: Callable[[], Pair]) -> None:
    original, wrong = case()
    verdict = verify(original, wrong, batches=(2,))
    assert not verdict.ok, verdict.sentence


def test_half_overflows() -> None:
    """Weights of 200 by a scale of 1,900 are infinite in float16; small inputs are not."""
    gamma, var = np.full(3, 60.0), np.full(3, 1e-3)
    w = np.sign(W) * 200
    original = plain(10, w, gamma=gamma, var=var, mean=np.zeros(3))
    inputs = {"x": (0.01 * R.normal(size=(2, 3, 5, 3))).astype(np.float16)}
    verdict = verify(original, conv(w * 1900, BETA, kind=10), inputs=inputs)
    assert not verdict.ok
    assert "NaN or Inf" in verdict.sentence


def test_inputs_deleted() -> None:
    """Overridable initializers are folded and their inputs taken away: callers break."""
    model = plain()
    model.graph.input.append(value("k", [3]))
    model.graph.node.insert(0, node("Identity", ["k"], "unread"))
    with pytest.raises(CheckFailed, match="the inputs differ: the original has 'x', 'k'"):
        verify(model, conv(rows(S) * W, T))


def test_the_right_fold_is_not() -> None:
    assert verify(plain(), conv(rows(S) * W, T)).ok
