"""ONNX Runtime in a child process: sessions loaded, run and closed, every failure one line."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections.abc import Mapping
from importlib import metadata
from types import TracebackType
from typing import Any, Literal

from bnfold import child
from bnfold.errors import BnfoldError, DataError, EnvironmentLacks, ModelError, UsageError
from bnfold.show import show
from bnfold.verification import frames
from bnfold.verification.cases import Array
from bnfold.verification.subject import Subject

Level = Literal["none", "all", "tf32"]  # tf32: as none, with TensorFloat-32 products
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
INSTALL = 'pip install "bnfold[gpu]", or "bnfold[cpu]" on a machine without CUDA'
MEND = f"pip uninstall -y onnxruntime onnxruntime-gpu, then {INSTALL}"


class Runtime:
    """The child, started at the first question. Use as a context manager."""

    def __init__(
        self,
        provider: str = "cpu",
        *,
        threads: int = 0,
        timeout_s: float = child.SECONDS,
    ) -> None:
        """`provider` is `cpu` or `cuda`; 0 threads: all cores; `timeout_s` for one load or run.

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
        self.takes_turns = False  # whether a session was closed to make room for another
        self._threads = threads or len(_cpus())
        self._timeout_s = timeout_s
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
            "size": subject.size,
            "level": level,
            "provider": self.provider,
            "threads": self._threads,
            "tf32": int(level == "tf32"),
        }
        reply, _ = self._ask(question, {}, subject)
        if reply["provider"] != self.provider:
            raise EnvironmentLacks(
                f"ONNX Runtime fell back to {reply['provider']} from {self.provider}",
                hint="bnfold doctor says why; " + (both_installed() or INSTALL),
            )
        self.version = reply["version"]
        self.takes_turns |= reply["turns"]
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
        """Close a session and keep the record of its nodes' providers.

        Raises:
            EnvironmentLacks: all nodes ran on the CPU, where another provider was asked for.
        """
        if key in self._loaded:
            reply, _ = self._ask({"verb": "drop", "key": key}, {}, self._loaded.pop(key))
            self.nodes[key] = reply["nodes"]
            if reply["nodes"] and self.provider not in reply["nodes"]:
                raise EnvironmentLacks(
                    f"no node ran on {self.provider}: ONNX Runtime fell back to the CPU",
                    hint="bnfold doctor says why",
                )

    def close(self) -> None:
        """End the child."""
        process, self._child = self._child, None
        self._loaded = {}
        if process is not None:
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
            process.kill()
            process.wait()

    def _ask(
        self, question: Mapping[str, Any], arrays: Mapping[str, Array], subject: Subject
    ) -> tuple[dict[str, Any], dict[str, Array]]:
        process = self._started(subject)
        assert process.stdin is not None
        assert process.stdout is not None
        late = threading.Event()

        def end() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(self._timeout_s, end)
        timer.start()
        try:
            frames.send(process.stdin, question, arrays)
            reply, outputs = frames.receive(process.stdout)
        except (OSError, EOFError, ValueError) as cause:
            raise self._died(process, subject, late) from cause
        finally:
            timer.cancel()
        if "failed" in reply:
            raise _failure(reply, subject, str(question["verb"]), self.provider)
        return reply, outputs

    def _started(self, subject: Subject) -> subprocess.Popen[bytes]:
        if self._child is None:
            on_cpu = self.provider == PROVIDERS["cpu"]
            self._child = child.spawn(
                "bnfold.verification.worker",
                memory=child.room_for(subject.size) if on_cpu else None,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        return self._child

    def _died(
        self, process: subprocess.Popen[bytes], subject: Subject, late: threading.Event
    ) -> BnfoldError:
        status = process.wait()
        self.close()
        if late.is_set():
            return ModelError(
                f"ONNX Runtime gives no answer within {self._timeout_s:.0f} s",
                where=subject.label,
                hint="--timeout SECONDS, if the model is that slow",
            )
        return ModelError(
            f"ONNX Runtime ended with {child.ending(status)} on this model", where=subject.label
        )


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
