"""The judge: float64 evaluation by onnx.reference, equivalence, and the count of what is left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import AttributeProto, GraphProto, ModelProto, TensorProto, numpy_helper
from onnx.inliner import inline_local_functions
from onnx.reference import ReferenceEvaluator

from tests.kernels import NEW_OPS
from tests.raising import ROUNDOFF, array_of, graphs, raised

Feeds = Mapping[str, NDArray]
LINEAR = ("Conv", "ConvTranspose", "Gemm", "MatMul", "Einsum")
AFFINE = ("Mul", "Add", "Sub", "Div")
DRAWS, MARGIN, FLOOR = 8, 16.0, 1e-9


def evaluate(high: ModelProto, feeds: Feeds) -> dict[str, NDArray]:
    """All top-level tensors that nodes make, by name, of a raised model."""
    names = {o for n in high.graph.node for o in n.output if o}
    names |= {o.name for o in high.graph.output}
    with np.errstate(all="ignore"):
        runner = ReferenceEvaluator(high, new_ops=NEW_OPS)
        found = runner.run(None, dict(feeds), intermediate=True)
    return {k: v for k, v in found.items() if k in names}


def feeds_for(
    model: ModelProto, seed: int = 0, batch: int = 3, sizes: Mapping[str, int] | None = None
) -> dict[str, NDArray]:
    """Random inputs, in float64 where they are floats; `sizes` names dynamic sizes (else 6)."""
    rng, sizes = np.random.default_rng(seed), dict(sizes or {})
    given = {t.name for t in model.graph.initializer}
    feeds: dict[str, NDArray] = {}
    for info in model.graph.input:
        if info.name in given:
            continue
        tensor, shape = info.type.tensor_type, []
        for axis, d in enumerate(tensor.shape.dim):
            unknown = batch if axis == 0 or d.dim_param == "N" else 6
            shape.append(d.dim_value or sizes.get(d.dim_param, unknown))
        if tensor.elem_type in ROUNDOFF:
            feeds[info.name] = rng.standard_normal(shape)
        else:
            kind = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
            feeds[info.name] = rng.integers(0, 2, shape).astype(kind)
    return feeds


def is_dynamic(model: ModelProto) -> bool:
    """Whether any input leaves a size open."""
    dims = (d for i in model.graph.input for d in i.type.tensor_type.shape.dim)
    return any(not d.HasField("dim_value") for d in dims)


def _overrides(model: ModelProto, seed: int) -> dict[str, NDArray]:
    """Other values for the initializers that callers may feed (IR >= 4, also inputs)."""
    if model.ir_version < 4:
        return {}
    rng, inputs = np.random.default_rng(seed), {i.name for i in model.graph.input}
    found = (t for t in model.graph.initializer if t.name in inputs and t.data_type in ROUNDOFF)
    return {t.name: array_of(t) * rng.uniform(0.5, 1.5, tuple(t.dims)) for t in found}


def _key(t: TensorProto) -> tuple[object, ...]:
    return t.data_type, tuple(t.dims), array_of(t).tobytes()


def _weights(model: ModelProto) -> set[str]:
    """Names that linear operators read: a fold by s = 1 + 1e-9 may round to the old bytes."""
    every = (n for g in graphs(model) for n in g.node)
    return {i for n in every if n.op_type in LINEAR for i in n.input}


def _tensors(model: ModelProto) -> Iterator[TensorProto]:
    for graph in graphs(model):
        yield from getattr(graph, "initializer", ())
        for node in graph.node:
            yield from (a.t for a in node.attribute if a.type == AttributeProto.TENSOR)


def _slopes(model: ModelProto) -> Counter[tuple[str, str, float]]:
    """Float attributes (always float32), with the operator they stand on."""
    every = (n for g in graphs(model) for n in g.node)
    return Counter((n.op_type, a.name, a.f) for n in every for a in n.attribute if a.type == 1)


def jitters(original: ModelProto, folded: ModelProto) -> Callable[[int], ModelProto]:
    """seed -> `folded` with each constant that a fold may have written moved by one rounding.

    A fold computes in float64 and rounds each constant once, so what it may change is what
    moving each new constant by about its unit roundoff changes. Normal, not +-1: two equal
    terms of opposite sign would cancel in every second draw.
    """
    old, slopes = {_key(t) for t in _tensors(original)}, _slopes(original)
    weights = _weights(folded)

    def draw(seed: int) -> ModelProto:
        rng = np.random.default_rng(seed)
        moved = ModelProto()
        moved.CopyFrom(folded)
        for t in _tensors(moved):
            if t.data_type in ROUNDOFF and (t.name in weights or _key(t) not in old):
                data = array_of(t).astype(np.float64)
                data = data * (1 + ROUNDOFF[t.data_type] * rng.standard_normal(data.shape))
                t.CopyFrom(numpy_helper.from_array(np.asarray(data), t.name))
        high = raised(moved)
        for node in (n for g in graphs(high) for n in g.node):
            for a in node.attribute:
                if a.type == AttributeProto.FLOAT and (node.op_type, a.name, a.f) not in slopes:
                    a.f *= 1 + 2.0**-23 * rng.standard_normal()
        return high

    return draw


def _departure(want: NDArray, got: NDArray, allowed: NDArray) -> str | None:
    """What is wrong with `got`, or None. NaN answers NaN, infinity the same infinity."""
    if want.shape != got.shape or want.dtype.kind != got.dtype.kind:
        return f"is {got.dtype}{got.shape}, was {want.dtype}{want.shape}"
    if want.dtype.kind != "f":
        wrong = (want != got) & (allowed == 0)
        return f"{np.count_nonzero(wrong)} of {wrong.size} integers differ" if wrong.any() else None
    with np.errstate(invalid="ignore"):
        off = np.where(want == got, 0.0, np.abs(want - got))
    off = np.where(np.isnan(want) & np.isnan(got), 0.0, off)
    if (off <= allowed).all():
        return None
    worst = np.unravel_index(
        np.nanargmax(np.where(np.isnan(off), np.inf, off - allowed)), off.shape
    )
    at = tuple(map(int, worst))
    return f"off by {off[worst]:.3g} (allowed {allowed[worst]:.3g}) at {at} of {want[worst]:.6g}"


def _steps(center: NDArray, run: NDArray) -> NDArray:
    """Departure per element; integers depart by 1 where they differ: a tie broken anew."""
    with np.errstate(all="ignore"):
        step = np.asarray(run - center if center.dtype.kind == "f" else run != center, np.float64)
    return np.nan_to_num(step, posinf=0.0, neginf=0.0)


def departures(
    original: ModelProto, folded: ModelProto, feeds: Feeds, *, every_name: bool = False
) -> dict[str, str]:
    """name -> what is wrong, over outputs (or every name that both have), for these feeds.

    Allowed per element: 16 times the root mean square of 8 jitters' effect (`jitters`), plus
    1e-9 of the tensor's largest magnitude. Where that is not enough, 16 times what the original
    itself moves by when its inputs move by 2^-48: float64's own noise, where values cancel.
    An integer must be the same unless one of these draws changes it: the index of a tie is free.
    """
    high = raised(original)
    want, got = evaluate(high, feeds), evaluate(raised(folded), feeds)
    names = sorted(
        want.keys() & got.keys() if every_name else {o.name for o in original.graph.output}
    )
    # of a sequence, what is taken out of it has a name too
    names = [name for name in names if not isinstance(want[name], list)]
    draw, rng = jitters(original, folded), np.random.default_rng(0)
    jittered = (evaluate(draw(seed), feeds) for seed in range(DRAWS))
    noisy = (evaluate(high, _noisy(feeds, rng)) for _ in range(DRAWS))
    allowed: dict[str, NDArray] = {}
    found = _wrong(want, got, names, allowed)
    for center, runs in ((got, jittered), (want, noisy)):
        total: dict[str, NDArray] = {}
        granted = allowed
        for run in runs:  # what is allowed only grows: the first draws that suffice end it
            if not found:
                return {}
            # hypot, for the square of what departs by 1e-200 is nothing
            total = {k: np.hypot(total.get(k, 0.0), _steps(center[k], run[k])) for k in names}
            allowed = {
                k: granted.get(k, 0.0) + MARGIN * v / np.sqrt(DRAWS) for k, v in total.items()
            }
            found = _wrong(want, got, names, allowed)
    return found


def _noisy(feeds: Feeds, rng: np.random.Generator) -> dict[str, NDArray]:
    return {
        k: v * (1 + 2.0**-48 * rng.standard_normal(v.shape)) if v.dtype.kind == "f" else v
        for k, v in feeds.items()
    }


def _wrong(
    want: Mapping[str, NDArray],
    got: Mapping[str, NDArray],
    names: Iterable[str],
    allowed: Mapping[str, NDArray],
) -> dict[str, str]:
    found = {}
    for name in names:
        finite = want[name][np.isfinite(want[name])] if want[name].dtype.kind == "f" else ()
        floor = FLOOR * np.abs(finite).max() if len(finite) else 0.0
        room = np.broadcast_to(floor + allowed.get(name, 0.0), want[name].shape)
        if flaw := _departure(want[name], got[name], room):
            found[name] = flaw
    return found


def assert_equivalent(
    original: ModelProto,
    folded: ModelProto,
    feeds: Feeds | None = None,
    seed: int = 0,
    *,
    sizes: Mapping[str, int] | None = None,
    every_name: bool = False,
) -> None:
    """Equal in float64 but for one rounding of each new constant; batches 1 and 3 if dynamic."""
    if feeds is not None:
        trials = [{k: np.asarray(v) for k, v in feeds.items()}]
    else:
        batches = (1, 3) if is_dynamic(original) else (3,)
        trials = [feeds_for(original, seed, b, sizes) for b in batches]
        if over := _overrides(original, seed):
            trials.append({**trials[-1], **over})
    for trial in trials:
        trial = {k: v.astype(np.float64) if v.dtype.kind == "f" else v for k, v in trial.items()}
        wrong = departures(original, folded, trial, every_name=every_name)
        assert not wrong, f"{wrong} for { ({k: v.shape for k, v in trial.items()}) }"


def batchnorms(model: ModelProto) -> int:
    """BatchNormalization nodes of the standard domain, in all scopes."""
    every = (n for g in graphs(model) for n in g.node)
    return sum(n.op_type == "BatchNormalization" and n.domain in ("", "ai.onnx") for n in every)


def _constants(graph: GraphProto | onnx.FunctionProto, outer: frozenset[str]) -> frozenset[str]:
    """Names whose value hangs on no graph input."""
    known = set(outer) | {t.name for t in getattr(graph, "initializer", ())}
    for n in graph.node:
        if n.op_type == "Constant" or (n.input and all(i in known for i in n.input if i)):
            known.update(n.output)
    return frozenset(known)


def _readers(graph: GraphProto | onnx.FunctionProto) -> Counter[str]:
    """How often each name is read, in bodies and as an output of the graph too."""
    own = [i for n in graph.node for i in n.input]
    bodies = [a.g for n in graph.node for a in n.attribute if a.type == AttributeProto.GRAPH]
    outputs = [o if isinstance(o, str) else o.name for o in graph.output]
    return sum(map(_readers, bodies), Counter([*own, *outputs]))


def _census(model: ModelProto) -> tuple[int, int, int]:
    """Affine nodes by a constant, linear nodes, and bias Adds of an Einsum or rank >= 3 MatMul."""
    model = inline_local_functions(model) if model.functions else model  # what runs, call by call
    inferred = onnx.shape_inference.infer_shapes(model)
    ranks = {
        v.name: len(v.type.tensor_type.shape.dim)
        for v in (*inferred.graph.value_info, *inferred.graph.output)
        if v.type.tensor_type.HasField("shape")
    }
    affine = linear = biases = 0
    pending = [(g, frozenset[str]()) for g in (model.graph, *model.functions)]
    while pending:
        graph, outer = pending.pop()
        known = _constants(graph, outer)
        readers = _readers(graph)
        products = {  # who else reads one reads it bare: what an Add puts on it is no bias of it
            n.output[0]
            for n in graph.node
            if (n.op_type == "Einsum" or (n.op_type == "MatMul" and ranks.get(n.output[0]) != 2))
            and readers[n.output[0]] == 1
        }
        for n in graph.node:
            pending += [(a.g, known) for a in n.attribute if a.type == AttributeProto.GRAPH]
            linear += n.op_type in LINEAR and n.output[0] not in known
            fixed = [i in known for i in n.input]
            if n.op_type in AFFINE and any(fixed) and not all(fixed):
                affine += 1
                biases += n.op_type == "Add" and n.input[fixed.index(False)] in products
    return affine, linear, biases


def affine_nodes(model: ModelProto) -> int:
    """Mul, Add, Sub and Div with one constant operand, in all scopes."""
    return _census(model)[0]


def granted_biases(original: ModelProto, folded: ModelProto) -> int:
    """The one allowance: the bias Add of an Einsum, or a MatMul of rank >= 3, that had none."""
    return max(_census(folded)[2] - _census(original)[2], 0)


def left(original: ModelProto, folded: ModelProto) -> int:
    """BatchNorms + constant Mul/Add/Sub/Div in excess of the source's + linear nodes in excess."""
    (affine0, linear0, _), (affine, linear, _) = _census(original), _census(folded)
    granted = granted_biases(original, folded)
    return batchnorms(folded) + max(affine - affine0 - granted, 0) + max(linear - linear0, 0)
