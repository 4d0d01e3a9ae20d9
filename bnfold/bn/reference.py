"""Algorithm 1 of the paper in float64: the transform, its six gradients, and the fold of one layer.

A reference to test against, written for reading; training itself uses torch's kernels.
Source: Ioffe and Szegedy, arXiv 1502.03167, section 3.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bnfold.errors import UsageError

Array = NDArray[np.float64]


class Forward(NamedTuple):
    """`out` and `normalized` like x; `mean` and `var` (biased, 1/m) of shape (C,)."""

    out: Array
    normalized: Array
    mean: Array
    var: Array


class Gradients(NamedTuple):
    """The six gradients as the paper prints them: by x-hat, variance, mean, x, gamma, beta."""

    normalized: Array
    var: Array
    mean: Array
    x: Array
    gamma: Array
    beta: Array


def batch_norm_forward(
    x: ArrayLike, gamma: ArrayLike, beta: ArrayLike, eps: float = 1e-5
) -> Forward:
    """Y = gamma (x - mean) / sqrt(var + eps) + beta over a batch; x (N, C, ...), gamma, beta (C,).

    One pair (gamma, beta) per unit (N, C), or per feature map with more axes (section 3.2).

    Raises:
        UsageError: the shapes do not fit, or a channel has a single value.
    """
    rows = _rows(np.asarray(x, np.float64))
    scale, shift = (np.asarray(v, np.float64) for v in (gamma, beta))
    if scale.shape != (rows.shape[1],) or shift.shape != scale.shape:
        raise UsageError(f"gamma {scale.shape} and beta {shift.shape} must be ({rows.shape[1]},)")
    mean = rows.mean(axis=0)
    var = ((rows - mean) ** 2).mean(axis=0)
    normalized = (rows - mean) / np.sqrt(var + eps)
    like = np.asarray(x).shape
    return Forward(_unrows(scale * normalized + shift, like), _unrows(normalized, like), mean, var)


def batch_norm_backward(
    dy: ArrayLike, x: ArrayLike, gamma: ArrayLike, eps: float = 1e-5
) -> Gradients:
    """The gradients of a loss by everything in Algorithm 1, given dy = dl/dy; shapes as forward.

    Raises:
        UsageError: the shapes do not fit, or a channel has a single value.
    """
    like = np.asarray(x).shape
    if np.asarray(dy).shape != like:
        raise UsageError(f"dy {np.asarray(dy).shape} must have the shape of x {like}")
    scale = np.asarray(gamma, np.float64)
    _, normalized, mean, var = batch_norm_forward(x, scale, np.zeros_like(scale), eps)
    grad, rows, hat = (_rows(np.asarray(v, np.float64)) for v in (dy, x, normalized))
    m = rows.shape[0]
    inverse = 1.0 / np.sqrt(var + eps)
    dhat = grad * scale
    dvar = (dhat * (rows - mean)).sum(axis=0) * -0.5 * inverse**3
    # the second term is zero by the definition of the mean; it stays, as the paper prints it
    dmean = (-dhat * inverse).sum(axis=0) + dvar * (-2.0 * (rows - mean)).mean(axis=0)
    dx = dhat * inverse + dvar * 2.0 * (rows - mean) / m + dmean / m
    dgamma, dbeta = (grad * hat).sum(axis=0), grad.sum(axis=0)
    return Gradients(_unrows(dhat, like), dvar, dmean, _unrows(dx, like), dgamma, dbeta)


def fold_parameters(
    gamma: ArrayLike, beta: ArrayLike, mean: ArrayLike, var: ArrayLike, eps: float
) -> tuple[Array, Array]:
    """(scale, shift) with BN(x) = scale x + shift, each (C,) float64; Algorithm 2, last line.

    Raises:
        UsageError: the shapes differ, or var + eps is not positive, or something is not finite.
    """
    g, b, m, v = (np.asarray(p, np.float64) for p in (gamma, beta, mean, var))
    if not g.shape == b.shape == m.shape == v.shape:
        raise UsageError(f"gamma, beta, mean, var differ: {g.shape} {b.shape} {m.shape} {v.shape}")
    if not (v + eps > 0).all():  # so written that NaN is refused too
        raise UsageError("var + eps must be positive in every channel")
    with np.errstate(all="ignore"):  # what is not finite is refused in the next line
        scale = g / np.sqrt(v + eps)
        shift = b - m * scale
    if not (np.isfinite(scale).all() and np.isfinite(shift).all()):
        raise UsageError("gamma, beta, mean and var must be finite, and so must their fold be")
    return scale, shift


def _rows(x: Array) -> Array:
    """(N, C, ...) -> (m, C): a convolution's positions count as further examples (section 3.2)."""
    if x.ndim < 2:
        raise UsageError(f"x must be (N, C, ...), not {x.shape}")
    rows = np.moveaxis(x, 1, -1).reshape(-1, x.shape[1])
    if rows.shape[0] < 2:
        raise UsageError(f"a batch statistic needs more than one value per channel, x is {x.shape}")
    return rows


def _unrows(rows: Array, shape: tuple[int, ...]) -> Array:
    """(m, C) -> (N, C, ...): the inverse of `_rows`."""
    return np.moveaxis(rows.reshape(shape[0], *shape[2:], shape[1]), -1, 1)
