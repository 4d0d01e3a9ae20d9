"""What ONNX Runtime makes of a model at load: nodes and BatchNorms left in its own graph."""

from __future__ import annotations

from dataclasses import dataclass, replace

import onnx

from bnfold import child
from bnfold.graph.readers import every_node
from bnfold.latency import sessions
from bnfold.leftovers import temporary_folder


@dataclass(frozen=True, slots=True)
class Optimised:
    """Counts in the graph that ONNX Runtime runs; `level` is where it was looked at."""

    level: str
    nodes: int
    batchnorms: int


def optimised(
    path: str, how: sessions.Setting, longest_s: float = child.SECONDS
) -> Optimised | None:
    """Counts after ONNX Runtime's optimisation, None where it will not save its graph.

    At level `all` the NCHWc pass hides BatchNorms as 1x1 Convs, so the look is at `extended`.
    """
    looked = replace(
        how, optimization="extended" if how.optimization == "all" else how.optimization
    )
    with temporary_folder() as folder:
        saved = folder / "optimised.onnx"
        try:
            with child.native_call(longest_s):
                sessions.session(path, looked, save_to=str(saved))
            graph = onnx.load(saved, load_external_data=False)
        except Exception:  # a courtesy: past 2 GB, or with compiled nodes, it cannot be saved
            return None
    kinds = [node.op_type for node in every_node(graph)]
    return Optimised(looked.optimization, len(kinds), kinds.count("BatchNormalization"))
