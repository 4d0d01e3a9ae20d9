"""float16, bfloat16, float64, mixed parameters: float64 inside, one rounding, the range kept."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from tests.build import DOUBLE, FLOAT, FLOAT16, bfloat16, value
from tests.folding.cases.case import Build, Case, case, plain
from tests.net import Net

BFLOAT16 = onnx.TensorProto.BFLOAT16
KINDS = {FLOAT16: np.float16, FLOAT: np.float32, DOUBLE: np.float64}
RANGE = "number-range"
EDGE = ("nonlinear-neighbours", "value-used-elsewhere")


def typed(
    label: str,
    before: Build,
    after: Build,
    *codes: str,
    kind: int = FLOAT16,
    shape: tuple[Any, ...] = ("N", 3, 6, 6),
    c: int = 4,
    more: dict[str, Any] | None = None,
    **norm: Any,
) -> Case:
    """input -> `before` -> BatchNorm -> `after`, all in one float type until a Cast says else."""
    net = Net(label)
    net.dtype = KINDS[kind]
    net.out(after(net, net.bn(before(net, net.input(shape, dtype=kind)), c, **norm)))
    return case(net, *codes, **(more or {}))


def cast(kind: int) -> Build:
    """A Cast; what follows is written in that type."""

    def build(n: Net, x: str) -> str:
        n.dtype = KINDS[kind]
        return n.op("Cast", x, to=kind)

    return build


def then(*builds: Build) -> Build:
    def build(n: Net, x: str) -> str:
        for one in builds:
            x = one(n, x)
        return x

    return build


def conv(cin: int = 3, cout: int = 4, **how: Any) -> Build:
    return lambda n, x: n.conv(x, cin, cout, **how)


def weighted(size: float) -> Build:
    return lambda n, x: n.conv(x, 3, 4, weight=np.full((4, 3, 3, 3), size))


def parameters(gamma: float, mean: float, var: float, beta: float = 0.0) -> dict[str, Any]:
    return {"parameters": ([gamma] * 4, [beta] * 4, [mean] * 4, [var] * 4)}


def brain(label: str, *, gemm: bool) -> Case:
    """bfloat16 throughout (fault 11)."""
    net = Net(label, 22)
    x = net.input(("N", 3) if gemm else ("N", 3, 6, 6), dtype=BFLOAT16)
    w = net.random(3, 4) if gemm else net.random(4, 3, 3, 3)
    data = {"w": w, "b": net.random(4), "s": net.random(4), "t": net.random(4)}
    data |= {"m": net.random(4), "v": net.rng.uniform(0.5, 2, 4)}
    net.initializers += [bfloat16(k, v) for k, v in data.items()]
    y = net.op("Gemm" if gemm else "Conv", x, "w", "b")
    return case(net.out(net.op("BatchNormalization", y, "s", "t", "m", "v")))


def mixed(label: str, kind: int, scale: Any, statistics: Any, opset: int = 17) -> Case:
    """A Conv of one type, then a BatchNorm with parameters of others (fault 10)."""
    net = Net(label, opset)
    net.dtype = KINDS[kind]
    y = net.conv(net.input(("N", 3, 6, 6), dtype=kind), 3, 4)
    net.dtype = scale
    s, b = net.weight(4), net.weight(4)
    net.dtype = statistics
    y = net.op("BatchNormalization", y, s, b, net.weight(4), net.init(net.rng.uniform(0.5, 2, 4)))
    return case(net.out(value(y, ("N", 4, 4, 4), kind)))


def into_norm(label: str) -> Case:
    """Two BatchNorms of mixed types merge, each parameter in its own type."""
    net = Net(label)
    net.dtype = np.float16
    y = net.op("Sigmoid", net.input(("N", 3, 6, 6), dtype=FLOAT16))
    net.dtype = np.float32
    y = net.op("Tanh", net.bn(net.bn(y, 3), 3))
    return case(net.out(value(y, ("N", 3, 6, 6), FLOAT16)), *EDGE, stay=1)


TINY = 2.0**-24  # the step of float16 near zero; its smallest normal number is 2^-14
ROWS: list[Case] = [
    typed("float16-Conv", conv(), plain),
    typed("float16-Gemm", lambda n, x: n.gemm(x, 3, 4), plain, shape=("N", 3)),
    typed("float16-MatMul", lambda n, x: n.matmul(x, 3, 4), plain, shape=("N", 3)),
    typed("float16-push-Conv", plain, conv(), c=3),
    typed("float16-ConvTranspose", lambda n, x: n.deconv(x, 3, 4), plain),
    typed("float16-Mul-Add", lambda n, x: n.op("Add", n.op("Mul", n.conv(x, 3, 4),
          n.init(np.array(1.5))), n.init(np.array(0.1))), plain, more={"affine": 0}),
    typed("float64-Conv", conv(), plain, kind=DOUBLE),
    brain("bfloat16-Conv", gemm=False),
    brain("bfloat16-Gemm", gemm=True),
    mixed("float16-float32-statistics", FLOAT16, np.float16, np.float32),
    mixed("float16-float32-parameters", FLOAT16, np.float32, np.float32),
    mixed("float16-float64-statistics", FLOAT16, np.float16, np.float64),
    mixed("float32-float16-parameters", FLOAT, np.float16, np.float32),
    mixed("float32-float64-statistics", FLOAT, np.float32, np.float64),
    mixed("float32-float64-statistics-opset-14", FLOAT, np.float32, np.float64, 14),
    into_norm("float16-norm-into-norm"),
    # range: w' = s w, b' = s b + t must hold in the type
    typed("float16-overflow", lambda n, x: n.conv(x, 3, 4, weight=n.random(4, 3, 3, 3) * 200),
          plain, RANGE, **parameters(60.0, 0.0, 1e-3)),
    typed("float16-overflow-shift", conv(), plain, RANGE, **parameters(60.0, 300.0, 1e-3),
          eps=1e-6),
    typed("float16-largest", weighted(31.0), plain, **parameters(2110.0, 0.0, 1.0), eps=0.0),
    typed("float16-past-largest", weighted(32.0), plain, RANGE,
          **parameters(2110.0, 0.0, 1.0), eps=0.0),
    typed("float16-tiny-var", conv(), plain, **parameters(1.0, 0.0, 6e-8), eps=1e-7),
    typed("float16-weights-stay-normal", weighted(2.0**-10), plain,
          **parameters(2.0**-4, 0.0, 1.0), eps=0.0),
    typed("float16-weights-turn-subnormal", weighted(2.0**-10), plain, RANGE,
          **parameters(2.0**-5, 0.0, 1.0), eps=0.0),
    typed("float16-subnormal-shift", conv(bias=False), plain,
          **parameters(1.0, 0.0, 1.0, beta=5 * TINY)),
    typed("float16-overflow-down-too", conv(), conv(4, 2), RANGE, **parameters(6e4, 60.0, 1e-3)),
    # casts: the map may stand where the type is finer, never where it is coarser
    typed("float16-Cast-float32", then(conv(), cast(FLOAT)), plain, RANGE),
    typed("float32-Cast-float16", then(conv(), cast(FLOAT16)), plain, kind=FLOAT),
    typed("norm-float16-Cast-float32", plain, then(cast(FLOAT), conv()), c=3),
    typed("norm-float32-Cast-float16", plain, then(cast(FLOAT16), conv()), RANGE, kind=FLOAT, c=3),
    typed("float32-Cast-float64", then(conv(), cast(DOUBLE)), plain, kind=FLOAT),
    typed("norm-float16-Cast-int32", plain, lambda n, x: n.op("Cast", x, to=6), *EDGE, c=3),
]  # fmt: skip
