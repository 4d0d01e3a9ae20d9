"""Latency in ONNX Runtime, told honestly: rounds there and back, a noise floor, a verdict."""

from bnfold.latency.baseline import Change, Regression, compare
from bnfold.latency.estimate import Estimate, Verdict
from bnfold.latency.measure import bench
from bnfold.latency.page import html
from bnfold.latency.report import Basis, BenchReport, Comparison, Control, Row
from bnfold.latency.table import markdown
from bnfold.latency.trial import Trial, self_test

__all__ = [
    "Basis",
    "BenchReport",
    "Change",
    "Comparison",
    "Control",
    "Estimate",
    "Regression",
    "Row",
    "Trial",
    "Verdict",
    "bench",
    "compare",
    "html",
    "markdown",
    "self_test",
]
