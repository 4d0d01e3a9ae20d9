"""`doctor`: what this environment can and cannot do, and how to get what it lacks."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

from bnfold.errors import BnfoldError
from bnfold.latency.probe import Provider, probe

BASE = ("numpy", "onnx", "onnx-graphsurgeon", "ml_dtypes", "click", "rich")
EXTRAS: dict[str, tuple[str, ...]] = {
    "train": (
        "torch",
        "onnxscript",
        "onnx-ir",
        "safetensors",
        "scikit-learn",
        "pillow",
        "matplotlib",
        "tensorboard",
    ),
    "vision": ("torchvision", "timm"),
}
RUNTIMES = ("onnxruntime-gpu", "onnxruntime")
_FIX_RUNTIMES = (
    "pip uninstall -y onnxruntime onnxruntime-gpu, then install one of the two: "
    'pip install "bnfold[gpu]" (with CUDA) or "bnfold[cpu]"'
)


@dataclass(frozen=True, slots=True)
class Package:
    """A distribution: its version, None where it is absent, and the extra that brings it."""

    name: str
    version: str | None
    extra: str


@dataclass(frozen=True, slots=True)
class Gpu:
    """A CUDA device, and who told: `nvidia-smi` or `torch`. Memory in MiB."""

    name: str
    memory_mib: int
    driver: str | None
    cuda: str | None
    source: str


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong or absent, and how to mend it."""

    what: str
    mend: str


@dataclass(frozen=True, slots=True)
class DoctorReport:
    """What is here. `problems` break what is installed; `missing` is only not there."""

    bnfold: str
    python: str
    platform: str
    cpus: int
    packages: tuple[Package, ...]
    providers: tuple[Provider, ...]
    gpus: tuple[Gpu, ...]
    runtime_cuda: str | None
    torch_cuda: str | None
    problems: tuple[Finding, ...]
    missing: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Nothing is broken; what is merely absent does not count."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """The report as plain JSON data."""
        return {"ok": self.ok, **asdict(self)}


def doctor() -> DoctorReport:
    """Versions, providers that really load, GPUs, what is broken, and what is missing."""
    packages = _packages()
    here = {p.name: p.version for p in packages if p.version}
    runtimes = [name for name in RUNTIMES if name in here]
    providers, broken_runtime = _providers() if runtimes else ((), None)
    torch_cuda, broken_torch = _torch_cuda() if "torch" in here else (None, None)
    gpus = _gpus()
    problems = [f for f in (broken_runtime, broken_torch, _two_runtimes(runtimes)) if f]
    problems += [
        Finding(f"{name} is not installed", f"pip install {name}")
        for name in BASE
        if name not in here
    ]
    if gpus:
        problems += _unused_gpu(providers, torch_cuda, here)
    return DoctorReport(
        bnfold=_version("bnfold") or "not installed",
        python=platform.python_version(),
        platform=platform.platform(),
        cpus=_cpus(),
        packages=packages,
        providers=providers,
        gpus=gpus,
        runtime_cuda=_runtime_cuda() if runtimes and not broken_runtime else None,
        torch_cuda=torch_cuda,
        problems=tuple(problems),
        missing=tuple(_missing(here)),
    )


def _packages() -> tuple[Package, ...]:
    wanted = [("base", BASE), ("gpu", RUNTIMES[:1]), ("cpu", RUNTIMES[1:]), *EXTRAS.items()]
    return tuple(Package(name, _version(name), extra) for extra, names in wanted for name in names)


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _cpus() -> int:
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _providers() -> tuple[tuple[Provider, ...], Finding | None]:
    from bnfold.latency import runtime

    try:
        names = runtime.onnxruntime().get_available_providers()
        return tuple(probe(name) for name in names), None
    except BnfoldError as error:
        return (), Finding(error.message, error.hint or _FIX_RUNTIMES)


def _runtime_cuda() -> str | None:
    from bnfold.latency import runtime

    return getattr(runtime.onnxruntime(), "cuda_version", None) or None


def _two_runtimes(runtimes: list[str]) -> Finding | None:
    """Each unpacks over the other's files; whichever came last decides, and CUDA may vanish."""
    if len(runtimes) < 2:
        return None
    return Finding("onnxruntime and onnxruntime-gpu are both installed", _FIX_RUNTIMES)


def _unused_gpu(
    providers: tuple[Provider, ...], torch_cuda: str | None, here: dict[str, str]
) -> list[Finding]:
    findings = []
    cuda = next((p for p in providers if p.name == "CUDAExecutionProvider"), None)
    if providers and not (cuda and cuda.loads):
        why = (cuda.detail if cuda else None) or "this build of ONNX Runtime has no CUDA"
        mend = 'pip install "onnxruntime-gpu[cuda,cudnn]" (cuBLAS comes with torch for CUDA 13)'
        findings.append(Finding(f"ONNX Runtime cannot use the GPU: {why}", mend))
    if "torch" in here and torch_cuda is None:
        mend = "install a CUDA build of torch: https://pytorch.org/get-started/locally/"
        findings.append(Finding("torch cannot use the GPU", mend))
    return findings


def _missing(here: dict[str, str]) -> list[Finding]:
    findings = []
    if not any(name in here for name in RUNTIMES):
        mend = 'pip install "bnfold[gpu]", or "bnfold[cpu]" on a machine without CUDA'
        findings.append(Finding("onnxruntime (verify, bench, evaluate)", mend))
    purpose = {"train": "train, export, quickstart", "vision": "torchvision: and timm: models"}
    for extra, names in EXTRAS.items():
        absent = [name for name in names if name not in here]
        if absent:
            what = f"{', '.join(absent)} ({purpose[extra]})"
            findings.append(Finding(what, f'pip install "bnfold[{extra}]"'))
    return findings


def _torch_cuda() -> tuple[str | None, Finding | None]:
    """The CUDA version torch computes with here, None on the CPU."""
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a shared library does not load
        what = f"torch does not import: {str(error).splitlines()[0]}"
        return None, Finding(what, 'pip install --force-reinstall "bnfold[train]"')
    return (torch.version.cuda if torch.cuda.is_available() else None), None


def _gpus() -> tuple[Gpu, ...]:
    return _smi_gpus() or (_torch_gpus() if "torch" in sys.modules else ())


def _smi_gpus() -> tuple[Gpu, ...]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    fields = "name,memory.total,driver_version"
    listing = _output([program, f"--query-gpu={fields}", "--format=csv,noheader,nounits"])
    cuda = re.search(r"CUDA Version:\s*([\d.]+)", _output([program]))
    return parse_smi(listing, cuda.group(1) if cuda else None)


def parse_smi(listing: str, cuda: str | None) -> tuple[Gpu, ...]:
    """GPUs out of nvidia-smi's CSV: name, memory in MiB, driver."""
    gpus = []
    for line in listing.splitlines():
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) == 3 and cells[1].isdigit():
            gpus.append(Gpu(cells[0], int(cells[1]), cells[2], cuda, "nvidia-smi"))
    return tuple(gpus)


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def _torch_gpus() -> tuple[Gpu, ...]:
    import torch

    if not torch.cuda.is_available():
        return ()
    seen = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    return tuple(Gpu(p.name, p.total_memory >> 20, None, torch.version.cuda, "torch") for p in seen)
