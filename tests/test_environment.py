"""doctor: what it sees here, and what it says of environments that are broken."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata

import pytest

from bnfold import environment
from bnfold.environment import Finding, Gpu, doctor, parse_smi
from bnfold.errors import EnvironmentLacks
from bnfold.latency import runtime
from bnfold.latency.probe import Provider


def pretend(monkeypatch, versions, *, providers=(), gpus=(), torch_cuda=None):
    real = dict.fromkeys(environment.BASE, "1") | versions
    monkeypatch.setattr(environment, "_version", real.get)
    monkeypatch.setattr(environment, "_providers", lambda: (tuple(providers), None))
    monkeypatch.setattr(environment, "_runtime_cuda", lambda: None)
    monkeypatch.setattr(environment, "_torch_cuda", lambda: (torch_cuda, None))
    monkeypatch.setattr(environment, "_gpus", lambda: tuple(gpus))


def test_of_this_environment_is_json_and_names_installed_versions():
    told = json.loads(json.dumps(doctor().to_dict()))
    versions = {p["name"]: p["version"] for p in told["packages"]}
    assert versions["numpy"] == metadata.version("numpy")
    assert told["cpus"] >= 1
    assert told["ok"] is doctor().ok


def test_the_cpu_provider_loads():
    pytest.importorskip("onnxruntime")
    loaded = {p.name for p in doctor().providers if p.loads}
    assert "CPUExecutionProvider" in loaded


def test_both_runtimes_are_a_problem_with_a_way_out(monkeypatch):
    pretend(monkeypatch, {"onnxruntime": "1.32.0", "onnxruntime-gpu": "1.31.1"})
    report = doctor()
    assert not report.ok
    assert "both" in report.problems[0].what
    assert "pip uninstall -y onnxruntime onnxruntime-gpu" in report.problems[0].mend


@pytest.mark.parametrize("only", environment.RUNTIMES)
def test_one_runtime_is_no_problem(monkeypatch, only):
    pretend(monkeypatch, {only: "1.31.1"})
    report = doctor()
    assert report.ok
    assert not any("onnxruntime" in finding.what for finding in report.missing)


def test_absent_extras_are_missing_but_nothing_is_broken(monkeypatch):
    pretend(monkeypatch, {})
    report = doctor()
    assert report.ok
    mends = " ".join(finding.mend for finding in report.missing)
    assert all(f"bnfold[{extra}]" in mends for extra in ("gpu", "cpu", "train", "vision"))


def test_an_absent_base_package_is_a_problem(monkeypatch):
    pretend(monkeypatch, {"onnx": None})
    assert Finding("onnx is not installed", "pip install onnx") in doctor().problems


def test_a_gpu_that_nobody_can_use_is_a_problem(monkeypatch):
    gpu = Gpu("H", 81559, "580.1", "13.0", "nvidia-smi")
    cuda = Provider("CUDAExecutionProvider", loads=False, detail="libcublasLt.so.13 not found")
    versions = {"torch": "2.13.0", "onnxruntime-gpu": "1.31.1"}
    pretend(monkeypatch, versions, providers=[cuda], gpus=[gpu])
    whats = [finding.what for finding in doctor().problems]
    assert whats == [
        "ONNX Runtime cannot use the GPU: libcublasLt.so.13 not found",
        "torch cannot use the GPU",
    ]


def test_a_runtime_that_does_not_import_is_a_problem(monkeypatch):
    def broken():
        raise EnvironmentLacks("onnxruntime does not import: no", hint=runtime.INSTALL)

    monkeypatch.setattr(runtime, "onnxruntime", broken)
    monkeypatch.setattr(environment, "_torch_cuda", lambda: (None, None))
    report = doctor()
    assert [f.what for f in report.problems] == ["onnxruntime does not import: no"]
    assert report.providers == ()


def test_nvidia_smi_is_read_line_by_line():
    text = "NVIDIA H100 80GB HBM3, 81559, 580.95.05\nNVIDIA T4, [N/A], 580\n"
    want = Gpu("NVIDIA H100 80GB HBM3", 81559, "580.95.05", "13.0", "nvidia-smi")
    assert parse_smi(text, "13.0") == (want,)


def test_import_is_cheap():
    code = "import sys, bnfold.environment; print({'torch', 'onnxruntime'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
