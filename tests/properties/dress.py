"""The same random graph in other clothes: float16, integer weights, as bodies, as a function."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from onnx import helper, numpy_helper

from tests.build import BOOL, FLOAT, FLOAT16, make_model, node, tensor, value

Dress = Callable[[onnx.ModelProto, np.random.Generator], onnx.ModelProto]
WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def opset_of(model: onnx.ModelProto) -> int:
    return next(o.version for o in model.opset_import if not o.domain)


def plain(model: onnx.ModelProto, _: np.random.Generator) -> onnx.ModelProto:
    return model


def half(model: onnx.ModelProto, _: np.random.Generator) -> onnx.ModelProto:
    """All in float16, where its numbers hold what the constants say."""
    graph = model.graph
    if any(n.op_type == "CumSum" for n in graph.node):  # defined for float32 and wider alone
        return model
    wide = {i for n in graph.node if n.op_type == "Resize" for i in n.input[1:]}
    tensors = [t for t in graph.initializer if t.name not in wide]
    tensors += [a.t for n in graph.node for a in n.attribute if a.HasField("t")]
    tensors = [t for t in tensors if t.data_type == FLOAT]
    sizes = [np.abs(numpy_helper.to_array(t)) for t in tensors]
    if any(((s > 2**14) | ((s > 0) & (s < 2**-13))).any() for s in sizes):
        return model
    for t in tensors:
        t.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(t).astype(np.float16), t.name))
    for info in (*graph.input, *graph.output, *graph.value_info):
        if info.type.tensor_type.elem_type == FLOAT:
            info.type.tensor_type.elem_type = FLOAT16
    for a in (a for n in graph.node if n.op_type == "Cast" for a in n.attribute):
        a.i = FLOAT16
    return model


def integers(model: onnx.ModelProto, rng: np.random.Generator) -> onnx.ModelProto:
    """Some weights as integers behind a DequantizeLinear, their values moved to its grid."""
    if opset_of(model) < 13:
        return model
    graph = model.graph
    read = [i for n in graph.node for i in n.input]
    weights = {n.input[k] for n in graph.node if n.op_type in WEIGHTED for k in (0, 1)}
    chosen = [t for t in graph.initializer if t.name in weights and len(t.dims) > 1]
    new = []
    for t in chosen:
        if read.count(t.name) > 2 or t.data_type != FLOAT or rng.random() < 0.4:
            continue
        w = numpy_helper.to_array(t)
        axis = None if rng.random() < 0.3 else int(rng.integers(0, 2))
        around = tuple(a for a in range(w.ndim) if a != axis)
        top = np.abs(w).max(axis=None if axis is None else around, keepdims=True)
        step = np.where(top > 0, top, 1.0) / 127
        kind, zero = (np.int8, 0) if rng.random() < 0.6 else (np.uint8, 128)
        q = np.clip(np.rint(w / step) + zero, *((-128, 127) if zero == 0 else (0, 255)))
        flat = step.reshape(() if axis is None else -1).astype(np.float32)
        name = t.name
        parts = [f"{name}_q", f"{name}_d", *([f"{name}_z"] if zero else [])]
        t.CopyFrom(tensor(parts[0], q.astype(kind)))
        graph.initializer.append(tensor(parts[1], flat))
        if zero:
            graph.initializer.append(tensor(parts[2], np.full(flat.shape, zero, kind)))
        new.append(node("DequantizeLinear", parts, name, axis=axis))
    nodes = [*new, *graph.node]
    copies = [onnx.NodeProto.FromString(n.SerializeToString()) for n in nodes]
    del graph.node[:]
    graph.node.extend(copies)
    return model


def _renamed(graph: onnx.GraphProto, prefix: str) -> list[onnx.NodeProto]:
    """The nodes, what they make under other names."""
    made = {o for n in graph.node for o in n.output}
    nodes = []
    for n in graph.node:
        copy = onnx.NodeProto.FromString(n.SerializeToString())
        copy.input[:] = [prefix + i if i in made else i for i in n.input]
        copy.output[:] = [prefix + o if o else o for o in n.output]
        nodes.append(copy)
    return nodes


def _outputs(graph: onnx.GraphProto, prefix: str) -> list[onnx.ValueInfoProto]:
    infos = [onnx.ValueInfoProto.FromString(o.SerializeToString()) for o in graph.output]
    for info in infos:
        info.name = prefix + info.name
    return infos


def bodies(model: onnx.ModelProto, rng: np.random.Generator) -> onnx.ModelProto:
    """The whole graph as both branches of an If; some constants inside, the others captured."""
    graph = model.graph
    inside = [t for t in graph.initializer if rng.random() < 0.5]
    named = {t.name for t in inside}
    branches = {}
    for branch, prefix in (("then_branch", "t_"), ("else_branch", "e_")):
        nodes = _renamed(graph, prefix)
        own = [onnx.TensorProto.FromString(t.SerializeToString()) for t in inside]
        for t in own:
            t.name = prefix + t.name
        for n in nodes:
            n.input[:] = [prefix + i if i in named else i for i in n.input]
        branches[branch] = helper.make_graph(nodes, branch, [], _outputs(graph, prefix), own)
    made = node("If", ["choose"], [o.name for o in graph.output], **branches)
    kept = [t for t in graph.initializer if t.name not in named]
    inputs = [*graph.input, value("choose", (), BOOL)]
    ir = max(model.ir_version, 4)
    return make_model([made], inputs, graph.output, kept, opset=opset_of(model), ir=ir)


def function(model: onnx.ModelProto, rng: np.random.Generator) -> onnx.ModelProto:
    """The whole graph as a local function, called once or twice."""
    graph = model.graph
    given = [*(i.name for i in graph.input), *(t.name for t in graph.initializer)]
    outs = [o.name for o in graph.output]
    opset = opset_of(model)
    body = helper.make_function(
        "local", "Whole", [f"a_{i}" for i in given], [f"f_{o}" for o in outs],
        _taking(_renamed(graph, "f_"), set(given)), [helper.make_opsetid("", opset)],
    )  # fmt: skip
    calls = [node("Whole", given, outs, domain="local")]
    outputs = list(graph.output)
    if rng.random() < 0.5:
        calls.append(node("Whole", given, [f"b_{o}" for o in outs], domain="local"))
        outputs += _outputs(graph, "b_")
    how = {"functions": [body], "extra_opsets": [("local", 1)]}
    ir = max(model.ir_version, 8)
    return make_model(calls, graph.input, outputs, graph.initializer, opset=opset, ir=ir, **how)


def _taking(nodes: list[onnx.NodeProto], given: set[str]) -> list[onnx.NodeProto]:
    for n in nodes:
        n.input[:] = [f"a_{i}" if i in given else i for i in n.input]
    return nodes


DRESSES: dict[str, Dress] = {
    "plain": plain, "half": half, "integers": integers, "bodies": bodies, "function": function,
}  # fmt: skip
