"""Functions, subgraphs and types in places where they do not belong."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import onnx
from onnx import AttributeProto, TensorProto, helper

from tests.corpus.making import Maker, attribute_added, model

_IDS = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
Change = Callable[[onnx.ModelProto], object]


def _value(name: str, dims: Sequence[int | str] = "nchw") -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, dims)


def _shadowing(op: str, *nodes: onnx.NodeProto, domain: str = "") -> Change:
    """A local function that bears the name of one of onnx's operators, which the graph calls."""

    def add(m: onnx.ModelProto) -> None:
        inputs = [f"i{k}" for k in range({"BatchNormalization": 5, "Conv": 2}.get(op, 1))]
        body = list(nodes) or [helper.make_node("Identity", ["i0"], ["o"])]
        m.functions.append(helper.make_function(domain, op, inputs, ["o"], body, _IDS[:1]))

    return add


def _called(function: onnx.FunctionProto, *attributes: AttributeProto) -> Change:
    """In the Relu's place."""

    def add(m: onnx.ModelProto) -> None:
        m.functions.append(function)
        m.opset_import.append(_IDS[1])
        m.graph.node[2].op_type, m.graph.node[2].domain = function.name, "own"
        m.graph.node[2].attribute.extend(attributes)

    return add


def _function(
    nodes: list[onnx.NodeProto], ids: list[onnx.OperatorSetIdProto] = _IDS, **more: object
) -> onnx.FunctionProto:
    return helper.make_function("own", "F", ["a"], ["b"], nodes, ids, **more)


def _relu() -> list[onnx.NodeProto]:
    return [helper.make_node("Relu", ["a"], ["b"])]


def _in_body(nodes: list[onnx.NodeProto], *, deep: int = 1) -> Change:
    """An If at the end, whose branches hold `nodes`, which make 't'."""

    def add(m: onnx.ModelProto) -> None:
        body = helper.make_graph(nodes, "body", [], [_value("t")])
        for _ in range(deep - 1):
            inner = helper.make_node("If", ["c"], ["t"], then_branch=body, else_branch=body)
            body = helper.make_graph([inner], "body", [], [_value("t")])
        m.graph.input.append(helper.make_tensor_value_info("c", TensorProto.BOOL, []))
        m.graph.node.append(
            helper.make_node("If", ["c"], ["z"], then_branch=body, else_branch=body)
        )
        m.graph.output.append(_value("z"))

    return add


def _loop(m: onnx.ModelProto) -> None:
    """A Loop with a body that has too few inputs."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["s"], ["t"])], "body", [_value("s")], [_value("t")]
    )
    m.graph.node.append(helper.make_node("Loop", ["", "", "y"], ["z"], body=body))
    m.graph.output.append(_value("z"))


def _scan(count: int) -> Change:
    def add(m: onnx.ModelProto) -> None:
        body = helper.make_graph(
            [helper.make_node("Relu", ["s"], ["t"])], "body", [_value("s")], [_value("t")]
        )
        node = helper.make_node("Scan", ["y"], ["z"], body=body, num_scan_inputs=count)
        m.graph.node.append(node)
        m.graph.output.append(_value("z"))

    return add


def _typed(make: Callable[[onnx.TypeProto], object]) -> Change:
    """One more input, of a type that `make` makes."""

    def add(m: onnx.ModelProto) -> None:
        one = m.graph.input.add(name="other")
        make(one.type)

    return add


def _wide(tensor: onnx.TypeProto.Tensor) -> None:
    tensor.elem_type = TensorProto.FLOAT
    for _ in range(100_000):
        tensor.shape.dim.add(dim_value=1)


def _training(m: onnx.ModelProto) -> None:
    info = m.training_info.add()
    info.initialization.CopyFrom(
        helper.make_graph([helper.make_node("Relu", ["nowhere"], ["t"])], "i", [], [_value("t")])
    )
    info.algorithm.CopyFrom(info.initialization)
    info.update_binding.add(key="weight", value="nowhere")


def _name_twice(m: onnx.ModelProto) -> None:
    for node in m.graph.node:
        node.name = "same"


MODELS: dict[str, Maker] = {
    "function_without_opsets": model(_called(_function(_relu(), []))),
    "function_of_opset_999": model(
        _called(_function(_relu(), [helper.make_opsetid("", 999), _IDS[1]]))
    ),
    "function_of_an_old_opset": model(
        _called(_function(_relu(), [helper.make_opsetid("", 1), _IDS[1]]))
    ),
    "function_of_unknown_domain": model(
        _called(_function([helper.make_node("G", ["a"], ["b"], domain="nobody")]))
    ),
    "function_named_as_an_operator": model(_shadowing("Relu")),
    "function_named_as_batchnorm": model(_shadowing("BatchNormalization")),
    "function_named_as_conv": model(_shadowing("Conv")),
    "function_named_as_an_operator_by_alias": model(_shadowing("Relu", domain="ai.onnx")),
    "function_recursive_as_an_operator": model(
        _shadowing("Relu", helper.make_node("Relu", ["i0"], ["o"]))
    ),
    "body_shadows_a_value": model(
        _in_body(
            [helper.make_node("Relu", ["y"], ["norm"]), helper.make_node("Relu", ["norm"], ["t"])]
        )
    ),
    "body_makes_a_value_twice": model(
        _in_body([helper.make_node("Relu", ["y"], ["t"]), helper.make_node("Relu", ["x"], ["t"])])
    ),
    "body_in_a_circle": model(
        _in_body([helper.make_node("Relu", ["u"], ["t"]), helper.make_node("Relu", ["t"], ["u"])])
    ),
    "body_reads_its_own_node": model(_in_body([helper.make_node("Relu", ["z"], ["t"])])),
    "body_deep_and_undefined": model(_in_body([helper.make_node("Relu", ["q"], ["t"])], deep=5)),
    "sequence_of_100000_dims": model(
        _typed(lambda t: _wide(t.sequence_type.elem_type.tensor_type))
    ),
    "optional_of_100000_dims": model(
        _typed(lambda t: _wide(t.optional_type.elem_type.tensor_type))
    ),
    "map_of_100000_dims": model(
        _typed(
            lambda t: (setattr(t.map_type, "key_type", 7), _wide(t.map_type.value_type.tensor_type))
        )
    ),
    "sparse_type_of_100000_dims": model(_typed(lambda t: _wide(t.sparse_tensor_type))),
    "sequence_of_nothing": model(_typed(lambda t: t.sequence_type.SetInParent())),
    "sequence_of_unknown_type": model(
        _typed(lambda t: setattr(t.sequence_type.elem_type.tensor_type, "elem_type", 99))
    ),
    "map_with_unknown_key": model(_typed(lambda t: setattr(t.map_type, "key_type", 99))),
    "type_of_nothing": model(_typed(lambda t: t.SetInParent())),
    "names_of_nodes_alike": model(_name_twice),
    "initializer_is_made": model(
        lambda m: m.graph.initializer.add(name="conv", data_type=1, dims=[1], raw_data=bytes(4))
    ),
    "input_is_made": model(lambda m: m.graph.input.append(_value("conv"))),
    "output_twice": model(lambda m: m.graph.output.append(m.graph.output[0])),
    "attribute_of_graphs": attribute_added(
        2, helper.make_attribute("more", [helper.make_graph([], "g", [], [])])
    ),
    "inputs_trailing": model(lambda m: m.graph.node[2].input.extend(["", ""])),
}
SOUND_MODELS: dict[str, Maker] = {
    "training_undefined": model(_training),
    "output_is_an_input": model(lambda m: m.graph.output.append(m.graph.input[0])),
    "output_is_an_initializer": model(lambda m: m.graph.output.append(_value("norm.bias", [4]))),
    "bodies_in_bodies": model(_in_body([helper.make_node("Relu", ["y"], ["t"])], deep=4)),
    "body_reads_what_comes_later": model(
        lambda m: (
            _in_body([helper.make_node("Relu", ["y"], ["t"])])(m),
            m.graph.node.insert(
                0, onnx.NodeProto.FromString(m.graph.node.pop().SerializeToString())
            ),
        )
    ),
}

# files that only a runtime refuses
UNRUNNABLE: dict[str, Maker] = {
    "loop_body_of_one_input": model(_loop),
    "scan_of_no_input": model(_scan(0)),
    "scan_of_minus_one": model(_scan(-1)),
    "scan_of_very_many": model(_scan(2**62)),
}
