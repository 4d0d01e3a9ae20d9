"""Matrix products: MatMul, Gemm, Einsum, and the integer MatMul."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bnfold.ops64.call import Array, Call, Kernel, Result


def _matmul(call: Call) -> Result:
    return np.asarray(np.matmul(call.need(0), call.need(1)))


def _gemm(call: Call) -> Result:
    """Alpha A' B' + beta C; A' and B' transposed where asked."""
    a, b, c = call.need(0), call.need(1), call.get(2)
    a = a.T if call.attr("transA", 0) else a
    b = b.T if call.attr("transB", 0) else b
    alpha, beta = call.attr("alpha", 1.0), call.attr("beta", 1.0)
    out = a @ b
    if alpha != 1.0:
        out = (alpha * out).astype(a.dtype)
    if c is None or beta == 0.0:
        return np.asarray(out)
    return np.asarray(out + (c if beta == 1.0 else beta * c)).astype(a.dtype)


def _einsum(call: Call) -> Result:
    parts = [part for part in call.inputs if part is not None]
    return np.asarray(np.einsum(call.text("equation", ""), *parts, optimize="greedy"))


def _centred(values: Array, zero: Array | None, side: str) -> Array:
    values = values.astype(np.int64)
    if zero is None:
        return values
    zero = zero.astype(np.int64)
    if zero.ndim == 1 and zero.size > 1 and side == "row":
        zero = zero[:, None]
    return values - zero


def _matmul_integer(call: Call) -> Result:
    a = _centred(call.need(0), call.get(2), "row")
    b = _centred(call.need(1), call.get(3), "column")
    product: Array = np.matmul(a.astype(np.float64), b.astype(np.float64))
    return product.astype(np.int32)


KERNELS: Mapping[str, Kernel] = {
    "Einsum": _einsum,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "MatMulInteger": _matmul_integer,
}
