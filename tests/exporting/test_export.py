"""What export gives: every BatchNorm kept, parameters as initializers, names, and no traces."""

from __future__ import annotations

import logging

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator
from torch import nn

import bnfold
import bnfold_models
from bnfold.errors import CheckFailed, DataError, ModelError, UsageError
from bnfold.exporting import export
from bnfold_models import inception
from tests.exporting import nets


def trained(model: nn.Module, *shapes: tuple[int, ...]) -> nn.Module:
    """With statistics and affine parameters that are not 0 and 1; left in train mode."""
    torch.manual_seed(0)
    for module in model.modules():
        if getattr(module, "affine", False):
            nn.init.uniform_(module.weight, -1, 2)
            nn.init.normal_(module.bias)
    model.train()
    with torch.no_grad():
        for _ in range(3):
            model(*(torch.randn(8, *shape) * 2 + 1 for shape in shapes))
    return model


def ops(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def norms(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    return [node for node in model.graph.node if node.op_type == "BatchNormalization"]


def assert_clean(model: onnx.ModelProto) -> None:
    """The promises that hold of every export."""
    onnx.checker.check_model(model, full_check=True)
    known = {t.name for t in model.graph.initializer}
    for node in norms(model):
        assert known >= set(node.input[1:])
        assert len(node.output) == 1
        assert not any(a.name == "training_mode" and a.i for a in node.attribute)
    for node in model.graph.node:
        if node.op_type in ("Conv", "ConvTranspose") and len(node.input) == 3:
            assert node.input[2] in known
        assert not node.metadata_props
        assert not node.doc_string
    assert model.ir_version <= 10
    assert all(v.type.tensor_type.shape.dim[0].dim_param == "batch" for v in model.graph.input)
    names = [node.name for node in model.graph.node]
    assert len(set(names)) == len(names)
    assert b"site-packages" not in model.SerializeToString()


KINDS = {
    "conv1d": (nets.conv_norm(nn.Conv1d(4, 6, 3, bias=False), nn.BatchNorm1d(6)), (4, 9)),
    "conv2d-bias": (nets.conv_norm(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6)), (4, 7, 7)),
    "conv3d": (nets.conv_norm(nn.Conv3d(2, 6, 3, bias=False), nn.BatchNorm3d(6)), (2, 5, 5, 5)),
    "transposed": (
        nets.conv_norm(nn.ConvTranspose2d(4, 6, 3, groups=2, bias=False), nn.BatchNorm2d(6)),
        (4, 5, 5),
    ),
    "linear": (nets.conv_norm(nn.Linear(4, 6, bias=False), nn.BatchNorm1d(6)), (4,)),
    "sequence": (nets.Sequence(), (7, 4)),
    "head": (nets.Head(), (3, 8, 8)),
    "eps": (nets.conv_norm(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, eps=0.3)), (3, 4, 4)),
    "sync": (nets.conv_norm(nn.Conv2d(3, 4, 1), nn.SyncBatchNorm(4).eval()), (3, 4, 4)),
    "weight-norm": (
        nets.conv_norm(
            nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3)), nn.BatchNorm2d(4)
        ),
        (3, 6, 6),
    ),
    "local-response": (
        nn.Sequential(
            nn.Conv2d(3, 7, 3), nn.BatchNorm2d(7), nn.ReLU(), nn.LocalResponseNorm(5, alpha=0.5)
        ),
        (3, 6, 6),
    ),
}


@pytest.mark.parametrize(("model", "shape"), KINDS.values(), ids=KINDS)
def test_every_kind_keeps_its_norm(model, shape):
    if not isinstance(model[1] if isinstance(model, nn.Sequential) else None, nn.SyncBatchNorm):
        trained(model, shape)
    got = export(model, shape)
    assert_clean(got)
    assert len(norms(got)) == 1
    assert "Expand" not in ops(got)


@pytest.mark.parametrize("name", ["digits", "preact8", "vgg-small"])
def test_every_network(name):
    model = trained(bnfold_models.create(name, size=(12, 12)), (1, 12, 12))
    got = export(model, (1, 12, 12))
    assert_clean(got)
    layers = (nn.BatchNorm1d, nn.BatchNorm2d)
    assert len(norms(got)) == sum(isinstance(m, layers) for m in model.modules())
    stored = {t.name: numpy_helper.to_array(t) for t in got.graph.initializer}
    for key, tensor in model.state_dict().items():
        if "num_batches_tracked" not in key:
            np.testing.assert_array_equal(stored[key], tensor.numpy())
    x = torch.randn(7, 1, 12, 12)
    with torch.no_grad():
        wanted = model.eval()(x).numpy()
    np.testing.assert_allclose(
        ReferenceEvaluator(got).run(None, {"input": x.numpy()})[0], wanted, atol=1e-4
    )


def test_names_and_nodes_and_an_untouched_network():
    model = trained(nets.Head(), (3, 8, 8))
    model.conv.eval()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    modes = [m.training for m in model.modules()]
    got = export(model, (3, 8, 8))
    assert [node.name for node in got.graph.node][:2] == ["conv/Conv", "norm/BatchNormalization"]
    assert ops(got)[-2:] == ["Reshape", "Gemm"]
    target = next(t for t in got.graph.initializer if t.name.endswith("Reshape.shape"))
    assert numpy_helper.to_array(target).tolist() == [0, 16]
    conv = got.graph.node[0]
    assert list(conv.input) == ["input", "conv.weight"]  # a bias of zeros is absent
    assert got.graph.output[0].name == "output"
    assert [m.training for m in model.modules()] == modes
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_several_inputs_and_outputs():
    model = trained(nets.Several(), (3, 8, 8), (4,))
    got = export(model, ((3, 8, 8), (4,)), input_names=["image", "vector"])
    assert_clean(got)
    assert [v.name for v in got.graph.input] == ["image", "vector"]
    assert [v.name for v in got.graph.output] == ["output_0", "output_1", "output_2"]
    assert {"plain.weight", "plain.bias"} <= {t.name for t in got.graph.initializer}


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_network_that_has_no_copy_comes_back_untouched():
    model = nn.Sequential(nn.utils.weight_norm(nn.Conv2d(3, 4, 3)), nn.BatchNorm2d(4))
    assert_clean(export(trained(model, (3, 6, 6)), (3, 6, 6)))
    assert model.training


def test_quiet_and_the_same_bytes_twice(capfd, caplog):
    model = trained(nets.Sequence(), (7, 4))
    with caplog.at_level(logging.WARNING):
        first, second = (export(model, (7, 4)).SerializeToString() for _ in range(2))
    assert first == second
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
    assert logging.getLogger("torch.onnx").level == logging.NOTSET


@pytest.mark.parametrize("opset", [20, 21])
def test_opset(opset):
    got = export(trained(nets.Head(), (3, 8, 8)), (3, 8, 8), opset=opset)
    assert got.opset_import[0].version == opset
    assert_clean(got)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64], ids=str)
def test_other_types(dtype):
    model = trained(nets.conv_norm(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4)), (3, 6, 6))
    assert_clean(export(model.to(dtype), (3, 6, 6)))


def test_bfloat16_is_refused_where_the_opset_has_none():
    model = nets.conv_norm(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4)).bfloat16()
    with pytest.raises(ModelError, match="bfloat16"):
        export(model, (3, 6, 6))


REFUSED = {
    "no-shape": (nets.Head(), None, UsageError, "example_shape"),
    "channels": (nets.Head(), (4, 8, 8), UsageError, "channels"),
    "with-batch": (nets.Head(), (1, 3, 8, 8), UsageError, "does not take"),
    "zero-size": (nets.Head(), (3, 0, 8), UsageError, "from 1 on"),
    "untracked": (
        nets.conv_norm(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3, track_running_stats=False)),
        (3, 4, 4), ModelError, "BatchNorm '1' has no running statistics",
    ),
    "always-training": (nets.AlwaysTraining(), (3, 4, 4), ModelError, "normalises by each batch"),
    "branching": (nets.Branching(), (4,), ModelError, "cannot export"),
    "fixed-batch": (nets.FixedBatch(), (4,), ModelError, "batch"),
    "random": (nets.Random(), (4,), CheckFailed, "differs"),
    "not-finite": (nets.NotFinite(), (4,), CheckFailed, "NaN or infinity"),
}  # fmt: skip


@pytest.mark.parametrize(("model", "shape", "error", "told"), REFUSED.values(), ids=REFUSED)
def test_refused(model, shape, error, told):
    with pytest.raises(error) as caught:
        export(model, shape)
    assert told in str(caught.value)


def test_bad_options(tmp_path):
    model = nets.Head()
    with pytest.raises(UsageError):
        export(model, (3, 8, 8), opset=17)
    with pytest.raises(UsageError):
        export(model, (3, 8, 8), output_names=["a", "b"])
    with pytest.raises(UsageError):
        export(tmp_path / "nothing")
    with pytest.raises(DataError):
        export(tmp_path)


@pytest.mark.parametrize(("grid", "left"), [((1, 1), []), ((2, 3), ["axis-mismatch"])], ids=str)
def test_per_activation_norms_fold_where_that_is_exact(grid, left):
    """A convolution has one scale a map: it takes in what does not differ over places."""
    layers = inception.unit(inception.BN_INCEPTION, 2, 3, grid=grid)
    layers.get_buffer("norm.norm.running_mean").normal_()
    model = export(layers, (2, *grid))
    assert [node.op_type for node in model.graph.node].count("BatchNormalization") == 1
    assert [kept.code for kept in bnfold.fold(model).report.remaining] == left
