"""Algorithm 1 against torch, autograd and the paper's identities; the fold of a layer."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bnfold.bn import batch_norm_backward, batch_norm_forward, fold_parameters
from bnfold.errors import UsageError

SHAPES = [(7, 5), (60, 100), (4, 3, 6), (3, 5, 4, 2), (2, 3, 2, 2, 3)]


def drawn(shape: tuple[int, ...], seed: int = 0):
    rng = np.random.default_rng(seed)
    channels = shape[1]
    return (
        rng.normal(1.5, 2.0, shape),
        rng.normal(0.0, 1.0, channels),
        rng.normal(0.0, 1.0, channels),
        rng.normal(0.0, 1.0, shape),
    )


@pytest.mark.parametrize("eps", [0.0, 1e-5, 1e-3])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_forward_is_torchs(shape, eps):
    x, gamma, beta, _ = drawn(shape)
    wanted = torch.nn.functional.batch_norm(
        *map(torch.tensor, (x, np.zeros(shape[1]), np.ones(shape[1]))),
        torch.tensor(gamma), torch.tensor(beta), True, 0.1, max(eps, 1e-300),
    )  # fmt: skip
    got = batch_norm_forward(x, gamma, beta, eps)
    np.testing.assert_allclose(got.out, wanted.numpy(), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("eps", [0.0, 1e-5, 1e-3])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_all_six_gradients_are_autograds(shape, eps):
    x, gamma, beta, dy = drawn(shape)
    leaves = [torch.tensor(v, requires_grad=True) for v in (x, gamma, beta)]
    axes = [0, *range(2, len(shape))]
    column = (1, -1, *[1] * (len(shape) - 2))
    # mean and variance as the paper treats them: nodes of the graph with gradients of their own
    mean = leaves[0].mean(axes)
    var = (leaves[0] - mean.view(column)).square().mean(axes)
    hat = (leaves[0] - mean.view(column)) / (var.view(column) + eps).sqrt()
    for inner in (mean, var, hat):
        inner.retain_grad()
    out = hat * leaves[1].view(column) + leaves[2].view(column)
    out.backward(torch.tensor(dy))
    got = batch_norm_backward(dy, x, gamma, eps)
    wanted = [hat.grad, var.grad, mean.grad, *(leaf.grad for leaf in leaves)]
    for name, one, other in zip(got._fields, got, wanted, strict=True):
        np.testing.assert_allclose(one, other.numpy(), rtol=1e-9, atol=1e-10, err_msg=name)


def test_gradcheck():
    """The reference's dx, dgamma, dbeta against float64 differences of its own forward."""

    class Reference(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, gamma, beta):
            ctx.save_for_backward(x, gamma)
            return torch.from_numpy(batch_norm_forward(x.numpy(), gamma.numpy(), beta.numpy()).out)

        @staticmethod
        def backward(ctx, dy):
            x, gamma = ctx.saved_tensors
            grads = batch_norm_backward(dy.numpy(), x.detach().numpy(), gamma.detach().numpy())
            return tuple(torch.from_numpy(g) for g in (grads.x, grads.gamma, grads.beta))

    def forward(x, gamma, beta):
        return Reference.apply(x, gamma, beta)

    leaves = [torch.tensor(v, requires_grad=True) for v in drawn((5, 3, 2))[:3]]
    assert torch.autograd.gradcheck(forward, leaves)


def test_normalized_batch_has_mean_zero_and_variance_one():
    x, gamma, beta, _ = drawn((50, 4))
    hat = batch_norm_forward(x, gamma, beta, eps=0.0).normalized
    np.testing.assert_allclose(hat.mean(0), 0, atol=1e-14)
    np.testing.assert_allclose((hat**2).mean(0), 1, rtol=1e-14)


def test_gamma_of_the_deviation_restores_the_identity():
    x, *_ = drawn((50, 4))
    out = batch_norm_forward(x, np.sqrt(x.var(0)), x.mean(0), eps=0.0).out
    np.testing.assert_allclose(out, x, rtol=1e-13)


@pytest.mark.parametrize("factor", [0.01, 0.1, 10.0, 1000.0])
def test_scale_identities(factor):
    """Section 3.3, exact for eps = 0 and a > 0: BN(aWu) = BN(Wu), d/d(aW) = (1/a) d/dW."""
    rng = np.random.default_rng(1)
    u, w = rng.normal(size=(40, 6)), rng.normal(size=(6, 5))
    gamma, beta, dy = rng.normal(size=5), rng.normal(size=5), rng.normal(size=(40, 5))
    plain = batch_norm_forward(u @ w, gamma, beta, eps=0.0).out
    scaled = batch_norm_forward(u @ (factor * w), gamma, beta, eps=0.0).out
    np.testing.assert_allclose(scaled, plain, rtol=1e-10, atol=1e-12)
    dz = batch_norm_backward(dy, u @ w, gamma, eps=0.0).x
    dz_scaled = batch_norm_backward(dy, u @ (factor * w), gamma, eps=0.0).x
    np.testing.assert_allclose(factor * dz_scaled @ w.T, dz @ w.T, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(factor * (u.T @ dz_scaled), u.T @ dz, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(("eps", "factor", "low", "high"), [
    (1e-5, 10.0, 0.0, 1e-5), (1e-5, 0.01, 1e-3, 1e-1), (1e-3, 0.01, 0.1, 1.0),
    (0.0, -1.0, 1.0, 3.0),
])  # fmt: skip
def test_where_the_scale_identity_ends(eps, factor, low, high):
    """With eps > 0 small weights break it, and a < 0 flips the sign."""
    u = np.random.default_rng(2).normal(size=(200, 3))
    plain = batch_norm_forward(u, np.ones(3), np.zeros(3), eps).out
    scaled = batch_norm_forward(factor * u, np.ones(3), np.zeros(3), eps).out
    error = np.abs(scaled - plain).max() / np.abs(plain).max()
    assert low <= error <= high


@pytest.mark.parametrize("attached", [False, True])
def test_section_2_warning(attached):
    """Normalise outside the gradient step, and the bias grows while the loss stands still."""
    generator = torch.Generator().manual_seed(0)
    u = torch.randn(256, generator=generator, dtype=torch.float64)
    target = torch.randn(256, generator=generator, dtype=torch.float64) + 1
    bias = torch.zeros((), dtype=torch.float64, requires_grad=True)
    losses = []
    for _ in range(1000):
        x = u + bias
        mean = x.mean() if attached else x.mean().detach()
        loss = ((x - mean - target) ** 2).mean() / 2
        (gradient,) = torch.autograd.grad(loss, bias)
        losses.append(loss.item())
        with torch.no_grad():
            bias -= 0.1 * gradient
    assert max(losses) - min(losses) < 1e-10
    assert abs(bias.item()) < 1e-10 if attached else abs(bias.item()) > 50


@pytest.mark.parametrize("x", [np.ones((1, 3)), np.ones((1, 3, 1, 1)), np.ones(3)])
def test_one_value_per_channel_is_refused(x):
    with pytest.raises(UsageError):
        batch_norm_forward(x, np.ones(3), np.zeros(3))


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(UsageError):
        batch_norm_forward(np.ones((4, 3)), np.ones(2), np.zeros(2))
    with pytest.raises(UsageError):
        batch_norm_backward(np.ones((4, 2)), np.ones((4, 3)), np.ones(3))


def test_fold_parameters_is_the_inference_transform():
    rng = np.random.default_rng(3)
    layer = torch.nn.BatchNorm1d(6, eps=1e-3, dtype=torch.float64).eval()
    for tensor in (layer.weight.data, layer.bias.data, layer.running_mean):
        tensor.copy_(torch.tensor(rng.normal(size=6)))
    layer.running_var.copy_(torch.tensor(rng.uniform(0.1, 4, 6)))
    parts = (layer.weight, layer.bias, layer.running_mean, layer.running_var)
    scale, shift = fold_parameters(*(p.detach().numpy() for p in parts), layer.eps)
    x = rng.normal(size=(9, 6))
    with torch.no_grad():
        np.testing.assert_allclose(x * scale + shift, layer(torch.tensor(x)), rtol=1e-13)


@pytest.mark.parametrize(
    ("gamma", "var", "eps"),
    [(1.0, -0.1, 1e-5), (1.0, 0.0, 0.0), (1.0, np.nan, 1e-5), (np.inf, 1.0, 1e-5)],
    ids=["negative-variance", "zero", "nan", "infinite-gamma"],
)
def test_fold_parameters_refuses(gamma, var, eps):
    with pytest.raises(UsageError):
        fold_parameters([gamma], [0.0], [0.0], [var], eps)
