"""Latency in ONNX Runtime, told honestly: rounds there and back, a noise floor, a verdict."""

from bnfold.latency.estimate import Estimate, Verdict
from bnfold.latency.measure import bench
from bnfold.latency.report import Basis, BenchReport, Comparison, Control, Row

__all__ = ["Basis", "BenchReport", "Comparison", "Control", "Estimate", "Row", "Verdict", "bench"]
