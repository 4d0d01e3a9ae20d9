"""Does an execution provider really load? Asked of a session, in a process of its own.

`get_available_providers()` lists what was compiled in, and a session that finds no CUDA runs on
the CPU without an exception; only a session that may not fall back tells the truth.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass

from bnfold import child
from bnfold.latency import runtime

_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Provider:
    """One execution provider: does it load, and if not, why."""

    name: str
    loads: bool
    detail: str | None = None


def probe(name: str) -> Provider:
    """Creates a one-node session on `name` (`CUDAExecutionProvider`) and reads back what runs it.

    Raises:
        EnvironmentLacks: onnxruntime is not installed.
    """
    ort = runtime.onnxruntime()
    if name not in ort.get_available_providers():
        return Provider(name, loads=False, detail=f"not in this build of ONNX Runtime {_version()}")
    asked = {"provider": name, "model": base64.b64encode(_tiny_model()).decode()}
    try:
        told = child.ask("bnfold.latency.probe", asked, seconds=_TIMEOUT_S)
    except child.ChildFailed as failed:
        return Provider(name, loads=False, detail=str(failed))
    if told["providers"][:1] == [name]:
        return Provider(name, loads=True)
    return Provider(name, loads=False, detail=_cause(told["stderr"], told.get("error")))


def _version() -> str:
    return str(getattr(runtime.onnxruntime(), "__version__", "?"))


def _cause(stderr: str, error: str | None) -> str:
    missing = re.search(r"(lib\S+): cannot open shared object file", stderr)
    if missing:
        return f"{missing.group(1)} not found"
    required = re.search(r"Require [^.]*\.\*[^.]*\.\*", stderr)
    if required:
        return required.group(0)
    return (error or "the session fell back to the CPU").splitlines()[0][:300]


def _tiny_model() -> bytes:
    from onnx import TensorProto, helper

    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1]) for n in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "probe", ends[:1], ends[1:])
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, ir_version=8, opset_imports=opset)
    return bytes(model.SerializeToString())


def _answer() -> None:
    asked = child.question()
    ort = runtime.onnxruntime()
    options = ort.SessionOptions()
    if asked["provider"] != runtime.PROVIDERS["cpu"]:
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    try:
        session = ort.InferenceSession(
            base64.b64decode(asked["model"]), options, providers=[asked["provider"]]
        )
        child.answer({"providers": session.get_providers()})
    except Exception as error:  # ONNX Runtime raises classes of its own, without a common base
        child.answer({"providers": [], "error": str(error)})


if __name__ == "__main__":
    _answer()
