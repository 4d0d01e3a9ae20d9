"""The child that holds ONNX Runtime's sessions; `runtime.py` starts it under limits.

What crashes, prints or eats memory while a foreign file is loaded does so here.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from bnfold.verification import frames

_CPU = "CPUExecutionProvider"
_TOGETHER = 1 << 30  # bytes of model files whose sessions are open at once
_ONLY = "onnxruntime.capi.onnxruntime_pybind11_state"
_LEVELS = {"none": "ORT_DISABLE_ALL", "all": "ORT_ENABLE_ALL", "tf32": "ORT_DISABLE_ALL"}


class _Sessions:
    """Sessions by key. Profiles are made where nodes' providers must be read back.

    On a CPU those of large models take turns: what was used longest ago is closed, and opened
    again when it is asked for.
    """

    def __init__(self) -> None:
        self.made: dict[str, Any] = {}
        self.asked: dict[str, Mapping[str, Any]] = {}

    def load(self, asked: Mapping[str, Any], _: Mapping[str, Any]) -> tuple[Any, Any]:
        """Open a session."""
        self._make_room(asked["size"])
        reply = self._opened(asked)
        if asked["key"] in self.made:
            self.asked[asked["key"]] = asked
        return {**reply, "turns": len(self.made) < len(self.asked)}, {}

    def _make_room(self, size: int) -> None:
        """Close sessions, oldest first, until one more of `size` bytes fits beside the rest."""
        for key in list(self.made):
            held = sum(self.asked[other]["size"] for other in self.made)
            if held + size <= _TOGETHER or self.asked[key]["provider"] != _CPU:
                return
            del self.made[key]

    def _opened(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        import onnxruntime as ort

        available = ort.get_available_providers()
        provider = asked["provider"]
        if provider not in available:
            return {"failed": "provider", "message": f"available: {', '.join(available)}"}
        options = ort.SessionOptions()
        options.graph_optimization_level = getattr(
            ort.GraphOptimizationLevel, _LEVELS[asked["level"]]
        )
        options.log_severity_level = 4
        options.intra_op_num_threads = asked["threads"]
        on_cpu = provider == _CPU
        if not on_cpu:
            options.enable_profiling = True
            options.profile_file_prefix = str(Path(tempfile.gettempdir()) / f"bnfold{os.getpid()}")
        settings = {} if on_cpu else {"use_tf32": str(asked["tf32"])}
        session = ort.InferenceSession(
            asked["path"], options, providers=[(provider, settings), *_behind(provider)]
        )
        got = session.get_providers()[0]
        if got == provider:
            self.made[asked["key"]] = session
        elif not on_cpu:  # a silent fall-back leaves its profile behind
            Path(session.end_profiling()).unlink()
        return {"provider": got, "version": ort.__version__}

    def run(self, asked: Mapping[str, Any], feeds: Mapping[str, Any]) -> tuple[Any, Any]:
        """The outputs; the session becomes the one that was used last."""
        key = asked["key"]
        if key not in self.made:
            self._make_room(self.asked[key]["size"])
            self._opened(self.asked[key])
        session = self.made[key] = self.made.pop(key)
        names = [output.name for output in session.get_outputs()]
        return {}, dict(zip(names, session.run(None, dict(feeds)), strict=True))

    def drop(self, asked: Mapping[str, Any], _: Mapping[str, Any]) -> tuple[Any, Any]:
        """Close a session; say how many nodes ran on which provider where that was recorded."""
        del self.asked[asked["key"]]
        session = self.made.pop(asked["key"], None)
        if session is None or session.get_providers()[0] == _CPU:
            return {"nodes": {}}, {}
        profile = Path(session.end_profiling())
        events = json.loads(profile.read_text())
        profile.unlink()
        nodes = {
            event["name"]: event["args"]["provider"]
            for event in events
            if event.get("cat") == "Node" and event.get("args", {}).get("provider")
        }
        return {"nodes": Counter(nodes.values())}, {}


def _behind(provider: str) -> list[str]:
    return [] if provider == _CPU else [_CPU]


def _answer(
    sessions: _Sessions, header: Mapping[str, Any], arrays: Mapping[str, Any]
) -> tuple[Any, Any]:
    verbs: dict[str, Callable[..., tuple[Any, Any]]] = {
        "load": sessions.load,
        "run": sessions.run,
        "drop": sessions.drop,
    }
    try:
        return verbs[header["verb"]](header, arrays)
    except ImportError as cause:
        return {"failed": "import", "message": str(cause)}, {}
    except MemoryError:
        return {"failed": "memory", "message": "out of memory"}, {}
    except Exception as cause:  # ONNX Runtime's exceptions have no common base
        foreign = type(cause).__module__ == _ONLY or isinstance(cause, AttributeError)
        kind = "runtime" if foreign else "other"
        return {"failed": kind, "message": " ".join(str(cause).split())[:600]}, {}


def main(reader: IO[bytes], writer: IO[bytes]) -> None:
    """Answer until the parent closes the pipe."""
    sessions = _Sessions()
    while True:
        try:
            header, arrays = frames.receive(reader)
        except EOFError:
            return
        reply, outputs = _answer(sessions, header, arrays)
        frames.send(writer, reply, outputs)


if __name__ == "__main__":
    # whatever a library prints must not get between the frames
    _out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    main(sys.stdin.buffer, _out)
