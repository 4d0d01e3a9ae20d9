"""A FoldReport in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bnfold import FoldReport


def headline(report: FoldReport) -> str:
    """`53 of 53 BatchNorms fold, nodes 176 -> 123`."""
    before, after = report.before, report.after
    gone = before.batchnorms - after.batchnorms
    nodes = f"nodes {before.nodes} -> {after.nodes}"
    if not before.batchnorms:
        return f"no BatchNorm in this model, {nodes}"
    return f"{gone} of {before.batchnorms} BatchNorms fold, {nodes}"
