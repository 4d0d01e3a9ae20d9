"""A FoldReport in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bnfold import FoldReport


COSTS = ("launches", "multiply_adds", "bytes")


def headline(report: FoldReport) -> str:
    """`53 of 53 BatchNorms fold, nodes 176 -> 123`."""
    before, after = report.before, report.after
    gone = before.batchnorms - after.batchnorms
    nodes = f"nodes {before.nodes} -> {after.nodes}"
    if not before.batchnorms:
        return f"no BatchNorm in this model, {nodes}"
    return f"{gone} of {before.batchnorms} BatchNorms fold, {nodes}"


def savings(report: FoldReport) -> str:
    """`22 merges: 61 nodes fewer, multiply-adds -18 %, bytes -40 %`, of the parts that merged."""
    before = [sum(getattr(m.before, what) for m in report.merged) for what in COSTS]
    after = [sum(getattr(m.after, what) for m in report.merged) for what in COSTS]
    count = len(report.merged)
    shares = [f"{1 - a / b:.0%}" if b else "0%" for b, a in zip(before, after, strict=True)]
    return (
        f"{count} merge{'s' if count > 1 else ''}: {before[0] - after[0]} launches fewer; "
        f"of what merged, {shares[1]} of multiply-adds and {shares[2]} of bytes saved"
    )
