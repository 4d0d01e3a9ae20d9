"""Merge random graphs and judge them: `python -m tests.merging.fuzz --seeds 0:10000`."""

from __future__ import annotations

import argparse
import time
from collections import Counter

import onnx

import bnfold
from tests.folding.test_invariants import plain_bytes
from tests.merging.grow import model_of, sizes_of
from tests.oracle import assert_equivalent

REPARAM = bnfold.Options(reparam=True)


def judge(model: onnx.ModelProto, sizes: dict[str, int] | None = None) -> bnfold.FoldResult:
    """Equivalent, checked, idempotent, no dearer than folded alone."""
    result = bnfold.fold(model, REPARAM)
    onnx.checker.check_model(result.model, full_check=True)
    assert_equivalent(model, result.model, sizes=sizes, every_name=True)
    again = bnfold.fold(result.model, REPARAM)
    assert plain_bytes(again.model) == plain_bytes(result.model), "not idempotent"
    plain = bnfold.fold(model).model
    assert len(result.model.graph.node) <= len(plain.graph.node), "more nodes"
    for merge in result.report.merged:
        assert merge.after.multiply_adds <= merge.before.multiply_adds
    return result


def fails(seed: int, tally: Counter[str] | None = None) -> str | None:
    """What is wrong, or None."""
    model = model_of(seed)
    try:
        report = judge(model, sizes_of(seed)).report
    except Exception as flaw:
        return f"{type(flaw).__name__}: {str(flaw)[:300]}"
    if tally is not None:
        tally["merges"] += len(report.merged)
        tally["nothing merged"] += not report.merged
        tally.update(apart.code for apart in report.apart)
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="0:1000")
    parser.add_argument("--show", type=int)
    args = parser.parse_args()
    if args.show is not None:
        print(onnx.printer.to_text(model_of(args.show)))
        judge(model_of(args.show), sizes_of(args.show))
        return
    first, end = map(int, args.seeds.split(":"))
    bad, since, tally = [], time.monotonic(), Counter[str]()
    for count, seed in enumerate(range(first, end), 1):
        if flaw := fails(seed, tally):
            bad.append(seed)
            print(f"seed {seed} {flaw}", flush=True)
        if count % 500 == 0 or seed == end - 1:
            rate = count / (time.monotonic() - since)
            print(f"{count} graphs, {len(bad)} fail, {rate:.1f}/s", flush=True)
    print(f"{dict(tally.most_common())}; failing seeds: {bad}")
    raise SystemExit(bool(bad))


if __name__ == "__main__":
    main()
