"""The certificate accuses every constant that is not what its fold meant."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import bnfold
from bnfold.graph import constants, write
from tests.build import make_model, tensor


def _conv_norm():
    rng = np.random.default_rng(1)
    norm = {n: rng.uniform(0.5, 1.5, 4).astype(np.float32) for n in ("g", "b", "m", "v")}
    return make_model(
        [
            helper.make_node("Conv", ["x", "w", "c"], ["y"]),
            helper.make_node("BatchNormalization", ["y", *norm], ["z"]),
        ],
        [helper.make_tensor_value_info("x", 1, ["n", 3, 5, 5])],
        [helper.make_tensor_value_info("z", 1, ["n", 4, 3, 3])],
        [
            tensor("w", rng.normal(size=(4, 3, 3, 3)).astype(np.float32)),
            tensor("c", rng.normal(size=4).astype(np.float32)),
            *[tensor(name, array) for name, array in norm.items()],
        ],
    )


def _one_channel_scaled(value: np.ndarray) -> np.ndarray:
    value[2] *= np.float32(1 + 1e-5)
    return value


def _twice(value: np.ndarray) -> np.ndarray:
    return value * np.float32(1.5)


def _channels_turned(value: np.ndarray) -> np.ndarray:
    return np.roll(value, 1, axis=0)


@pytest.mark.parametrize("name", ["w_folded", "c_folded"])
@pytest.mark.parametrize("fault", [_one_channel_scaled, _twice, _channels_turned])
def test_accuses(monkeypatch, name, fault):
    def wrong(tensor: TensorProto, constant: constants.Constant, called: str) -> None:
        constants.round_into(tensor, constant, called)
        if called == name:
            value = fault(numpy_helper.to_array(tensor).copy())
            tensor.CopyFrom(numpy_helper.from_array(value, called))

    monkeypatch.setattr(write, "round_into", wrong)
    with pytest.raises(bnfold.BnfoldError, match="not what its fold meant"):
        bnfold.fold(_conv_norm())


def test_holds_without_a_fault():
    assert bnfold.fold(_conv_norm()).report.after.batchnorms == 0
