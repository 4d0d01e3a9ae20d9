"""ONNX Runtime in a child process: sessions loaded, run and closed, every failure one line."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from bnfold.errors import BnfoldError, DataError, EnvironmentLacks, ModelError, UsageError
from bnfold.show import show
from bnfold.verification import frames
from bnfold.verification.cases import Array
from bnfold.verification.subject import Subject

Level = Literal["none", "all"]
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
INSTALL = 'pip install "bnfold[gpu]", or "bnfold[cpu]" on a machine without CUDA'
MEND = f"pip uninstall -y onnxruntime onnxruntime-gpu, then {INSTALL}"
_ROOT = str(Path(__file__).resolve().parents[2])
TIMEOUT_S = 900.0


class Runtime:
    """The child, started at the first question. Use as a context manager."""

    def __init__(self, provider: str = "cpu", *, threads: int = 0, tf32: bool = False) -> None:
        """`provider` is `cpu` or `cuda`; 0 threads: all cores.

        Raises:
            UsageError: an unknown provider.
        """
        if provider not in PROVIDERS:
            raise UsageError(
                f"unknown provider {show(provider)}", hint=f"one of {', '.join(PROVIDERS)}"
            )
        self.provider = PROVIDERS[provider]
        self.version = ""
        self.nodes: dict[str, dict[str, int]] = {}
        self._threads = threads or len(_cpus())
        self._tf32 = int(tf32)
        self._child: subprocess.Popen[bytes] | None = None
        self._loaded: dict[str, Subject] = {}

    def __enter__(self) -> Runtime:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def load(self, subject: Subject, level: Level) -> str:
        """A session's key.

        Raises:
            EnvironmentLacks: no onnxruntime, no such provider, or a silent fall-back to the CPU.
            ModelError: ONNX Runtime cannot load the file.
        """
        key = f"{subject.label}@{level}"
        if key in self._loaded:
            return key
        question = {
            "verb": "load",
            "key": key,
            "path": str(subject.path),
            "level": level,
            "provider": self.provider,
            "threads": self._threads,
            "tf32": self._tf32,
        }
        reply, _ = self._ask(question, {}, subject)
        if reply["provider"] != self.provider:
            raise EnvironmentLacks(
                f"ONNX Runtime fell back to {reply['provider']} from {self.provider}",
                hint="bnfold doctor says why; " + (both_installed() or INSTALL),
            )
        self.version = reply["version"]
        self._loaded[key] = subject
        return key

    def run(self, key: str, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs by name.

        Raises:
            DataError: the model does not take these inputs.
            ModelError: the session died on them.
        """
        subject = self._loaded[key]
        reply, outputs = self._ask({"verb": "run", "key": key}, feeds, subject)
        del reply
        return outputs

    def drop(self, key: str) -> None:
        """Close a session and keep the record of its nodes' providers."""
        if key in self._loaded:
            reply, _ = self._ask({"verb": "drop", "key": key}, {}, self._loaded.pop(key))
            self.nodes[key] = reply["nodes"]

    def close(self) -> None:
        """End the child."""
        child, self._child = self._child, None
        self._loaded = {}
        if child is not None:
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
            child.kill()
            child.wait()

    def _ask(
        self, question: Mapping[str, Any], arrays: Mapping[str, Array], subject: Subject
    ) -> tuple[dict[str, Any], dict[str, Array]]:
        child = self._started(subject)
        assert child.stdin is not None
        assert child.stdout is not None
        timer = threading.Timer(TIMEOUT_S, child.kill)
        timer.start()
        try:
            frames.send(child.stdin, question, arrays)
            reply, outputs = frames.receive(child.stdout)
        except (OSError, EOFError, ValueError) as cause:
            raise self._died(child, subject) from cause
        finally:
            timer.cancel()
        if "failed" in reply:
            raise _failure(reply, subject, str(question["verb"]), self.provider)
        return reply, outputs

    def _started(self, subject: Subject) -> subprocess.Popen[bytes]:
        if self._child is None:
            path = os.pathsep.join(filter(None, [_ROOT, os.environ.get("PYTHONPATH")]))
            limit = max(16 << 30, 8 * subject.path.stat().st_size)
            extra = {"BNFOLD_WORKER_BYTES": str(limit)} if self.provider == PROVIDERS["cpu"] else {}
            self._child = subprocess.Popen(
                [sys.executable, "-m", "bnfold.verification.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": path, **extra},
            )
        return self._child

    def _died(self, child: subprocess.Popen[bytes], subject: Subject) -> BnfoldError:
        status = child.wait()
        self.close()
        how = f"signal {-status}" if status < 0 else f"status {status}"
        return ModelError(f"ONNX Runtime ended with {how} on this model", where=subject.label)


def _failure(reply: Mapping[str, Any], subject: Subject, verb: str, provider: str) -> BnfoldError:
    message = show(reply["message"], 400)
    if reply["failed"] == "import":
        return EnvironmentLacks(f"onnxruntime does not import: {message}", hint=INSTALL)
    if reply["failed"] == "provider":
        return EnvironmentLacks(
            f"ONNX Runtime has no {provider} here ({message})",
            hint=both_installed() or "pip install onnxruntime-gpu, and a CUDA that it loads",
        )
    if verb == "run":
        return DataError(
            f"ONNX Runtime does not run on these inputs: {message}",
            where=subject.label,
            hint="give sizes with --shape, or real inputs with --inputs",
        )
    return ModelError(f"ONNX Runtime cannot load it: {message}", where=subject.label)


def both_installed() -> str | None:
    """How to mend it where onnxruntime and onnxruntime-gpu lie over each other, else None."""
    here = {d.metadata["Name"] for d in metadata.distributions()}
    return MEND if {"onnxruntime", "onnxruntime-gpu"} <= here else None


def _cpus() -> set[int] | list[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return list(range(os.cpu_count() or 1))
