"""The certificate accuses every constant that is not what its fold meant."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import bnfold
from bnfold.folding.certificate import Expected, projected
from bnfold.folding.certificate import _is_as_meant as is_as_meant
from bnfold.graph import constants, write
from bnfold.graph.numbers import FLOATS
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


NARROW = [TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16]


def _written(values: object, elem_type: int) -> TensorProto:
    return numpy_helper.from_array(np.asarray(values).astype(FLOATS[elem_type].dtype), "w")


@pytest.mark.parametrize("elem_type", NARROW)
@pytest.mark.parametrize(
    ("steps", "meant"), [(0.0, True), (0.5, True), (0.51, False), (1.0, False)]
)
def test_one_rounding_is_allowed_where_a_number_is_rounded_once(elem_type, steps, meant):
    """1 is written where 1 and so many steps of the type were meant: half a step is rounding."""
    want = np.array([1 + steps * FLOATS[elem_type].epsilon])
    for entry in (Expected(want, reduced=False), Expected(want, reduced=True)):
        assert is_as_meant(_written([1.0], elem_type), entry) is meant


@pytest.mark.parametrize(("steps", "meant"), [(8, True), (9, False)])
def test_several_roundings_are_allowed_in_float64(steps, meant):
    eps = FLOATS[TensorProto.DOUBLE].epsilon
    entry = Expected(np.array([1 + steps * eps]), reduced=False)
    assert is_as_meant(_written([1.0], TensorProto.DOUBLE), entry) is meant


def test_the_smallest_step_is_a_rounding_among_subnormal_numbers():
    step = FLOATS[TensorProto.FLOAT].step
    for steps, meant in ((0.5, True), (0.75, False)):
        entry = Expected(np.array([steps * step]), reduced=False)
        assert is_as_meant(_written([0.0], TensorProto.FLOAT), entry) is meant


@pytest.mark.parametrize(
    ("want", "values", "meant"),
    [
        ((1, 4, 1), (4,), True),  # laid as its node reads it
        ((1,), (4,), False),
        ((4,), (1,), False),
        ((3,), (4,), False),
    ],
)
def test_a_constant_has_as_many_values_as_were_meant(want, values, meant):
    entry = Expected(np.ones(want), reduced=False)
    assert is_as_meant(_written(np.ones(values), TensorProto.FLOAT), entry) is meant


def test_integers_are_exact():
    entry = Expected(np.array([1.0, 2.0]), reduced=False)
    assert is_as_meant(numpy_helper.from_array(np.array([1, 2], np.int8), "q"), entry)
    assert not is_as_meant(numpy_helper.from_array(np.array([1, 3], np.int8), "q"), entry)


@pytest.mark.parametrize("elem_type", [*NARROW, TensorProto.DOUBLE])
def test_a_sum_of_rows_sees_what_is_wrong_misplaced_or_missing(elem_type):
    value = np.random.default_rng(3).normal(size=(5, 7)).astype(FLOATS[elem_type].dtype)
    entry = projected(np.asarray(value, np.float64))
    wrong = np.array(value)
    wrong[3, 2] *= 1.5
    assert is_as_meant(_written(value, elem_type), entry)
    for fault in (
        wrong,
        value[[1, 0, 2, 3, 4]],
        value[:, [1, 0, 2, 3, 4, 5, 6]],
        value[:4],
        -value,
    ):
        assert not is_as_meant(_written(fault, elem_type), entry)


@pytest.mark.parametrize(
    ("elem_type", "steps", "meant"),
    [
        (TensorProto.FLOAT, 0.5, True),
        (TensorProto.FLOAT, 1, False),
        (TensorProto.DOUBLE, 6, True),
        (TensorProto.DOUBLE, 12, False),
    ],
)
def test_a_sum_of_rows_allows_for_rounding_alone(elem_type, steps, meant):
    entry = projected(np.array([[1 + steps * FLOATS[elem_type].epsilon]]))
    assert is_as_meant(_written([[1.0]], elem_type), entry) is meant
