"""The model of a seed: sums of linear branches of every kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from tests.build import DOUBLE, FLOAT, make_model, value
from tests.merging.borders import BATCH, framed_sum
from tests.merging.grow import Branches, spread_sum


def model_of(seed: int, dtype: Any = np.float32) -> onnx.ModelProto:
    """The model of a seed: up to three sums, with and without a nonlinearity between."""
    net = Branches(seed, dtype)
    bordered = seed % 10 == 8
    net.open &= not bordered
    x, shape = "x", net.shape
    outputs = []
    for _ in range(int(net.rng.integers(1, 4))):
        if net.rng.random() < 0.5:
            x = net.add("Relu", [x])
        if seed % 10 == 9:
            x, shape = spread_sum(net, x, shape)
        elif bordered:
            x, shape = framed_sum(net, x, shape)
        else:
            x, shape = net.sum(x, shape, 2) if net.rng.random() < 0.8 else net._step(x, shape, 2)
        if net.rng.random() < 0.1:
            outputs.append(x)
    outputs = list(dict.fromkeys([*outputs, net.add("Identity", [x])]))
    if net.nodes and net.rng.random() < 0.15:  # another reader of some tensor
        inner = str(net.rng.choice([n.output[0] for n in net.nodes]))
        outputs.append(net.add("Sigmoid", [inner]))
    spatial = [f"s{i}" for i in range(net.rank)] if net.open else list(net.shape[1:])
    batch = BATCH if bordered else "N"
    return make_model(
        net.nodes,
        [value("x", [batch, net.channels, *spatial], DOUBLE if dtype is np.float64 else FLOAT)],
        outputs,
        net.constants,
    )


def sizes_of(seed: int) -> dict[str, int]:
    """What the open sizes of a seed's model are at run time."""
    return {f"s{i}": n for i, n in enumerate(Branches(seed).shape[1:])}
