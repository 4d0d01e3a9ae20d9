"""Convolutions and pools by torch's double kernels; only verification asks for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bnfold.ops64 import convolution
from bnfold.ops64.call import Array, Call, Kernel, Result
from bnfold.ops64.windows import window


def _tensor(array: Array) -> Any:
    import torch

    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float64))


def _conv(call: Call) -> Result:
    """Conv by torch; asymmetric padding is made beforehand."""
    import torch

    x, weight, bias = call.need(0), call.need(1), call.get(2)
    kernel = weight.shape[2:]
    if not 1 <= len(kernel) <= 3 or not x.size:
        return convolution.convolve(call, x, weight, bias)
    geometry = window(call, x.shape[2:], kernel)
    function = getattr(torch.nn.functional, f"conv{len(kernel)}d")
    with torch.inference_mode():
        out = function(
            _tensor(geometry.pad(x, 0.0)),
            _tensor(weight),
            None if bias is None else _tensor(bias),
            stride=geometry.strides,
            dilation=geometry.dilations,
            groups=int(call.attr("group", 1)),
        )
    return np.asarray(out.numpy())


KERNELS: Mapping[str, Kernel] = {
    "Conv": _conv,
}
