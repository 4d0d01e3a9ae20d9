"""Fold random graphs and judge them: `python -m tests.properties.fuzz --seeds 0:10000`.

Every seed stands alone, so a run is resumed by its seed range; odd seeds fold with --aggressive.
A failing seed is printed with the fewest steps that still fail; `--show SEED:STEPS` prints that
model.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter

import numpy as np
import onnx

import bnfold
from tests.build import value
from tests.oracle import assert_equivalent, batchnorms, granted_biases, graphs, left
from tests.properties import moves, rarer
from tests.properties.dress import DRESSES
from tests.properties.grow import Grower, Tensor

STEPS = [*moves.STEPS, *rarer.STEPS]
START = {4: (2, 4, 6, 6), 3: (2, 4, 6), 2: (2, 6), 5: (2, 2, 3, 4, 3)}


def model_of(seed: int, steps: int | None = None, dress: str = "plain") -> onnx.ModelProto:
    """The model of a seed; with `steps`, its beginning; dressed as `dress` says."""
    g = Grower(seed)
    for i in range(1 + int(g.chance(0.3))):
        shape = START[int(g.rng.choice([4, 4, 4, 3, 2, 5]))]
        name = f"x{i}"
        g.net.inputs.append(value(name, ("N" if g.dynamic else 2, *shape[1:])))
        g.pool.append(Tensor(name, shape))
    weights = np.array([w for w, _ in STEPS])
    total = int(g.rng.integers(5, 31))
    for _ in range(total if steps is None else steps):
        for _ in range(20):
            step = STEPS[int(g.rng.choice(len(STEPS), p=weights / weights.sum()))][1]
            made = step(g, g.some())
            if made and all(t.shape and 0 < np.prod(t.shape) <= 2000 for t in made):
                g.pool += made
                break
    return DRESSES[dress](g.finish(), np.random.default_rng(seed))


def judge(model: onnx.ModelProto, options: bnfold.Options) -> bnfold.FoldResult:
    """Equivalent, idempotent, checked, accounted for, and no dearer."""
    result = bnfold.fold(model, options)
    onnx.checker.check_model(result.model, full_check=True)
    assert_equivalent(model, result.model, every_name=True)
    again = bnfold.fold(result.model, options)
    assert again.model.SerializeToString(deterministic=True) == result.model.SerializeToString(
        deterministic=True
    ), "not idempotent"
    stays = [r for r in result.report.remaining if r.kind == "batchnorm"]
    assert left(model, result.model) == batchnorms(result.model) == len(stays), "left has grown"
    sizes = [sum(len(g.node) for g in graphs(m)) for m in (model, result.model)]
    assert model.functions or sizes[1] <= sizes[0] + granted_biases(model, result.model), (
        "more nodes"
    )
    return result


def fails(
    seed: int,
    steps: int | None = None,
    tally: Counter[str] | None = None,
    dress: str = "plain",
) -> str | None:
    """What is wrong, or None; `tally` counts outcomes and reasons."""
    try:
        model = model_of(seed, steps, dress)
        onnx.checker.check_model(model, full_check=True)
    except Exception as flaw:
        return f"GENERATOR {type(flaw).__name__}: {flaw}" if steps is None else None
    try:
        report = judge(model, bnfold.Options(aggressive=seed % 2 == 1)).report
        if tally is not None:
            tally.update(f.outcome for f in report.folded if f.kind == "batchnorm")
            tally.update(r.code for r in report.remaining if r.kind == "batchnorm")
    except Exception as flaw:
        return f"{type(flaw).__name__}: {str(flaw)[:300]}"
    return None


def smallest(seed: int, dress: str) -> int:
    """The fewest steps that still fail."""
    return next((n for n in range(1, 31) if fails(seed, n, dress=dress)), 31)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="0:1000")
    parser.add_argument("--show")
    parser.add_argument("--dress", default="plain", choices=DRESSES)
    args = parser.parse_args()
    if args.show:
        seed, _, steps = args.show.partition(":")
        model = model_of(int(seed), int(steps) if steps else None, args.dress)
        print(onnx.printer.to_text(model))
        print(fails(int(seed), int(steps) if steps else None, dress=args.dress))
        return
    first, last = map(int, args.seeds.split(":"))
    bad, since, tally = [], time.monotonic(), Counter[str]()
    for count, seed in enumerate(range(first, last), 1):
        flaw = fails(seed, tally=tally, dress=args.dress)
        if flaw:
            steps = smallest(seed, args.dress)
            bad.append(seed)
            print(f"seed {seed}:{steps} {fails(seed, steps, dress=args.dress) or flaw}", flush=True)
        if count % 500 == 0 or seed == last - 1:
            rate = count / (time.monotonic() - since)
            print(
                f"{count} graphs, {len(bad)} fail, {rate:.1f}/s, next seed {seed + 1}", flush=True
            )
    print(f"BatchNorms: {dict(tally.most_common())}")
    print(f"failing seeds: {bad}")
    raise SystemExit(bool(bad))


if __name__ == "__main__":
    main()
