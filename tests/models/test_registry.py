"""Every network by name: it runs, trains, and has the BatchNorms that it claims."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bnfold.errors import UsageError
from bnfold_models import create, names

NORMS = {
    "digits": 7,
    "mnist-mlp": 0,
    "mnist-mlp-bn": 3,
    "mobilenet-small": 11,
    "preact8": 7,
    "resnet8": 9,
    "resnet20": 21,
    "vgg-small": 6,
}


def norms(model: nn.Module) -> int:
    return sum(isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d)) for m in model.modules())


def test_every_network_has_a_row():
    assert set(names()) == NORMS.keys()


@pytest.mark.parametrize("size", [(8, 8), (28, 28), (32, 20)], ids=str)
@pytest.mark.parametrize("name", names())
def test_shape_and_norms(name, size):
    model = create(name, classes=7, channels=3, size=size)
    assert model(torch.randn(4, 3, *size)).shape == (4, 7)
    assert norms(model) == NORMS[name]


@pytest.mark.parametrize("name", names())
def test_every_parameter_gets_a_gradient(name):
    model = create(name, size=(8, 8))
    model(torch.randn(4, 1, 8, 8)).square().sum().backward()
    assert all(p.grad is not None for p in model.parameters())


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
