"""Both graphs in float64, and what rounding jitter of the weights would do."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from bnfold.errors import CheckFailed
from bnfold.onnxfile import IN_MEMORY, DataFiles
from bnfold.ops64 import Evaluator
from bnfold.ops64.control import Branch
from bnfold.show import show
from bnfold.verification.cases import Array, Case
from bnfold.verification.measures import UNIT, finite
from bnfold.verification.subject import Subject

# what may hide a difference, and what only moves it
_SATURATING = frozenset(
    (
        "ArgMax",
        "ArgMin",
        "Ceil",
        "Clip",
        "Floor",
        "Greater",
        "GreaterOrEqual",
        "HardSigmoid",
        "Hardmax",
        "Less",
        "LessOrEqual",
        "LogSoftmax",
        "QuantizeLinear",
        "Relu",
        "Round",
        "Sigmoid",
        "Sign",
        "Softmax",
        "Softsign",
        "Tanh",
        "TopK",
    )
)
_MOVING = frozenset(
    (
        "Cast",
        "DequantizeLinear",
        "Flatten",
        "Identity",
        "Reshape",
        "Squeeze",
        "Transpose",
        "Unsqueeze",
    )
)
_BLOCK = 1 << 16  # elements that jitter mixes at a time: what it takes beside a weight stays small


@dataclass(frozen=True, slots=True)
class Watched:
    """A tensor that is compared: its name in both models; `behind`: the output that it feeds."""

    original: str
    candidate: str
    behind: str | None = None


def watched(a: Subject, b: Subject) -> tuple[Watched, ...]:
    """All outputs, and the tensors before what saturates at their end."""
    found = [Watched(port.name, port.name) for port in a.outputs]
    makers = [{name: n for n in s.model.graph.node for name in n.output} for s in (a, b)]
    for port in a.outputs:
        before = _before(makers[0], port.name), _before(makers[1], port.name)
        pairs = [
            (p, q)
            for (p, op), (q, other) in zip(*before, strict=False)
            if op == other and op in _SATURATING
        ]
        if pairs:
            found.append(Watched(*pairs[-1], behind=port.name))
    return tuple(found)


def _before(maker: Mapping[str, onnx.NodeProto], name: str) -> list[tuple[str, str]]:
    """Walking back from an output: the tensors in front of saturating and moving operators."""
    walk = []
    while name in maker and maker[name].op_type in _SATURATING | _MOVING:
        node = maker[name]
        name = node.input[0]
        walk.append((name, node.op_type))
    return walk


_NORMAL_HALF, _HALF_STEP = 2.0**-14, 2.0**-25  # the least normal float16, and half its step


def jitter(seed: int, least: float = 0.0) -> Callable[[str, Array, int], Array]:
    """Each learned constant times 1 +- u, u being its own type's roundoff, or `least`.

    Equal elements move alike, as rounding moves them: where a whole weight is one number, its
    errors add up and do not average out.
    """

    def perturb(name: str, value: Array, kind: int) -> Array:
        rng = np.random.default_rng([seed, zlib.crc32(name.encode()), value.size])
        draw = rng.integers(0, 2**64, dtype=np.uint64)
        flat = np.ascontiguousarray(value, np.float64).reshape(-1)
        moved = np.empty_like(flat)
        unit = max(UNIT.get(kind, 0.0), least)
        for start in range(0, flat.size, _BLOCK):
            part = slice(start, start + _BLOCK)
            moved[part] = _moved(flat[part], _signs(flat[part], draw), unit, kind)
        return moved.reshape(value.shape)

    return perturb


def _moved(value: Array, signs: Array, unit: float, kind: int) -> Array:
    moved = value * (1.0 + unit * signs)
    if kind == onnx.TensorProto.FLOAT16:  # among the subnormal numbers the steps shrink no more
        quiet = (np.abs(value) < _NORMAL_HALF) & (value != 0.0)
        moved = np.where(quiet, value + _HALF_STEP * signs, moved)
    return np.asarray(moved)


def _signs(value: Array, draw: np.uint64) -> Array:
    """A fair sign for each distinct number: the top bit of its bits, mixed (splitmix64)."""
    mixed = value.view(np.uint64) ^ draw
    for shift, odd in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(odd)
    return np.asarray((mixed >> np.uint64(63)) * 2.0 - 1.0)


@dataclass(frozen=True, slots=True)
class Sample:
    """One input's values by watched tensor; those of the reference only where jitter was drawn."""

    original: tuple[Array, ...]
    candidate: tuple[Array, ...]
    reference: tuple[Array, ...] = ()  # the model whose weights are jittered, before
    jittered: tuple[tuple[Array, ...], ...] = ()  # and after, draw by draw


class NotMet(LookupError):
    """A condition that was to be turned decides nothing in one of the models."""


class Truth:
    """Evaluators of the original, the candidate and the jittered reference, kept over inputs."""

    def __init__(
        self,
        a: Subject,
        b: Subject,
        reference: onnx.ModelProto,
        pairs: Sequence[Watched],
        seed: int,
        least: float = 0.0,
        data: DataFiles = IN_MEMORY,
    ) -> None:
        """`data` holds what the reference has not in memory."""
        self.pairs = tuple(pairs)
        self._a = Evaluator(a.model, read=a.data.array)
        self._b = Evaluator(b.model, read=b.data.array)
        self._reference = reference
        # jitter is measured from the reference itself: a fold that is wrong in both the candidate
        # and the fold again must not hide behind its own error
        same = reference is b.model
        self._still = self._b if same else Evaluator(reference, read=data.array)
        self._seed = seed
        self._least = least

    def sample(
        self, case: Case, draws: Sequence[int], turned: Mapping[str, bool] | None = None
    ) -> Sample:
        """The case in float64, and the effect of each draw of jitter.

        An If or Where whose condition is in `turned` goes that way, in all models.

        Raises:
            Unsupported: a foreign operator.
            EvaluationError: a graph does not run on these inputs in float64.
            CheckFailed: the original's own outputs hold NaN or Inf.
            NotMet: a model lacks an If of `turned`.
        """
        roads = turned or {}
        names = [pair.original for pair in self.pairs]
        original = self.original(case, roads)
        still = tuple(_jittered_names(self)) if draws else ()
        kept = [p.candidate for p in self.pairs]
        shared = still if self._still is self._b else ()
        candidate = _evaluate(self._b, case, [*kept, *shared], roads)
        base = candidate if shared else _evaluate(self._still, case, still, roads)
        return Sample(
            tuple(original[name] for name in names),
            tuple(candidate[name] for name in kept),
            tuple(base[name] for name in still),
            tuple(self._jittered(case, still, draw, roads) for draw in draws),
        )

    def original(self, case: Case, turned: Mapping[str, bool]) -> dict[str, Array]:
        """The original's watched tensors; the rest as `sample`."""
        values = _evaluate(self._a, case, [pair.original for pair in self.pairs], turned)
        bad = finite({p.original: values[p.original] for p in self.pairs if p.behind is None})
        if bad is not None:
            raise CheckFailed(
                f"the original's own output '{show(bad)}' holds NaN or Inf on '{show(case.name)}'",
                hint="give inputs that it was made for: --inputs",
            )
        return values

    def _jittered(
        self, case: Case, names: Sequence[str], draw: int, turned: Mapping[str, bool]
    ) -> tuple[Array, ...]:
        moved = self._still.shaken(jitter(self._seed + draw, self._least))
        values = _evaluate(moved, case, names, turned)
        return tuple(values[name] for name in names)

    def untaken(self) -> list[Branch]:
        """Branches of the original's Ifs, and sides of its Wheres, that no input has taken."""
        return self._a.untaken()

    @property
    def reference(self) -> onnx.ModelProto:
        """The model whose weights are jittered."""
        return self._reference


def _jittered_names(truth: Truth) -> list[str]:
    """Outputs are in every reference; a tensor before one may have gone: then its output."""
    graph = truth.reference.graph
    made = {name for node in graph.node for name in node.output}
    made |= {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    return [p.original if p.original in made else (p.behind or p.original) for p in truth.pairs]


def _evaluate(
    evaluator: Evaluator, case: Case, names: Sequence[str], turned: Mapping[str, bool]
) -> dict[str, Array]:
    if not names:
        return {}
    evaluator.roads.turned = turned
    evaluator.roads.met.clear()
    values = evaluator.run(case.feeds, keep=dict.fromkeys(names))
    if not turned.keys() <= evaluator.roads.met:
        raise NotMet
    return values
