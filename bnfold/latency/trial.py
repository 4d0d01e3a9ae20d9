"""How far this machine may be trusted: its rate of false claims, and what it finds.

The trial behind `bench`'s design, repeatable anywhere: equal models must show no difference, and
one with a tenth more work must be found slower.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from bnfold.errors import UsageError
from bnfold.latency.estimate import Verdict
from bnfold.latency.measure import bench

BLOCKS = 10


@dataclass(frozen=True, slots=True)
class Trial:
    """Of `n` equal pairs and `n` pairs with a planted slow-down of 10 % of the work.

    `planted_ratio` is the median of what was measured; `widest` the largest reach of an interval
    around 1 among the equal pairs.
    """

    n: int
    false_claims: int
    found: int
    inconclusive: int
    planted_ratio: float
    widest: float

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data."""
        return asdict(self)


def self_test(
    n: int,
    *,
    threads: int = 1,
    seed: int = 0,
    quick: bool = False,
    on_pair: Callable[[int], None] | None = None,
) -> Trial:
    """Runs `bench` on `n` equal and `n` unequal pairs; a few seconds each.

    Raises:
        UsageError: `n` is no count.
        EnvironmentLacks: onnxruntime is not installed.
    """
    if n < 1:
        raise UsageError("the self-test wants at least one pair")
    base, slower = chain(BLOCKS).SerializeToString(), chain(BLOCKS + 1).SerializeToString()
    headlines = []
    for number in range(2 * n):
        if on_pair:
            on_pair(number)
        pair = [base, slower if number % 2 else base]
        report = bench(pair, threads=threads, seed=seed + number, quick=quick)
        headlines.append(report.comparisons[0])
    equal = Counter(c.verdict for c in headlines[::2])
    planted = Counter(c.verdict for c in headlines[1::2])
    return Trial(
        n=n,
        false_claims=equal[Verdict.FASTER] + equal[Verdict.SLOWER],
        found=planted[Verdict.SLOWER],
        inconclusive=equal[Verdict.INCONCLUSIVE] + planted[Verdict.INCONCLUSIVE],
        planted_ratio=float(np.median([c.estimate.ratio for c in headlines[1::2]])),
        widest=max(c.estimate.reach for c in headlines[::2]),
    )


def chain(blocks: int) -> onnx.ModelProto:
    """Equal 3x3 Convs of 16 channels on 32x32, with Relu: a fraction of a millisecond."""
    rng = np.random.default_rng(0)
    weight = (rng.standard_normal((16, 16, 3, 3)) / 12).astype(np.float32)
    nodes = []
    for i in range(blocks):
        nodes.append(helper.make_node("Conv", [f"x{i}", "w"], [f"c{i}"], pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [f"c{i}"], [f"x{i + 1}"]))
    shape = [1, 16, 32, 32]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name in ("x0", f"x{blocks}")
    ]
    constant = numpy_helper.from_array(weight, "w")
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], [constant])
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
