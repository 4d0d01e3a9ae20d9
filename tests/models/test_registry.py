"""Every network by name: it runs, trains, and has the BatchNorms that it claims."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bnfold.errors import UsageError
from bnfold_models import create, names

NORMS = {
    "bn-inception-small": 69,
    "densenet-small": 27,
    "digits": 7,
    "inception-small": 0,
    "mnist-mlp": 0,
    "mnist-mlp-bn": 3,
    "mobilenet-small": 11,
    "preact8": 7,
    "repvgg-small": 18,
    "resnet8": 9,
    "resnet20": 21,
    "vgg-small": 6,
}
LARGE = {  # parameters at 1000 classes as the libraries of the field count them, and BatchNorms
    "bn-inception": (11_194_984, 69),
    "densenet121": (7_978_856, 121),
    "inception": (11_185_032, 0),
    "mobilenet-v2": (3_504_872, 52),
    "preact-resnet50": (25_549_352, 49),
    "repvgg-a0": (9_108_968, 61),
    "resnet18": (11_689_512, 20),
    "resnet34": (21_797_672, 36),
    "resnet50": (25_557_032, 53),
    "resnet101": (44_549_160, 104),
    "vgg16-bn": (138_365_992, 13),
}
KEYS = {  # some of those that published weights have
    "densenet121": ["features.norm0.weight", "features.denseblock3.denselayer24.norm2.running_var",
                    "features.transition1.conv.weight", "features.norm5.bias", "classifier.bias"],
    "mobilenet-v2": ["features.0.1.weight", "features.1.conv.0.0.weight", "features.2.conv.3.bias",
                     "features.18.1.running_mean", "classifier.1.weight"],
    "repvgg-a0": ["stage0.rbr_dense.conv.weight", "stage1.1.rbr_identity.running_mean",
                  "stage4.0.rbr_1x1.bn.bias", "linear.weight"],
    "resnet18": ["layer2.0.downsample.1.weight", "layer4.1.bn2.running_var", "fc.bias"],
    "resnet50": ["layer1.0.downsample.0.weight", "layer3.5.bn3.bias", "fc.weight"],
    "vgg16-bn": ["features.0.bias", "features.41.running_mean", "classifier.6.weight"],
}  # fmt: skip


def norms(model: nn.Module) -> int:
    return sum(isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d)) for m in model.modules())


def test_every_network_has_a_row():
    assert set(names()) == NORMS.keys() | LARGE.keys()


@pytest.mark.parametrize("size", [(8, 8), (28, 28), (32, 20)], ids=str)
@pytest.mark.parametrize("name", NORMS)
def test_shape_and_norms(name, size):
    model = create(name, classes=7, channels=3, size=size)
    assert model(torch.randn(4, 3, *size)).shape == (4, 7)
    assert norms(model) == NORMS[name]


@pytest.mark.parametrize("name", NORMS)
def test_every_parameter_gets_a_gradient(name):
    model = create(name, size=(8, 8))
    model(torch.randn(4, 1, 8, 8)).square().sum().backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize("name", LARGE)
def test_large_ones_are_the_fields(name):
    """Counted without memory: shapes alone."""
    with torch.device("meta"):
        model = create(name, classes=1000, channels=3, size=(224, 224))
        assert model(torch.empty(2, 3, 224, 224)).shape == (2, 1000)
    count = sum(p.numel() for p in model.parameters())
    assert (count, norms(model)) == LARGE[name]
    assert model.state_dict().keys() >= set(KEYS.get(name, ()))


def test_same_seed_same_weights():
    drawn = []
    for _ in range(2):
        torch.manual_seed(3)
        drawn.append(create("digits", size=(8, 8)).state_dict())
    assert all(torch.equal(drawn[0][k], drawn[1][k]) for k in drawn[0])


def test_digits_has_one_of_each():
    model = create("digits")
    convs = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    assert any(c.groups == c.in_channels > 1 for c in convs)
    assert {nn.BatchNorm1d, nn.BatchNorm2d, nn.Linear} <= {type(m) for m in model.modules()}
    assert model.residual.downsample is not None


def test_paper_net_is_the_papers():
    """Section 4.1: 784-100-100-100-10, BN before each sigmoid, no bias under a BN."""
    model = create("mnist-mlp-bn")
    linears = [m for m in model.modules() if isinstance(m, nn.Linear)]
    assert [tuple(m.weight.shape) for m in linears] == [
        (100, 784),
        (100, 100),
        (100, 100),
        (10, 100),
    ]
    assert [m.bias is None for m in linears] == [True, True, True, False]


@pytest.mark.parametrize(("name", "hint"), [("resnet9", "resnet8"), ("zzz", "known models")])
def test_unknown_name(name, hint):
    with pytest.raises(UsageError) as caught:
        create(name)
    assert hint in (caught.value.hint or "")


def test_sizes_from_one():
    with pytest.raises(UsageError):
        create("digits", classes=0)
