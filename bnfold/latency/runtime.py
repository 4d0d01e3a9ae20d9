"""ONNX Runtime, found late: its import, the names of its providers and of its levels."""

from __future__ import annotations

import importlib
from typing import Any

from bnfold.errors import EnvironmentLacks, UsageError

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
LEVELS = {
    "none": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}
# The class name MatmulBNFusion does nothing; this one works (1.31 and 1.32).
BN_FUSIONS = ("ConvBNFusion", "MatMul_BatchNormalization_Fusion")
INSTALL = 'pip install "bnfold[gpu]", or "bnfold[cpu]" on a machine without CUDA'


def onnxruntime() -> Any:
    """The onnxruntime module.

    Raises:
        EnvironmentLacks: it is not installed, or what is installed does not import.
    """
    try:
        module = importlib.import_module("onnxruntime")
    except ImportError as error:
        raise EnvironmentLacks(f"onnxruntime does not import: {error}", hint=INSTALL) from error
    if not hasattr(module, "InferenceSession"):  # what an uninstalled twin leaves behind
        raise EnvironmentLacks(
            "onnxruntime is installed in pieces: it has no InferenceSession",
            hint=f"pip uninstall -y onnxruntime onnxruntime-gpu, then {INSTALL}",
        )
    return module


def provider_name(provider: str) -> str:
    """`cpu` -> `CPUExecutionProvider`; full names pass.

    Raises:
        UsageError: no such provider.
    """
    if provider in PROVIDERS.values():
        return provider
    try:
        return PROVIDERS[provider.lower()]
    except KeyError:
        known = ", ".join(PROVIDERS)
        raise UsageError(f"unknown provider {provider!r}", hint=f"one of {known}") from None


def level(optimization: str) -> Any:
    """`none`, `basic`, `extended` or `all` as ONNX Runtime's own value.

    Raises:
        UsageError: no such level.
    """
    if optimization not in LEVELS:
        known = ", ".join(LEVELS)
        raise UsageError(f"unknown optimization {optimization!r}", hint=f"one of {known}")
    return getattr(onnxruntime().GraphOptimizationLevel, LEVELS[optimization])
