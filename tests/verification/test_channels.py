"""A fault in a channel far quieter than its neighbours is accused; a right fold never is."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from bnfold.verification import bisect, verify
from bnfold.verification.cases import Case
from bnfold.verification.channels import Channels
from bnfold.verification.trial import draws_of
from bnfold.verification.verdict import CHANNEL_LIMIT, LEAST_DRAWS
from tests.build import make_model, node, tensor, value

pytest.importorskip("onnxruntime")
QUIET = 2  # the channel, ten million times below its neighbours
COUNT = 6
SIZES = {"image": (["n", 3, 8, 8], ["n", COUNT, 8, 8]), "row": (["n", 24], ["n", COUNT])}


def parameters(ill: bool) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    loud = np.where(np.arange(COUNT) == QUIET, 1e-7, 1.0)
    w = rng.normal(size=(COUNT, 3, 3, 3)) * 0.3
    shift = 300 * rng.choice([-1, 1], COUNT) * ill
    return {
        "w": w,
        "b": rng.normal(size=COUNT) + shift,
        "gamma": rng.uniform(0.5, 1.5, COUNT) * loud,
        "beta": rng.normal(size=COUNT) * loud,
        "mean": rng.normal(size=COUNT) + shift,
        "var": rng.uniform(0.5, 2, COUNT),
    }


def net(p: dict[str, np.ndarray], kind: str, *, norms: bool, step: float = 0.0) -> onnx.ModelProto:
    """Conv or MatMul, with its BatchNorm or folded; `step` quantises the output."""
    p = {k: v.astype(np.float32) for k, v in p.items()}
    if kind == "row":
        p["w"] = p["w"].reshape(COUNT, -1)[:, :24].T.copy()
    if not norms:
        wide = {k: v.astype(np.float64) for k, v in p.items()}
        s = wide["gamma"] / np.sqrt(wide["var"] + 1e-5)
        along = s if kind == "row" else s[:, None, None, None]
        p = {"w": wide["w"] * along, "b": (wide["b"] - wide["mean"]) * s + wide["beta"]}
    held = [tensor(k, v.astype(np.float32)) for k, v in p.items()]
    end, last = ("h", "y") if step else ("y", "")
    z = "z" if norms else end
    first = [node("Conv", ["x", "w", "b"], z, pads=[1] * 4)]
    if kind == "row":
        first = [node("Gemm", ["x", "w", "b"], z)]
    if norms:
        first.append(node("BatchNormalization", [z, "gamma", "beta", "mean", "var"], end))
    if last:
        held += [tensor("s", np.float32(step)), tensor("zero", np.uint8(128))]
        first += [node("QuantizeLinear", ["h", "s", "zero"], "q"),
                  node("DequantizeLinear", ["q", "s", "zero"], "y")]  # fmt: skip
    takes, gives = SIZES[kind]
    return make_model(first, [value("x", takes)], [value("y", gives)], held)


FAULTS = {
    "gamma off by a thousandth": ("gamma", lambda v: v * 1.001),
    "beta lost": ("beta", lambda v: v * 0),
    "beta of the wrong sign": ("beta", lambda v: -v),
    "bias off by a hundredth": ("b", lambda v: v + 0.01),
    "variance off by a thousandth": ("var", lambda v: v * 1.001),
}


@pytest.mark.parametrize("kind", SIZES)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_a_quiet_channel_is_accused(fault: str, kind: str) -> None:
    right = parameters(ill=False)
    name, change = FAULTS[fault]
    wrong = right | {name: right[name].copy()}
    wrong[name][QUIET] = change(right[name][QUIET])
    verdict = verify(net(right, kind, norms=True), net(wrong, kind, norms=False), batches=(1,))
    assert not verdict.ok
    gate = verdict.gate("float64-channel")
    assert gate.ok is False
    assert f"channel {QUIET} (axis 1) of output 'y'" in gate.sentence
    assert verdict.gate("float64").ok  # the whole tensor hides it


def test_the_tensor_of_a_quiet_channel_is_named() -> None:
    right = parameters(ill=False)
    wrong = right | {"gamma": right["gamma"] * (1 + 1e-3 * (np.arange(COUNT) == QUIET))}
    models = net(right, "image", norms=True), net(wrong, "image", norms=False)
    found = bisect(*models, batches=(1,))
    assert found.tensor == "y"
    assert "in one channel" in found.sentence
    assert bisect(models[0], net(right, "image", norms=False), batches=(1,)).tensor is None


@pytest.mark.parametrize("kind", SIZES)
@pytest.mark.parametrize("ill", [False, True])
def test_a_right_fold_of_quiet_channels_is_not_accused(ill: bool, kind: str) -> None:
    right = parameters(ill)
    models = net(right, kind, norms=True), net(right, kind, norms=False)
    verdict = verify(*models, batches=(1,))
    assert verdict.ok, verdict.sentence
    assert verdict.gate("float64-channel").value < CHANNEL_LIMIT / 8
    one = {"x": np.random.default_rng(0).normal(size=(1, *SIZES[kind][0][1:])).astype(np.float32)}
    alone = verify(*models, inputs=one)  # one input, and draws of jitter enough all the same
    assert alone.ok, alone.sentence
    assert alone.gate("float64-channel").value < CHANNEL_LIMIT / 8


def test_values_that_round_the_other_way_accuse_no_channel() -> None:
    """One in some thousands is a whole step off: in one channel, where jitter turned none."""
    right = parameters(ill=False)
    found = net(right, "image", norms=True, step=0.01), net(right, "image", norms=False, step=0.01)
    nudged = onnx.ModelProto()
    nudged.CopyFrom(found[1])
    bias = next(t for t in nudged.graph.initializer if t.name == "b")
    values = np.frombuffer(bias.raw_data, np.float32).copy()
    values[0] += 4e-7  # turns a value or two of 64, a few times what rounding does
    bias.raw_data = values.tobytes()
    for candidate in (found[1], nudged):
        gate = verify(found[0], candidate, batches=(1,)).gate("float64-channel")
        assert gate.ok, gate.sentence


def test_channels_need_draws_and_one_size() -> None:
    rng = np.random.default_rng(0)
    channels = Channels()
    for _ in range(LEAST_DRAWS):
        a = rng.normal(size=(1, 4, 3))
        assert channels.worst(2.0**-24) is None
        channels.depart(a, a + 1e-3 * (np.arange(4) == 1)[:, None])
        channels.shake(a, 1e-6 * rng.normal(size=a.shape))
    worst = channels.worst(2.0**-24)
    assert (worst.axis, worst.index) == (1, 1)
    assert 300 < worst.ratio < 3000
    channels.depart(np.ones((1, 5, 7)), np.ones((1, 5, 7)))
    assert channels.worst(2.0**-24) is None


def test_few_inputs_get_more_draws() -> None:
    def case(size: int, given: bool) -> Case:
        return Case("c", {"x": np.zeros(size)}, given=given)

    assert draws_of([case(4, given=True)]) == [range(5)]
    assert draws_of([case(4, given=True), case(8, given=True)]) == [range(3), range(3, 6)]
    assert draws_of([case(4, given=False)] * 5 + [case(12, given=False)])[-2:] == [
        range(4, 5),
        range(5, 5),
    ]
