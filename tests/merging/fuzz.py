"""Merge random graphs and judge them: `python -m tests.merging.fuzz --seeds 0:10000`.

The long profile makes its graphs of float64, where both sides differ by 1e-9 at most, so that one
evaluation of each by onnx.reference judges; the small one is of float32, judged by jitter.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable

import numpy as np
import onnx

import bnfold
from tests.folding.test_invariants import plain_bytes
from tests.merging.models import model_of, sizes_of
from tests.oracle import assert_equivalent, evaluate, feeds_for

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


def judge_wide(model: onnx.ModelProto, sizes: dict[str, int]) -> bnfold.FoldResult:
    """The same of a float64 model, by one evaluation; the second fold finds nothing."""
    result = bnfold.fold(model, REPARAM)
    onnx.checker.check_model(result.model, full_check=True)
    feeds = feeds_for(model, batch=2, sizes=sizes)
    want, got = (evaluate(m, feeds) for m in (model, result.model))
    for name in want.keys() & got.keys():
        assert want[name].shape == got[name].shape, name
        off = np.abs(want[name] - got[name]).max(initial=0.0)
        assert off <= 1e-9 * max(1.0, np.abs(want[name]).max(initial=0.0)), (name, off)
    assert {o.name for o in model.graph.output} <= got.keys()
    assert not bnfold.fold(result.model, REPARAM).report.changed, "not idempotent"
    return result


def fails_wide(seed: int, tally: Counter[str] | None = None) -> str | None:
    """What is wrong with a seed's float64 model, or None."""
    return _flaw(lambda: judge_wide(model_of(seed, np.float64), sizes_of(seed)), tally)


def fails(seed: int) -> str | None:
    """What is wrong with a seed's float32 model, or None."""
    return _flaw(lambda: judge(model_of(seed), sizes_of(seed)), None)


def _flaw(judged: Callable[[], bnfold.FoldResult], tally: Counter[str] | None) -> str | None:
    try:
        report = judged().report
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
        judge_wide(model_of(args.show, np.float64), sizes_of(args.show))
        return
    first, end = map(int, args.seeds.split(":"))
    bad, since, tally = [], time.monotonic(), Counter[str]()
    for count, seed in enumerate(range(first, end), 1):
        if flaw := fails_wide(seed, tally):
            bad.append(seed)
            print(f"seed {seed} {flaw}", flush=True)
        if count % 500 == 0 or seed == end - 1:
            rate = count / (time.monotonic() - since)
            print(f"{count} graphs, {len(bad)} fail, {rate:.1f}/s", flush=True)
    print(f"{dict(tally.most_common())}; failing seeds: {bad}")
    raise SystemExit(bool(bad))


if __name__ == "__main__":
    main()
