"""Latency in ONNX Runtime, told honestly: rounds there and back, a noise floor, a verdict."""

from bnfold.latency.baseline import Baseline, read_baseline
from bnfold.latency.estimate import Estimate, Verdict
from bnfold.latency.measure import bench
from bnfold.latency.page import html
from bnfold.latency.regression import Change, Regression, compare
from bnfold.latency.report import Basis, BenchReport, Comparison, Control, Row
from bnfold.latency.table import FACTS, TIMES, conditions, findings, markdown
from bnfold.latency.trial import Pair, Tally, Trial, self_test

__all__ = [
    "FACTS",
    "TIMES",
    "Baseline",
    "Basis",
    "BenchReport",
    "Change",
    "Comparison",
    "Control",
    "Estimate",
    "Pair",
    "Regression",
    "Row",
    "Tally",
    "Trial",
    "Verdict",
    "bench",
    "compare",
    "conditions",
    "findings",
    "html",
    "markdown",
    "read_baseline",
    "self_test",
]
