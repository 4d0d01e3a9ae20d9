"""Which files ONNX Runtime runs as one and the same graph: `python same_graph.py BATCH FILE...`.

Prints JSON, a file a key: a fingerprint of the graph as ONNX Runtime optimises it (operators,
attributes, shapes, whole numbers; float values left out, since no kernel's time hangs on them) and
the milliseconds of one warm run. Equal fingerprints take equal time by construction.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
from onnx import AttributeProto, TensorProto, numpy_helper
from open_sizes import open_sizes

from bnfold.latency import inputs, runtime, sessions

FLOATS = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16}


def fingerprint(graph: onnx.GraphProto, outer: Mapping[str, str]) -> str:
    """Of one scope: what its nodes compute, whatever their order and names."""
    known = dict(outer)
    for place, value in enumerate(graph.input):
        known[value.name] = _hash("input", place, value.type.SerializeToString(deterministic=True))
    known |= {tensor.name: _tensor(tensor) for tensor in graph.initializer}
    nodes = []
    for node in graph.node:  # in an order in which every input is known
        attributes = sorted((a.name, _attribute(a, known)) for a in node.attribute)
        read = [known.get(name, "") for name in node.input]
        nodes.append(_hash(node.domain, node.op_type, attributes, read))
        known |= {name: _hash(nodes[-1], i) for i, name in enumerate(node.output)}
    return _hash(sorted(nodes), [known.get(value.name, "") for value in graph.output])


def _hash(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:24]


def _tensor(tensor: TensorProto) -> str:
    floats = tensor.data_type in FLOATS
    if floats or tensor.data_location == TensorProto.EXTERNAL:
        return _hash(tensor.data_type, list(tensor.dims))
    return _hash(tensor.data_type, list(tensor.dims), numpy_helper.to_array(tensor).tobytes())


def _attribute(attribute: AttributeProto, known: Mapping[str, str]) -> str:
    match attribute.type:
        case AttributeProto.FLOAT | AttributeProto.FLOATS:
            return _hash("floats", len(attribute.floats))
        case AttributeProto.TENSOR:
            return _tensor(attribute.t)
        case AttributeProto.GRAPH:
            return fingerprint(attribute.g, known)
        case _:
            return _hash(attribute.SerializeToString(deterministic=True))


def seen(path: str, sizes: dict[str, tuple[int, ...]], batch: int) -> dict[str, Any]:
    """Fingerprint and milliseconds of one file."""
    given = inputs.signature(onnx.load(path, load_external_data=False))
    resolved = inputs.resolve(given, batch, sizes)
    how = sessions.Setting(overrides=inputs.overrides(given, resolved))
    arrays = inputs.arrays([(i.name, i.elem_type, list(resolved[i.name])) for i in given], 0)
    with tempfile.TemporaryDirectory(prefix="bnfold-graph-") as folder:
        saved = Path(folder) / "optimised.onnx"
        made = sessions.session(path, how, save_to=str(saved))
        graph = onnx.load(saved, load_external_data=False).graph
    made.run(None, arrays)
    start = time.perf_counter()
    made.run(None, arrays)
    return {"graph": fingerprint(graph, {}), "ms": (time.perf_counter() - start) * 1e3}


def main() -> None:
    """JSON of every file named; one that fails has its error in place of a fingerprint."""
    batch, *paths = sys.argv[1:]
    sizes = open_sizes(Path(paths[0]))
    found: dict[str, Any] = {"onnxruntime": onnxruntime.__version__}
    runtime.onnxruntime()
    for path in paths:
        try:
            found[path] = seen(path, sizes, int(batch))
        except Exception as error:  # a rival's output may be broken: that is a finding
            found[path] = {"error": str(error)[:200]}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
