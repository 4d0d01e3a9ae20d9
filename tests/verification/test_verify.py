"""Planted faults are accused, correct folds are not; every bad input has its one clear line."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import bnfold
from bnfold import errors, onnxfile
from bnfold.verification import bisect, verify
from bnfold.verification.gates import RUNTIME_LIMIT
from bnfold.verification.truth import jitter
from bnfold.verification.verdict import JITTER_LIMIT
from tests.build import make_model, node, tensor, value
from tests.verification import nets

pytest.importorskip("onnxruntime")
MODELS = Path(__file__).resolve().parents[3] / "shared" / "models"


@pytest.fixture(scope="module", params=["normal", "ill"])
def pair(request):
    return nets.pair(ill=request.param == "ill")


@pytest.fixture(scope="module")
def normal():
    return nets.pair()


def unfolded(found, tail=None):
    return nets.model(found.original, norms=True, tail=tail)


def folded(found, tail=None):
    return nets.model(found.folded, norms=False, tail=tail)


def test_a_correct_fold_by_hand_is_not_accused(pair):
    verdict = verify(unfolded(pair), folded(pair))
    assert verdict.ok, verdict.sentence
    assert verdict.reference == "float64"
    assert verdict.gate("float64").value < JITTER_LIMIT / 4
    assert verdict.gate("runtime-candidate-none").value < RUNTIME_LIMIT / 2
    assert verdict.gate("certificate").ok is None
    json.dumps(verdict.to_dict(), allow_nan=False)


def test_our_own_fold_carries_its_certificate(pair):
    original = unfolded(pair)
    verdict = verify(original, bnfold.fold(original).model)
    assert verdict.ok, verdict.sentence
    assert verdict.gate("certificate").ok
    assert verdict.gate("certificate").value == 0.0


@pytest.mark.parametrize("fault", nets.FAULTS)
def test_a_planted_fault_is_accused(pair, fault):
    verdict = verify(unfolded(pair), nets.model(nets.faulty(fault, pair), norms=False))
    assert not verdict.ok
    assert verdict.gate("float64").value > 2 * JITTER_LIMIT
    assert verdict.sentence.startswith("not equivalent: ")


def test_one_constant_of_our_fold_changed_fails_the_certificate(normal):
    original = unfolded(normal)
    candidate = bnfold.fold(original).model
    tensors = candidate.graph.initializer
    target = next(t for t in tensors if len(t.dims) == 4)
    changed = numpy_helper.to_array(target).copy()
    changed.reshape(-1)[7] *= 1 + 1e-5
    target.CopyFrom(numpy_helper.from_array(changed, target.name))
    verdict = verify(original, candidate)
    assert not verdict.ok
    assert verdict.gate("certificate").ok is False
    assert target.name in verdict.sentence


def test_a_weight_of_a_quiet_channel_changed_fails_the_certificate(normal):
    """A million times below its neighbours, and off by a thousandth of itself."""
    quiet = dict(normal.original)
    quiet["group.gamma"] = quiet["group.gamma"] * np.where(np.arange(12) == 4, 1e-6, 1.0)
    original = nets.model(quiet, norms=True)
    candidate = bnfold.fold(original).model
    tensors = {t.name: t for t in candidate.graph.initializer}
    maker = next(n for n in candidate.graph.node if n.output[0] == "group.y")
    target = tensors[maker.input[1]]
    changed = numpy_helper.to_array(target).copy()
    changed[4] *= 1.001
    target.CopyFrom(numpy_helper.from_array(changed, target.name))
    assert verify(original, candidate).gate("certificate").ok is False


def test_a_shift_lost_at_the_border_only_is_accused(normal):
    """A BatchNorm pushed through a padded Conv: right inside, wrong where zeros were padded."""
    rng = np.random.default_rng(0)
    w = rng.normal(size=(4, 3, 3, 3))
    s, t = rng.uniform(0.5, 1.5, 3), rng.normal(size=3)
    gamma = [tensor("s", s.astype(np.float32)), tensor("t", t.astype(np.float32))]
    zero_one = [tensor("m", np.zeros(3, np.float32)), tensor("v", np.ones(3, np.float32))]
    ports = [value("x", ["n", 3, 12, 12])], [value("y", ["n", 4, 12, 12])]
    bn = node("BatchNormalization", ["x", "s", "t", "m", "v"], "h", epsilon=0.0)
    conv = node("Conv", ["h", "w"], "y", pads=[1, 1, 1, 1])
    kernel = tensor("w", w.astype(np.float32))
    original = make_model([bn, conv], *ports, [kernel, *gamma, *zero_one])
    pushed = (w * s.reshape(1, -1, 1, 1)).astype(np.float32)
    bias = np.einsum("mchw,c->m", w, t).astype(np.float32)
    wrong = make_model(
        [node("Conv", ["x", "w2", "b2"], "y", pads=[1, 1, 1, 1])],
        *ports,
        [tensor("w2", pushed), tensor("b2", bias)],
    )
    verdict = verify(original, wrong)
    assert not verdict.ok
    assert verdict.outputs[0].max_rel > 0.1


@pytest.mark.parametrize("fault", ["mean not scaled", "gamma of the wrong channel"])
def test_layers_name_the_first_tensor_at_the_fault(normal, fault):
    candidate = nets.model(nets.faulty(fault, normal), norms=False)
    found = bisect(unfolded(normal), candidate)
    assert found.tensor == f"{nets.FAULTS[fault][1]}.y"
    assert found.node.startswith("Conv")
    assert found.tensor in found.sentence
    verdict = verify(unfolded(normal), candidate, layers=True)
    assert verdict.layers[0].name == found.tensor  # sorted by growth


def test_bisect_finds_nothing_in_a_correct_fold(normal):
    found = bisect(unfolded(normal), folded(normal))
    assert found.tensor is None
    assert found.ratio < JITTER_LIMIT


def test_the_same_question_gets_the_same_answer(normal):
    answers = [verify(unfolded(normal), folded(normal)).to_dict() for _ in range(2)]
    for answer in answers:
        del answer["seconds"]
    assert answers[0] == answers[1]


def test_a_saturated_output_is_seen_through(normal):
    original = nets.model(loud(normal.original), norms=True, tail="Sigmoid")
    parameters = loud(nets.faulty("one channel's bias off", normal))
    wrong = nets.model(parameters, norms=False, tail="Sigmoid")
    verdict = verify(original, wrong)
    assert not verdict.ok
    verdict = verify(original, nets.model(loud(normal.folded), norms=False, tail="Sigmoid"))
    assert verdict.ok, verdict.sentence


def loud(parameters):
    """The sigmoid behind it sits at its ends: exactly 0 or 1 even in float64."""
    moved = dict(parameters)
    moved["head.b"] = np.full(10, 800.0)
    return moved


def test_the_note_names_the_tensor_before_a_saturated_output(normal):
    original = nets.model(loud(normal.original), norms=True, tail="Sigmoid")
    verdict = verify(original, nets.model(loud(normal.folded), norms=False, tail="Sigmoid"))
    assert any("saturated" in note and "logits" in note for note in verdict.notes)


def test_outputs_that_depend_on_nothing_prove_nothing(normal):
    zero = tensor("zero", np.float32(0))
    model = make_model(
        [node("Mul", ["x", "zero"], "y")], [value("x", ["n", 4])], [value("y", ["n", 4])], [zero]
    )
    weights = tensor("w", np.ones((4, 4), np.float32))
    model.graph.initializer.append(weights)
    model.graph.node.insert(0, node("MatMul", ["x", "w"], "unused"))
    verdict = verify(model, model)
    assert not verdict.ok
    assert "nothing is proven" in verdict.sentence


def test_a_foreign_operator_falls_back_to_a_stated_tolerance():
    def foreign(scale):
        gelu = onnx.helper.make_node("Gelu", ["h"], ["y"], domain="com.microsoft")
        weights = tensor("w", (np.eye(4) * scale).astype(np.float32))
        return make_model(
            [node("MatMul", ["x", "w"], "h"), gelu],
            [value("x", ["n", 4])],
            [value("y", ["n", 4])],
            [weights],
            extra_opsets=[("com.microsoft", 1)],
        )

    verdict = verify(foreign(1.0), foreign(1.0 + 1e-7))
    assert verdict.ok
    assert verdict.reference == "tolerance"
    assert any("com.microsoft.Gelu" in note for note in verdict.notes)
    assert not verify(foreign(1.0), foreign(1.001)).ok


def test_a_tolerance_of_ones_own_decides(normal):
    wrong = nets.model(nets.faulty("weights off by 1e-4", normal), norms=False)
    assert verify(unfolded(normal), wrong, rtol=1e-2, atol=1e-2).ok
    assert not verify(unfolded(normal), folded(normal), rtol=1e-12, atol=1e-12).ok


def test_a_metric_is_shown_for_both(normal):
    x = np.random.default_rng(1).normal(size=(16, 3, 16, 16)).astype(np.float32)

    def classes(run):
        return float(np.bincount(run({"x": x})["logits"].argmax(1), minlength=10).max())

    verdict = verify(unfolded(normal), folded(normal), metric=classes)
    assert verdict.metric[0] == verdict.metric[1] > 0


def test_paths_bytes_and_messages_are_taken(normal, tmp_path):
    path = tmp_path / "a.onnx"
    onnx.save(unfolded(normal), path)
    assert verify(path, folded(normal).SerializeToString()).ok
    assert verify(str(path), path).ok


class TestInputs:
    X = np.random.default_rng(2).normal(size=(2, 3, 16, 16)).astype(np.float32)

    @pytest.fixture
    def models(self, normal):
        return unfolded(normal), folded(normal)

    def test_npz(self, models, tmp_path):
        np.savez(tmp_path / "in.npz", x=self.X)
        verdict = verify(*models, inputs=tmp_path / "in.npz")
        assert verdict.ok
        assert verdict.inputs == ("in.npz",)
        assert any("only 1 inputs" in note for note in verdict.notes)

    def test_a_folder_of_npy(self, models, tmp_path):
        for k in range(5):
            np.save(tmp_path / f"sample{k}.npy", self.X + k)
        assert len(verify(*models, inputs=tmp_path).inputs) == 5

    def test_onnx_test_sets(self, models, tmp_path):
        for k in range(2):
            folder = tmp_path / f"test_data_set_{k}"
            folder.mkdir()
            sample = numpy_helper.from_array(self.X, "x")
            (folder / "input_0.pb").write_bytes(sample.SerializeToString())
        assert verify(*models, inputs=tmp_path).inputs == ("test_data_set_0", "test_data_set_1")

    @pytest.mark.parametrize(
        ("feeds", "match"),
        [
            ({"z": X}, "named 'z', the model takes 'x'"),
            ({"x": X[:, :2]}, "2x2x16x16, the model takes nx3x16x16"),
            ({"x": X.astype(complex)}, "complex"),
            ({"x": X * np.nan}, "NaN"),
            ({"x": X[:0]}, "hold no values"),
        ],
    )
    def test_what_does_not_fit(self, models, feeds, match):
        with pytest.raises(errors.DataError, match=match):
            verify(*models, inputs=feeds)

    @pytest.mark.parametrize("kind", ["float64", "float16", "int64", "bool"])
    def test_a_file_of_another_type(self, models, kind, tmp_path):
        np.savez(tmp_path / "in.npz", x=self.X.astype(kind))
        with pytest.raises(errors.DataError, match=f"it is {kind}, the model takes float32"):
            verify(*models, inputs=tmp_path / "in.npz")

    def test_damaged_files(self, models, tmp_path):
        (tmp_path / "in.npz").write_bytes(b"PK\x03\x04 nothing")
        with pytest.raises(errors.DataError, match=r"not a readable \.npz"):
            verify(*models, inputs=tmp_path / "in.npz")
        with pytest.raises(errors.UsageError, match="no such file"):
            verify(*models, inputs=tmp_path / "missing.npz")

    def test_an_archive_that_inflates_too_far(self, models, tmp_path):
        np.savez_compressed(tmp_path / "in.npz", x=np.zeros((50, 3, 16, 16), np.float32))
        with pytest.raises(errors.DataError, match="inflates"):
            verify(*models, inputs=tmp_path / "in.npz", max_bytes=1000)

    def test_shapes(self, normal):
        ports = [value("x", ["n", "c", "h"])], [value("y", ["n", "c", 2])]
        model = make_model([node("Relu", ["x"], "h1"), node("MatMul", ["h1", "w"], "y")], *ports,
                           [tensor("w", np.ones((7, 2), np.float32))])  # fmt: skip
        assert verify(model, model, shapes={"x": (5, 7)}).ok
        assert verify(model, model, shapes={"c": (4,), "h": (7,)}).ok
        with pytest.raises(errors.UsageError, match="no such input or symbol"):
            verify(model, model, shapes={"q": (4,)})
        with pytest.raises(errors.UsageError, match="does not run on these inputs"):
            verify(model, model)


def renamed(model, old, new):
    other = onnx.ModelProto()
    other.CopyFrom(model)
    for n in other.graph.node:
        n.output[:] = [new if name == old else name for name in n.output]
    for port in other.graph.output:
        port.name = new if port.name == old else port.name
    return other


def test_signatures_that_differ(normal):
    original = unfolded(normal)
    with pytest.raises(errors.CheckFailed, match="outputs differ: the original has 'logits'"):
        verify(original, renamed(original, "logits", "scores"))
    half = onnx.ModelProto()
    half.CopyFrom(original)
    half.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 17
    with pytest.raises(errors.CheckFailed, match="nx3x16x16 in the original, nx3x17x16"):
        verify(original, half)


def test_nan_in_the_originals_own_output():
    model = make_model([node("Log", ["x"], "y")], [value("x", ["n", 4])], [value("y", ["n", 4])])
    with pytest.raises(errors.CheckFailed, match="own output 'y' holds NaN"):
        verify(model, model)


def test_what_onnxruntime_cannot_load(tmp_path):
    foreign = onnx.helper.make_node("Mystery", ["x"], ["y"], domain="com.example")
    model = make_model([foreign], [value("x", [1, 4])], [value("y", [1, 4])],
                       extra_opsets=[("com.example", 1)])  # fmt: skip
    with pytest.raises(errors.ModelError, match="ONNX Runtime cannot load it"):
        verify(model, model)


def test_files_that_are_no_models(tmp_path, normal):
    with pytest.raises(errors.UsageError):
        verify(tmp_path / "missing.onnx", folded(normal))
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(folded(normal).SerializeToString()[:-200])
    with pytest.raises(errors.ModelError):
        verify(folded(normal), bad)


def test_cuda_asked_for_and_absent(normal):
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(errors.EnvironmentLacks, match=r"CUDA|fell back"):
        verify(unfolded(normal), folded(normal), provider="cuda")
    with pytest.raises(errors.UsageError, match="unknown provider"):
        verify(unfolded(normal), folded(normal), provider="tpu")


def test_no_onnxruntime(normal, monkeypatch, tmp_path):
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('not here')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(errors.EnvironmentLacks, match="onnxruntime does not import"):
        verify(unfolded(normal), folded(normal))


def test_a_runtime_that_crashes_is_one_line(normal, monkeypatch, tmp_path):
    (tmp_path / "onnxruntime.py").write_text("import os\nos.abort()\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(errors.ModelError, match="ended with signal 6"):
        verify(unfolded(normal), folded(normal))


def test_a_record_of_another_source_is_no_certificate(normal):
    candidate = folded(normal)
    onnxfile.stamp(candidate, "0" * 64, 4, dataclasses.asdict(bnfold.Options()))
    gate = verify(unfolded(normal), candidate).gate("certificate")
    assert gate.ok is None
    assert "another file" in gate.sentence


REAL = ["mnist_resnet_torchscript_raw", "mnist_resnet_local_functions", "ppocr_mobile_v2_cls"]


@pytest.mark.skipif(not MODELS.is_dir(), reason="no ../shared/models beside the checkout")
@pytest.mark.parametrize("name", REAL)
def test_folds_of_real_networks_are_not_accused(name):
    path = MODELS / f"{name}.onnx"
    verdict = verify(path, bnfold.fold(path).model, batches=(1,))
    assert verdict.ok, verdict.sentence


@pytest.mark.skipif(not MODELS.is_dir(), reason="no ../shared/models beside the checkout")
@pytest.mark.parametrize("name", REAL)
def test_a_weight_off_by_a_thousandth_in_a_real_network_is_accused(name):
    path = MODELS / f"{name}.onnx"
    candidate = onnx.load(path)
    constants = [t for t in candidate.graph.initializer if len(t.dims) == 4]
    constants += [a.t for n in candidate.graph.node for a in n.attribute
                  if a.HasField("t") and len(a.t.dims) == 4]  # fmt: skip
    constants += [a.t for f in candidate.functions for n in f.node for a in n.attribute
                  if a.HasField("t") and len(a.t.dims) == 4]  # fmt: skip
    for target in constants[1:2]:
        values = numpy_helper.to_array(target) * np.float32(1.001)
        target.CopyFrom(numpy_helper.from_array(values, target.name))
    assert constants
    assert not verify(path, candidate, batches=(1,)).ok


@pytest.mark.skipif(not MODELS.is_dir(), reason="no ../shared/models beside the checkout")
def test_a_fold_of_float16_weights_that_run_in_float32_is_not_accused():
    """Its rounding of the weights is far above the run's own error, and is what a fold must do."""
    path = MODELS / "ultraface_rfb320_fp16.onnx"
    verdict = verify(path, bnfold.fold(path).model, batches=(1,))
    assert verdict.ok, verdict.sentence


def test_jitter_moves_equal_elements_alike() -> None:
    """As rounding does: in a weight that is one number its errors add up."""
    moved = jitter(0)("w", np.array([[2.0, 3.0], [2.0, -2.0]]), 1)
    assert moved[0, 0] == moved[1, 0] != 2.0
    many = np.random.default_rng(0).normal(size=4096)
    up = (jitter(0)("w", many, 1) / many > 1).mean()
    assert 0.45 < up < 0.55  # 6 sigma of a fair coin
    assert jitter(0)("w", np.array(2.0), 1).shape == ()
