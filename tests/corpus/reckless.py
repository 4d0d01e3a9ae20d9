"""Little models whose structure makes a careless reader work without end, or trip."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import onnx
from onnx import AttributeProto, helper

from tests.corpus.making import Maker, model

_IDS = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
_PARAMETERS = ("norm.scale", "norm.bias", "norm.mean", "norm.var")
Change = Callable[[onnx.ModelProto], object]


def _norm(x: str, y: str) -> onnx.NodeProto:
    return helper.make_node("BatchNormalization", [x, *_PARAMETERS], [y])


def _behind(nodes: Sequence[onnx.NodeProto]) -> Change:
    """Nodes from the Relu's output 'r' to 'y'."""

    def add(m: onnx.ModelProto) -> None:
        m.graph.node[2].output[0] = "r"
        m.graph.node.extend(nodes)

    return add


def _diamonds(count: int) -> Change:
    """-x and -x, added up, again and again: each doubles the ways through it."""

    def add(m: onnx.ModelProto) -> None:
        before = "norm"
        for k in range(count):
            sides = [helper.make_node("Neg", [before], [f"{side}{k}"]) for side in "ab"]
            both = helper.make_node("Add", [f"a{k}", f"b{k}"], [f"d{k}"])
            for place, made in enumerate([*sides, both]):
                m.graph.node.insert(2 + 3 * k + place, made)
            before = f"d{k}"
        m.graph.node[-1].input[0] = before

    return add


def _calling(depth: int) -> Change:
    """Functions that call the next one twice; the last one holds two BatchNormalizations."""

    def add(m: onnx.ModelProto) -> None:
        names = ["a", *_PARAMETERS]
        for k in range(depth):
            nodes = [_norm("a", "b"), _norm("b", "c")]
            if k + 1 < depth:
                nodes = [
                    helper.make_node(f"F{k + 1}", [x, *_PARAMETERS], [y], domain="own")
                    for x, y in ("ab", "bc")
                ]
            m.functions.append(helper.make_function("own", f"F{k}", names, ["c"], nodes, _IDS))
        m.opset_import.append(_IDS[1])
        m.graph.node[2].op_type, m.graph.node[2].domain = "F0", "own"
        m.graph.node[2].input.extend(_PARAMETERS)

    return add


def _given(value: object, default: object | None = None) -> Maker:
    """A function whose BatchNormalization has the epsilon that each call gives."""

    def add(m: onnx.ModelProto) -> None:
        norm = _norm("a", "b")
        norm.attribute.append(
            AttributeProto(name="epsilon", type=AttributeProto.FLOAT, ref_attr_name="e")
        )
        names = ["a", *_PARAMETERS]
        function = helper.make_function("own", "F", names, ["b"], [norm], _IDS)
        call = m.graph.node[2]
        if default is None:
            function.attribute.append("e")
            call.attribute.append(helper.make_attribute("e", value))
        else:
            function.attribute_proto.append(helper.make_attribute("e", default))
        m.functions.append(function)
        m.opset_import.append(_IDS[1])
        call.op_type, call.domain = "F", "own"
        call.input.extend(_PARAMETERS)

    return model(add)


def _many_norms(count: int) -> list[onnx.NodeProto]:
    """BatchNormalizations of one tensor, added up by one Sum."""
    norms = [_norm("r", f"n{k}") for k in range(count)]
    return [*norms, helper.make_node("Sum", [f"n{k}" for k in range(count)], ["y"])]


MODELS: dict[str, Maker] = {
    "function_given_text": _given("text"),
    "function_given_a_whole_number": _given(1),
    "function_with_a_text_by_default": _given(None, "text"),
    "calls_of_a_million_norms": model(_calling(19)),
}
SOUND_MODELS: dict[str, Maker] = {
    "function_given_a_number": _given(1e-3),
    "function_with_a_number_by_default": _given(None, 1e-3),
    "calls_of_30000_norms": model(_calling(14)),
    "diamonds_of_60": model(_diamonds(60)),
    "norms_of_one_tensor_700": model(_behind(_many_norms(700))),
}
