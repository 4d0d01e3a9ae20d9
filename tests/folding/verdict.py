"""Whether a fold did to a row's model what the row claims."""

from __future__ import annotations

import bnfold
from bnfold.folding.reasons import Reason
from tests.folding.cases.case import Case
from tests.oracle import affine_nodes, assert_equivalent, batchnorms, left

CODES = {reason.code for reason in Reason}


def assert_claim(row: Case) -> bnfold.FoldResult:
    """Equal in any case; folded whole, or left for a reason that the row names."""
    result = bnfold.fold(row.model)
    assert_equivalent(row.model, result.model, row.feeds, sizes=row.sizes, every_name=True)
    stayed = [r for r in result.report.remaining if r.kind == "batchnorm"]
    assert len(stayed) == batchnorms(result.model)
    assert {r.code for r in result.report.remaining} <= CODES
    remains = left(row.model, result.model)
    if row.codes is None:
        assert remains == 0, f"{remains} left: {result.report.remaining}"
    else:
        assert remains == len(stayed), "a BatchNorm became something else, and no fewer nodes"
    if row.codes:
        assert stayed or row.stay == 0, f"folded: {result.report.folded}"
        assert row.stay in (None, len(stayed))
        assert {r.code for r in stayed} <= row.codes, result.report.remaining
    if row.affine is not None:
        assert affine_nodes(result.model) <= row.affine, result.report.remaining
    if row.outcome:
        assert row.outcome in {f.outcome for f in result.report.folded}
    return result
