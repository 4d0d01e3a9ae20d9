"""Triton's layout; `TRITON_PYTHON` names a Python that has tritonclient[grpc], to parse it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from onnx import TensorProto

import bnfold
from bnfold.deployment.triton import config, model_name
from bnfold.errors import UsageError
from bnfold.verification.subject import Port
from tests.deployment.nets import net

FLOAT = TensorProto.FLOAT
PARSE = """
import json, sys
from google.protobuf import json_format, text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig
told = text_format.Parse(sys.stdin.read(), ModelConfig())
print(json.dumps(json_format.MessageToDict(told, preserving_proto_field_name=True)))
"""


def parsed(text: str) -> dict[str, object]:
    python = os.environ.get("TRITON_PYTHON")
    if not python:
        pytest.skip("TRITON_PYTHON names no Python with tritonclient (it wants another protobuf)")
    done = subprocess.run(
        [python, "-c", PARSE], input=text, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def test_layout(tmp_path: Path) -> None:
    model = net(tmp_path / "my net.onnx")
    bnfold.deploy(model, tmp_path / "d", layout="triton", batches=(1, 8))
    assert (tmp_path / "d" / "my_net" / "config.pbtxt").is_file()
    assert (tmp_path / "d" / "my_net" / "1" / "model.onnx").is_file()
    assert (tmp_path / "d" / "my_net" / "1" / "test_data_set_0" / "input_0.pb").is_file()
    # at the top Triton takes every folder for a model
    assert [p.name for p in (tmp_path / "d").iterdir() if p.is_dir()] == ["my_net"]
    assert bnfold.check(tmp_path / "d").ok
    assert "max_batch_size: 8" in (tmp_path / "d" / "my_net" / "config.pbtxt").read_text()


CASES = {
    "batched": ([Port("x", FLOAT, ("n", 3, None, 8))], {"max_batch_size": 8}),
    "fixed-batch": ([Port("x", FLOAT, (1, 3, 8, 8))], {}),
    "scalar": ([Port("sr", TensorProto.INT64, ())], {}),
    "quoted": ([Port('a"b\\c', FLOAT, ("n", 4))], {"max_batch_size": 8}),
}


@pytest.mark.parametrize(("ports", "want"), CASES.values(), ids=CASES)
@pytest.mark.parametrize("provider", ["cpu", "cuda", "tensorrt"])
def test_tritons_own_definition_parses_it(
    ports: list[Port], want: dict[str, int], provider: str
) -> None:
    text = config("m", ports, ports, provider=provider, most=8, instances=2)
    told = parsed(text)
    assert told["backend"] == "onnxruntime"
    assert told.get("max_batch_size") == want.get("max_batch_size")
    assert told["input"][0]["name"] == ports[0].name  # type: ignore[index]
    assert told["instance_group"][0]["count"] == 2  # type: ignore[index]
    assert ("optimization" in told) == (provider == "tensorrt")
    assert ("dynamic_batching" in told) == bool(want)


def test_dims_leave_the_batch_out() -> None:
    text = config("m", *[[Port("x", FLOAT, ("n", 3, None, 8))]] * 2, provider="cpu", most=4)
    assert "dims: [ 3, -1, 8 ]" in text
    assert "KIND_CPU" in text


def test_a_type_that_triton_does_not_carry() -> None:
    port = Port("x", TensorProto.FLOAT8E4M3FN, ("n", 4))
    with pytest.raises(UsageError, match="FLOAT8E4M3FN"):
        config("m", [port], [port], provider="cpu", most=1)


@pytest.mark.parametrize(
    ("stem", "name"), [("resnet50", "resnet50"), ("a b/é", "a_b"), ("..", "model")]
)
def test_model_name(stem: str, name: str) -> None:
    assert model_name(stem) == name
