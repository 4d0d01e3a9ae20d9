"""A model written down operator by operator; every constant random, seeded by the model's label."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray

from tests.build import FLOAT, batchnorm, make_model, node, tensor, value

Bias = bool | Literal["empty"]


class Net:
    """Nodes, inputs and initializers under construction; each method returns tensor names."""

    def __init__(self, label: str = "net", opset: int = 17, **model: Any) -> None:
        self.rng = np.random.default_rng(zlib.crc32(label.encode()))
        self.label, self.opset, self.options = label, opset, model
        self.dtype: Any = np.float32
        self.nodes: list[onnx.NodeProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto | str] = []
        self.initializers: list[onnx.TensorProto] = []
        self._count = 0

    def fresh(self, stem: str) -> str:
        """A name not used before."""
        self._count += 1
        return f"{stem}{self._count}"

    def input(self, shape: Sequence[int | str], name: str = "x", dtype: int = FLOAT) -> str:
        """A graph input."""
        self.inputs.append(value(name, shape, dtype))
        return name

    def init(self, array: object, name: str | None = None) -> str:
        """An initializer; float arrays in the net's dtype."""
        got = np.asarray(array)
        if got.dtype.kind == "f":
            got = got.astype(self.dtype)
        name = name or self.fresh("k")
        self.initializers.append(tensor(name, got))
        return name

    def random(self, *shape: int) -> NDArray[np.float64]:
        """Normal values."""
        return self.rng.standard_normal(shape)

    def weight(self, *shape: int, name: str | None = None) -> str:
        """A random initializer."""
        return self.init(self.random(*shape), name or self.fresh("w"))

    def ints(self, *items: int) -> str:
        """An int64 vector."""
        return self.init(np.array(items, np.int64))

    def const(self, array: object) -> str:
        """A Constant node."""
        got = np.asarray(array)
        got = got.astype(self.dtype) if got.dtype.kind == "f" else got
        return self.op("Constant", value=tensor("", got))

    def op(self, kind: str, *inputs: str, out: str | None = None, **attrs: Any) -> str:
        """Any operator of one output."""
        out = out or self.fresh(kind.lower())
        made = node(kind, inputs, out, **attrs)
        made.name = f"n_{out}"
        self.nodes.append(made)
        return out

    def ops(self, kind: str, inputs: Sequence[str], count: int, **attrs: Any) -> list[str]:
        """Any operator of several outputs."""
        outs = [self.fresh(kind.lower()) for _ in range(count)]
        made = node(kind, inputs, outs, **attrs)
        made.name = f"n_{outs[0]}"
        self.nodes.append(made)
        return outs

    def bn(self, x: str, channels: int | Sequence[int], out: str | None = None, **how: Any) -> str:
        """A BatchNormalization; `how` as for `batchnorm`."""
        out = out or self.fresh("bn")
        made, consts = batchnorm(x, out, channels, self.rng, **{"dtype": self.dtype, **how})
        self.nodes.append(made)
        self.initializers += consts
        return out

    def _linear(self, kind: str, x: str, w: str, bias: Bias, outs: int, **attrs: Any) -> str:
        tail = {True: [self.weight(outs)] if bias is True else [], "empty": [""], False: []}[bias]
        return self.op(kind, x, w, *tail, **attrs)

    def conv(
        self,
        x: str,
        cin: int,
        cout: int,
        k: int | Sequence[int] = 3,
        *,
        bias: Bias = True,
        rank: int = 2,
        group: int = 1,
        weight: object = None,
        **attrs: Any,
    ) -> str:
        """A Conv of random weight (cout, cin/group, *k)."""
        kernel = [k] * rank if isinstance(k, int) else list(k)
        drawn = self.random(cout, cin // group, *kernel) if weight is None else weight
        w = self.init(drawn, self.fresh("w"))
        how = {"group": group if group > 1 else None, **attrs}
        return self._linear("Conv", x, w, bias, cout, **how)

    def deconv(
        self,
        x: str,
        cin: int,
        cout: int,
        k: int | Sequence[int] = 3,
        *,
        bias: Bias = True,
        rank: int = 2,
        group: int = 1,
        weight: object = None,
        **attrs: Any,
    ) -> str:
        """A ConvTranspose of random weight (cin, cout/group, *k)."""
        kernel = [k] * rank if isinstance(k, int) else list(k)
        drawn = self.random(cin, cout // group, *kernel) if weight is None else weight
        w = self.init(drawn, self.fresh("w"))
        how = {"group": group if group > 1 else None, **attrs}
        return self._linear("ConvTranspose", x, w, bias, cout, **how)

    def gemm(self, x: str, cin: int, cout: int, bias: Bias = True, **attrs: Any) -> str:
        """A Gemm of random B; transB as said."""
        w = self.weight(cout, cin) if attrs.get("transB") else self.weight(cin, cout)
        return self._linear("Gemm", x, w, bias, cout, **attrs)

    def matmul(self, x: str, *shape: int) -> str:
        """x @ random constant."""
        return self.op("MatMul", x, self.weight(*shape))

    def out(self, *outputs: str | onnx.ValueInfoProto) -> Net:
        """Graph outputs, by name (their type inferred) or whole."""
        self.outputs += outputs
        return self

    def model(self, **options: Any) -> onnx.ModelProto:
        """The whole model."""
        how = {"opset": self.opset, "ir": None if self.opset < 13 else 10}
        return make_model(
            self.nodes,
            self.inputs,
            self.outputs,
            self.initializers,
            **{**how, **self.options, **options},
        )
