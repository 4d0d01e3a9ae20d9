"""Normalisations: batch (opsets 1 to 15, both modes), instance, layer, group, RMS, LRN, Lp."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bnfold.ops64.call import Array, Call, Kernel, Result, axes_of, axis_of


def _row(values: Array, rank: int) -> Array:
    """(C,) along axis 1 of a tensor of `rank` axes."""
    return values.reshape(-1, *[1] * (rank - 2)) if rank > 2 else values


def _batch_norm(call: Call) -> Result:
    """Gamma (x - mean) / sqrt(var + eps) + beta; per position under spatial=0 (opset 7, 8)."""
    x, gamma, beta, mean, var = (call.need(k) for k in range(5))
    eps = float(call.attr("epsilon", 1e-5))
    if not call.attr("spatial", 1) and call.version < 9:
        shape = x.shape[1:]
        rows = [value.reshape(shape) for value in (gamma, beta, mean, var)]
    else:
        rows = [_row(value, x.ndim) for value in (gamma, beta, mean, var)]
    if _trains(call):
        return _batch_norm_training(call, x, rows, eps)
    gamma, beta, mean, var = rows
    return np.asarray((x - mean) * (gamma / np.sqrt(var + eps)) + beta)


def _trains(call: Call) -> bool:
    if call.version >= 14:
        return bool(call.attr("training_mode", 0))
    if call.version >= 7:
        return call.outputs > 1
    return not call.attr("is_test", 0)


def _batch_norm_training(call: Call, x: Array, rows: list[Array], eps: float) -> Result:
    """By the batch's own statistics; running = momentum * old + (1 - momentum) * batch."""
    gamma, beta = rows[:2]
    axes = (
        (0,)
        if rows[0].ndim == x.ndim - 1 and x.ndim > 2 and rows[0].shape == x.shape[1:]
        else (
            0,
            *range(2, x.ndim),
        )
    )
    mean, var = x.mean(axis=axes), x.var(axis=axes)
    y = (x - mean.reshape(gamma.shape)) * (gamma / np.sqrt(var.reshape(gamma.shape) + eps)) + beta
    momentum = float(call.attr("momentum", 0.9))
    shape = call.need(3).shape
    running = [
        momentum * old + (1.0 - momentum) * new.reshape(shape)
        for old, new in ((call.need(3), mean), (call.need(4), var))
    ]
    every = (np.asarray(y), *running, mean.reshape(shape), var.reshape(shape))
    return every[: max(1, call.outputs)]


def _standardised(x: Array, axes: tuple[int, ...], eps: float) -> tuple[Array, Array, Array]:
    mean = x.mean(axis=axes, keepdims=True)
    centred = x - mean
    inverse = 1.0 / np.sqrt(np.square(centred).mean(axis=axes, keepdims=True) + eps)
    return centred * inverse, mean, inverse


def _instance_norm(call: Call) -> Result:
    x = call.need(0)
    eps = float(call.attr("epsilon", 1e-5))
    y = _standardised(x, tuple(range(2, x.ndim)), eps)[0]
    return np.asarray(y * _row(call.need(1), x.ndim) + _row(call.need(2), x.ndim))


def _layer_norm(call: Call) -> Result:
    """Over the axes from `axis` on; also the mean and 1 / sqrt(var + eps)."""
    x, scale, bias = call.need(0), call.need(1), call.get(2)
    axes = tuple(range(axis_of(call.attr("axis", -1), x.ndim), x.ndim))
    y, mean, inverse = _standardised(x, axes, float(call.attr("epsilon", 1e-5)))
    y = y * scale
    return np.asarray(y if bias is None else y + bias), mean, inverse


def _rms_norm(call: Call) -> Result:
    x = call.need(0)
    axes = tuple(range(axis_of(call.attr("axis", -1), x.ndim), x.ndim))
    eps = float(call.attr("epsilon", 1e-5))
    square = np.square(x).mean(axis=axes, keepdims=True)
    return np.asarray(x / np.sqrt(square + eps) * call.need(1))


def _group_norm(call: Call) -> Result:
    """Scale and bias are one a group in opset 18, one a channel from 21 on."""
    x, scale, bias = call.need(0), call.need(1), call.need(2)
    groups = int(call.attr("num_groups"))
    split = x.reshape(x.shape[0], groups, -1)
    y = _standardised(split, (2,), float(call.attr("epsilon", 1e-5)))[0].reshape(x.shape)
    if call.version < 21:
        scale, bias = (np.repeat(value, x.shape[1] // groups) for value in (scale, bias))
    return np.asarray(y * _row(scale, x.ndim) + _row(bias, x.ndim))


def _mean_variance_norm(call: Call) -> Result:
    x = call.need(0)
    axes = axes_of(call.ints("axes") or (0, 2, 3), x.ndim)
    centred = x - x.mean(axis=axes, keepdims=True)
    return np.asarray(centred / (x.std(axis=axes, keepdims=True) + 1e-9))


def _lrn(call: Call) -> Result:
    """X / (bias + alpha / size * sum of squares over the channels around) ** beta."""
    x, size = call.need(0), int(call.attr("size"))
    squares = np.square(x)
    before = (size - 1) // 2
    total = np.zeros_like(squares)
    for c in range(x.shape[1]):
        low, high = max(0, c - before), c + (size - 1 - before) + 1
        total[:, c] = squares[:, low:high].sum(axis=1)
    alpha, beta = float(call.attr("alpha", 1e-4)), float(call.attr("beta", 0.75))
    return np.asarray(x / (float(call.attr("bias", 1.0)) + alpha / size * total) ** beta)


def _lp_norm(call: Call) -> Result:
    x, p = call.need(0), call.attr("p", 2)
    size = np.linalg.norm(x, ord=p, axis=call.attr("axis", -1), keepdims=True)
    return np.asarray(np.divide(x, size, out=np.zeros_like(x), where=size != 0))


KERNELS: Mapping[str, Kernel] = {
    "BatchNormalization": _batch_norm,
    "GroupNormalization": _group_norm,
    "InstanceNormalization": _instance_norm,
    "LRN": _lrn,
    "LayerNormalization": _layer_norm,
    "LpNormalization": _lp_norm,
    "MeanVarianceNormalization": _mean_variance_norm,
    "RMSNormalization": _rms_norm,
}
