"""Is the candidate the original? Judged against float64 truth, in three gates."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bnfold.verification.culprit import Culprit, bisect
    from bnfold.verification.judge import verify
    from bnfold.verification.junit import annotation_lines, junit_xml
    from bnfold.verification.metric import named as named_metric
    from bnfold.verification.page import html
    from bnfold.verification.verdict import Gate, OutputReport, Verdict

_HOMES = {
    "Culprit": "culprit",
    "Gate": "verdict",
    "OutputReport": "verdict",
    "Verdict": "verdict",
    "annotation_lines": "junit",
    "bisect": "culprit",
    "html": "page",
    "junit_xml": "junit",
    "named_metric": "metric",
    "verify": "judge",
}
_INSIDE = {"named_metric": "named"}
__all__ = [
    "Culprit",
    "Gate",
    "OutputReport",
    "Verdict",
    "annotation_lines",
    "bisect",
    "html",
    "junit_xml",
    "named_metric",
    "verify",
]


def __getattr__(name: str) -> Any:
    # the child that runs ONNX Runtime imports this package: keep it light
    if name in _HOMES:
        from importlib import import_module

        home = import_module(f"bnfold.verification.{_HOMES[name]}")
        return getattr(home, _INSIDE.get(name, name))
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
