"""Nodes, attributes, functions and versions that do not fit together."""

from __future__ import annotations

from collections.abc import Callable

import onnx
from onnx import AttributeProto, TensorProto, helper

from tests.corpus.making import Maker, attribute_added, model, node, setting

_IDS = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]


def _attribute(change: Callable[[AttributeProto], object]) -> Maker:
    """The epsilon of the BatchNormalization, changed."""

    def add(m: onnx.ModelProto) -> None:
        attribute = helper.make_attribute("epsilon", 1e-5)
        change(attribute)
        m.graph.node[1].attribute.append(attribute)

    return model(add)


def _function(
    nodes: list[onnx.NodeProto],
    *,
    name: str = "F",
    inputs: tuple[str, ...] = ("a",),
    outputs: tuple[str, ...] = ("b",),
    called: bool = True,
    times: int = 1,
) -> Maker:
    """A local function in the Relu's place."""

    def add(m: onnx.ModelProto) -> None:
        made = helper.make_function("own", name, list(inputs), list(outputs), nodes, _IDS)
        for _ in range(times):
            m.functions.append(made)
        m.opset_import.append(_IDS[1])
        if called:
            m.graph.node[2].op_type, m.graph.node[2].domain = name, "own"

    return model(add)


def _op(kind: str, domain: str = "", **attributes: object) -> onnx.NodeProto:
    return helper.make_node(kind, ["a"], ["b"], domain=domain, **attributes)


def _reference(name: str, of: str) -> AttributeProto:
    made = AttributeProto(name=name, type=AttributeProto.FLOAT)
    made.ref_attr_name = of
    return made


def _graph(*nodes: onnx.NodeProto, outputs: tuple[str, ...] = ("t",)) -> onnx.GraphProto:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    return helper.make_graph(list(nodes), "body", [], values)


def _if(body: onnx.GraphProto, condition: str = "c") -> Maker:
    def add(m: onnx.ModelProto) -> None:
        m.graph.node.append(
            helper.make_node("If", [condition], ["z"], then_branch=body, else_branch=body)
        )
        m.graph.input.append(helper.make_tensor_value_info("c", TensorProto.BOOL, []))

    return model(add)


def _chain(depth: int) -> Callable[[onnx.ModelProto], object]:
    """Functions that call one another in a ring."""

    def add(m: onnx.ModelProto) -> None:
        for k in range(depth):
            call = _op(f"F{(k + 1) % depth}", "own")
            m.functions.append(helper.make_function("own", f"F{k}", ["a"], ["b"], [call], _IDS))
        m.opset_import.append(_IDS[1])
        m.graph.node[2].op_type, m.graph.node[2].domain = "F0", "own"

    return add


MODELS: dict[str, Maker] = {
    "opset_zero": setting(lambda m: m.opset_import[0], "version", 0),
    "opset_least": setting(lambda m: m.opset_import[0], "version", -(2**63)),
    "opset_most": setting(lambda m: m.opset_import[0], "version", 2**63 - 1),
    "opset_foreign_alone": setting(lambda m: m.opset_import[0], "domain", "ai.onnx.ml"),
    "opset_twice_differing": model(lambda m: m.opset_import.append(helper.make_opsetid("", 9))),
    "ir_zero": setting(lambda m: m, "ir_version", 0),
    "ir_999": setting(lambda m: m, "ir_version", 999),
    "ir_1": setting(lambda m: m, "ir_version", 1),
    "ir_most": setting(lambda m: m, "ir_version", 2**63 - 1),
    "attribute_of_string": _attribute(lambda a: a.CopyFrom(helper.make_attribute("epsilon", "x"))),
    "attribute_without_type": _attribute(lambda a: setattr(a, "type", 0)),
    "attribute_of_two_kinds": _attribute(lambda a: a.ints.append(3)),
    "attribute_type_99": _attribute(lambda a: setattr(a, "type", 13)),
    "attribute_without_name": _attribute(lambda a: setattr(a, "name", "")),
    "attribute_twice": model(
        lambda m: m.graph.node[1].attribute.extend(
            helper.make_attribute("epsilon", value) for value in (1e-3, 1e-2)
        )
    ),
    "attribute_refers_outside": attribute_added(1, _reference("momentum", "m")),
    "attribute_graph_for_ints": attribute_added(0, helper.make_attribute("pads", _graph())),
    "metadata_twice": model(
        lambda m: [m.metadata_props.add(key="k", value=v) for v in ("a", "\x1b[31mb\u202e")]
    ),
    "inputs_none": model(lambda m: m.graph.node[0].ClearField("input")),
    "inputs_many": model(lambda m: m.graph.node[2].input.extend(["x"] * 5000)),
    "outputs_none": model(lambda m: m.graph.node[2].ClearField("output")),
    "output_empty": model(lambda m: m.graph.output.add()),
    "domain_unknown": setting(node(2), "domain", "nobody.knows"),
    "node_reads_itself": model(lambda m: m.graph.node[2].input.__setitem__(0, "y")),
    "function_recursive_in_ring": model(_chain(3)),
    "function_twice": _function([_op("Relu")], times=2),
    "function_output_never_made": _function([_op("Relu")], outputs=("nowhere",)),
    "function_input_twice": _function([_op("Relu")], inputs=("a", "a")),
    "function_reads_nothing": _function([helper.make_node("Relu", ["q"], ["b"])]),
    "function_unknown_operator": _function([_op("Rellu")]),
    "function_unused_and_bad": _function([_op("Rellu")], called=False),
    "function_unused_and_circular": _function(
        [helper.make_node("Relu", ["b"], ["b"])], called=False
    ),
    "function_without_name": _function([_op("Relu")], name="", called=False),
    "function_made_twice": _function([_op("Relu"), _op("Relu")]),
    "if_without_branches": model(
        lambda m: m.graph.node.append(helper.make_node("If", ["y"], ["z"]))
    ),
    "if_output_never_made": _if(_graph(outputs=("nowhere",))),
    "if_condition_never_made": _if(
        _graph(helper.make_node("Relu", ["y"], ["t"])), condition="nowhere"
    ),
    "if_shadowing_itself": _if(_graph(helper.make_node("Relu", ["t"], ["t"]))),
}
