"""What ONNX Runtime's optimiser writes (domain com.microsoft) of Conv, Gemm and MatMul.

FusedConv is f(Conv(x, W) + B + Z), FusedGemm f(Gemm(A, B, C)): pushing meets the product alone,
pulling meets f first. FusedMatMul is alpha op(A) op(B). All others are foreign: what their layouts
(nchwc, NHWC) and activations make of a map is not reckoned here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from bnfold.folding.affine import Affine
from bnfold.folding.answers import (
    Absorbed,
    Answer,
    Answers,
    Blocked,
    Change,
    Facts,
    Operand,
    Passes,
    Scale,
)
from bnfold.folding.reasons import Reason
from bnfold.folding.rules import convolution, matmul
from bnfold.folding.rules.activations import pull_relu
from bnfold.folding.rules.broadcast import on_operand

DOMAIN = "com.microsoft"
_LINEAR = ("", "Identity")
_HOMOGENEOUS = ("Relu", "LeakyRelu")
_ADDEND = 3  # FusedConv's Z


def _through_activation(node: Facts, m: Affine) -> Blocked | None:
    """Why a map cannot go in front of the fused activation, or None where it can."""
    activation = str(node.attributes.get("activation", ""))
    if activation in _LINEAR:
        return None
    if activation not in _HOMOGENEOUS:
        return Blocked(Reason.NONLINEAR_NEIGHBOURS)
    if not m.is_scale_only:
        return Blocked(Reason.NONLINEAR_NEIGHBOURS)
    answer = pull_relu(node, m)
    return answer if isinstance(answer, Blocked) else None


def pull_conv(node: Facts, m: Affine) -> Answers:
    """As Conv, where the activation lets it through; what is added takes the scale too."""
    blocked = _through_activation(node, m)
    if blocked is not None:
        return blocked
    answer = convolution.pull(node, m)
    if node.input(_ADDEND).absent or not isinstance(answer, Absorbed | Passes):
        return answer
    part = on_operand(m.scale_part(), node.input(_ADDEND), ())
    if isinstance(part, Reason):
        return Blocked(part)
    to = answer.to if isinstance(answer, Passes) else {}
    return Passes({**to, _ADDEND: part}, answer.changes)


def push_conv(node: Facts, m: Affine, k: int) -> Answers:
    """As Conv: the activation stands behind the product."""
    return _absorbed_alone(convolution.push(node, m, k))


def _each(answers: Answers) -> tuple[Answer, ...]:
    return answers if isinstance(answers, tuple) else (answers,)


def _absorbed_alone(answers: Answers) -> Answers:
    """Only what constants take whole: the rest would have to cross the activation."""
    kept = [a for a in _each(answers) if isinstance(a, Absorbed) and a.bias is None]
    refused = [a for a in _each(answers) if isinstance(a, Blocked)]
    return kept[0] if kept else next(iter(refused), Blocked(Reason.NONLINEAR_NEIGHBOURS))


def pull_gemm(node: Facts, m: Affine) -> Answers:
    """As Gemm, where the activation lets it through."""
    return _through_activation(node, m) or matmul.pull_gemm(node, m)


def push_gemm(node: Facts, m: Affine, k: int) -> Answers:
    """As Gemm: the activation stands behind the product."""
    return _absorbed_alone(matmul.push_gemm(node, m, k))


def pull_matmul(node: Facts, m: Affine) -> Answers:
    """As MatMul of the operands as they are multiplied; s(alpha AB) + t = alpha (As)B + t."""
    plain = _plain(node)
    if plain is None:
        return Blocked(Reason.NOT_YET)
    return tuple(_pulled(node, answer) for answer in _each(matmul.pull_matmul(plain, m)))


def push_matmul(node: Facts, m: Affine, k: int) -> Answers:
    """As MatMul of the operands as they are multiplied; the answer to a shift takes alpha."""
    plain = _plain(node)
    if plain is None:
        return Blocked(Reason.NOT_YET)
    seen = _swapped(m) if _turned(node, k) else m
    return tuple(_pushed(node, answer) for answer in _each(matmul.push_matmul(plain, seen, k)))


def _turned(node: Facts, slot: int) -> bool:
    return bool(node.attributes.get(("transA", "transB")[slot], 0))


def _swapped(m: Affine) -> Affine:
    return Affine(m.scale.swapaxes(-1, -2), m.shift.swapaxes(-1, -2))


def _plain(node: Facts) -> Facts | None:
    """The node with its operands laid out as a MatMul reads them; None where that is not enough."""
    batches = any(node.attributes.get(name, 0) for name in ("transBatchA", "transBatchB"))
    if batches or any((operand.rank or 0) < 2 for operand in node.inputs):
        return None
    operands = tuple(_laid(o) if _turned(node, i) else o for i, o in enumerate(node.inputs))
    return replace(node, op_type="MatMul", inputs=operands)


def _laid(operand: Operand) -> Operand:
    """Its last two axes exchanged."""
    dims = operand.shape or ()
    shape = (*dims[:-2], dims[-1], dims[-2])
    constant = operand.constant
    if constant is not None:
        load = constant.value
        sizes = (*constant.shape[:-2], constant.shape[-1], constant.shape[-2])
        constant = replace(constant, shape=sizes, load=lambda: load().swapaxes(-1, -2))
    return replace(operand, shape=shape, constant=constant)


def _pulled(node: Facts, answer: Answer) -> Answer:
    """The answer for the operands as they are written."""
    if isinstance(answer, Blocked):
        return answer
    if answer.bias is not None and answer.bias.ndim == 2:
        return Blocked(Reason.WOULD_COST_MORE)  # no Gemm takes its place
    if isinstance(answer, Absorbed):
        return replace(answer, changes=_written(node, answer.changes))
    return replace(answer, to=_turned_back(node, answer.to))


def _pushed(node: Facts, answer: Answer) -> Answer:
    """The same; the answer to a shift is alpha times the plain product's."""
    if isinstance(answer, Blocked):
        return answer
    if answer.bias is not None and answer.bias.ndim == 2:
        return Blocked(Reason.WOULD_COST_MORE)
    alpha = float(node.attributes.get("alpha", 1.0))
    bias = None if answer.bias is None else answer.bias * alpha
    changes = _written(node, answer.changes)
    if isinstance(answer, Absorbed):
        return replace(answer, changes=changes, bias=bias)
    to = {i: Affine.of(m.scale, m.shift * alpha) for i, m in answer.to.items()}
    return replace(answer, to=to, changes=changes, aside=_turned_back(node, answer.aside))


def _turned_back(node: Facts, maps: Mapping[int, Affine]) -> Mapping[int, Affine]:
    return {slot: _swapped(m) if _turned(node, slot) else m for slot, m in maps.items()}


def _written(node: Facts, changes: Mapping[int, Change]) -> Mapping[int, Change]:
    return {
        slot: Scale(change.by.swapaxes(-1, -2))
        if _turned(node, slot) and isinstance(change, Scale)
        else change
        for slot, change in changes.items()
    }


PULL: Mapping[str, Callable[[Facts, Affine], Answers]] = {
    "FusedConv": pull_conv,
    "FusedGemm": pull_gemm,
    "FusedMatMul": pull_matmul,
}
PUSH: Mapping[str, Callable[[Facts, Affine, int], Answers]] = {
    "FusedConv": push_conv,
    "FusedGemm": push_gemm,
    "FusedMatMul": push_matmul,
}
