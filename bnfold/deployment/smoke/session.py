"""One session of ONNX Runtime: loaded, profiled over the first golden case, then timed."""

from __future__ import annotations

import contextlib
import io
import json
import os
import tempfile
import time
from typing import Any, Callable, ContextManager, Iterator  # noqa: UP035 (Python 3.8)

from bnfold.deployment.smoke.answers import Case
from bnfold.deployment.smoke.words import DATA, LACKS, MODEL, PROVIDERS, Finding, Refused, line

# Operators that carry the work: one of them off the provider asked for is a silent fall-back;
# shape arithmetic on the CPU is as it should be.
WORK = frozenset(("Conv", "ConvTranspose", "FusedConv", "Gemm", "MatMul", "QLinearConv"))
Limit = Callable[[str], "ContextManager[object]"]
_FATAL, _WARNING = 4, 2  # log severities: a fall-back is told by us, in one line
_WARM_UP = 5
_LONGEST_S = 10.0
_MOST_GOLDEN = 4 << 30  # bytes: an archive may inflate to a thousand times its size
_DOCTOR = "bnfold doctor tells what is missing"


def unlimited(provider: str) -> ContextManager[object]:
    """The caller's own time and patience."""
    return contextlib.nullcontext(provider)


class Trial:
    """The session, from its loading to its latency. Use as a context manager."""

    def __init__(
        self,
        folder: str,
        manifest: dict[str, Any],
        provider: str,
        limit: Limit = unlimited,
        scratch: str | None = None,
    ) -> None:
        self._limit = limit
        self.folder, self.manifest, self.provider = folder, manifest, provider
        self.nodes: dict[str, int] = {}
        self._placing: dict[str, tuple[str, str]] = {}
        self._temporary = tempfile.TemporaryDirectory(prefix="bnfold-check-", dir=scratch)
        self._ort = _onnxruntime(provider)
        self.version = str(self._ort.__version__)
        self._session: Any = None
        self._cases: list[Case] = []
        self._load_ms = self._first_ms = 0.0

    def __enter__(self) -> Trial:
        try:
            self._load()
            self._read_golden()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._session, self._cases = None, []
        self._temporary.cleanup()

    def _load(self) -> None:
        options = self._ort.SessionOptions()
        options.log_severity_level = _FATAL
        options.enable_profiling = True
        options.profile_file_prefix = os.path.join(self._temporary.name, "profile")
        path = os.path.join(self.folder, self.manifest["model"]["file"])
        wanted = _wanted(self.provider, self.version)
        start = time.perf_counter()
        try:
            with _silent(self._ort), self._limit(self.provider):
                self._session = self._ort.InferenceSession(path, options, providers=wanted)
        except Exception as error:  # ONNX Runtime's exceptions have no common base
            hint = "deploy with --target ort:" + ".".join(self.version.split(".")[:2])
            message = f"ONNX Runtime {self.version} cannot load it: {line(error)}"
            raise Refused(MODEL, message, path, hint) from error
        self._load_ms = (time.perf_counter() - start) * 1e3
        got = self._session.get_providers()[0]
        if got != self.provider:
            message = f"ONNX Runtime silently took {got} in place of {self.provider}"
            raise Refused(LACKS, message, path, _DOCTOR)

    def _read_golden(self) -> None:
        """The golden arrays, which must be what the session takes."""
        import numpy as np

        name = self.manifest["golden"]["file"]
        try:
            arrays = np.load(os.path.join(self.folder, name), allow_pickle=False)
            size = sum(entry.file_size for entry in arrays.zip.infolist())
            if size > _MOST_GOLDEN:
                raise ValueError(f"its arrays take {size} bytes; {_MOST_GOLDEN} is the most")
            self._cases = [Case(arrays, entry) for entry in self.manifest["golden"]["cases"]]
            given = [sorted(case.feeds()) for case in self._cases]
        except Exception as error:  # a damaged archive raises of zipfile, zlib, numpy
            raise Refused(DATA, f"{name} is damaged: {line(error)}", self.folder) from error
        if not self._cases:
            raise Refused(DATA, "the manifest lists no golden case", self.folder)
        takes = sorted(port.name for port in self._session.get_inputs())
        for names in given:
            if names != takes:
                message = f"golden inputs are {', '.join(names)}, the model takes"
                raise Refused(DATA, f"{message} {', '.join(takes)}", name, "deploy again")

    def replay(self) -> list[Finding]:
        """Each golden case against its answers.

        Raises:
            Refused: the model does not take the golden inputs.
        """
        names = [output.name for output in self._session.get_outputs()]
        findings = []
        for k, case in enumerate(self._cases):
            feeds = case.feeds()
            start = time.perf_counter()
            try:
                with self._limit(self.provider):
                    got = self._session.run(None, feeds)
            except Exception as error:
                message = f"golden case {case.name} does not fit the model: {line(error)}"
                raise Refused(DATA, message, self.folder, "deploy again") from error
            if not k:
                self._first_ms = (time.perf_counter() - start) * 1e3
                self._read_profile()
            findings.append(case.judged(dict(zip(names, got))))  # noqa: B905 (Python 3.8)
        return findings

    def _read_profile(self) -> None:
        """Who ran each node; from here on the session runs unprofiled."""
        with open(self._session.end_profiling(), encoding="utf-8") as file:
            events = json.load(file)
        for event in events:
            ran = event.get("args", {})
            if event.get("cat") == "Node" and ran.get("provider"):
                self._placing[event["name"]] = (ran.get("op_name", ""), ran["provider"])
        for _, provider in self._placing.values():
            self.nodes[provider] = self.nodes.get(provider, 0) + 1

    def placed(self) -> Finding:
        """All of the work ran where it was asked for.

        Raises:
            Refused: a silent fall-back to another provider.
        """
        told = ", ".join(f"{count} on {name}" for name, count in sorted(self.nodes.items()))
        away = [
            f"{name} ({op})"
            for name, (op, provider) in sorted(self._placing.items())
            if provider != self.provider and op in WORK
        ]
        if away or (self.nodes and self.provider not in self.nodes):
            message = f"not all work runs on {self.provider}: {', '.join(away[:3]) or told}"
            raise Refused(LACKS, message, self.folder, _DOCTOR)
        return Finding("nodes", ok=True, sentence=f"nodes: {told or 'none'}")

    def timing(self, runs: int) -> dict[str, float]:
        """Cold start and steady latency of the first case."""
        feeds, begun = self._cases[0].feeds(), time.perf_counter()
        walls: list[float] = []
        while len(walls) < runs + _WARM_UP and time.perf_counter() - begun < _LONGEST_S:
            with self._limit(self.provider):
                start = time.perf_counter()
                self._session.run(None, feeds)
            walls.append((time.perf_counter() - start) * 1e3)
        steady = sorted(walls[_WARM_UP:] or walls)
        return {
            "load_ms": round(self._load_ms, 3),
            "first_run_ms": round(self._first_ms, 3),
            "median_ms": round(steady[len(steady) // 2], 4),
            "p90_ms": round(steady[len(steady) * 9 // 10], 4),
            "runs": len(steady),
            "batch": self._cases[0].batch,
        }


@contextlib.contextmanager
def _silent(ort: Any) -> Iterator[None]:
    """ONNX Runtime prints a page on stdout and stderr where a provider does not load."""
    ort.set_default_logger_severity(_FATAL)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        ort.set_default_logger_severity(_WARNING)


def _onnxruntime(provider: str) -> Any:
    gpu = provider != PROVIDERS["cpu"]
    try:
        import onnxruntime
    except ImportError as error:
        hint = "pip install " + ("onnxruntime-gpu" if gpu else "onnxruntime")
        raise Refused(LACKS, f"onnxruntime does not import: {line(error)}", "", hint) from error
    available = onnxruntime.get_available_providers()
    if provider not in available:
        message = f"{provider} is expected, this onnxruntime has {', '.join(available)}"
        hint = "pip install onnxruntime-gpu, or --provider cpu"
        raise Refused(LACKS, message, "", hint)
    return onnxruntime


def _wanted(provider: str, version: str) -> list[Any]:
    """The provider, and behind it those for the rest; TF32 off, whose error is no fault."""
    if provider == PROVIDERS["cpu"]:
        return [provider]
    known = tuple(int(part) for part in version.split(".")[:2]) >= (1, 18)
    cuda = (PROVIDERS["cuda"], {"use_tf32": "0"} if known else {})
    first = [provider] if provider != PROVIDERS["cuda"] else []
    return [*first, cuda, PROVIDERS["cpu"]]
