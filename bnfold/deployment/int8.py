"""int8 by ONNX Runtime's own static quantiser: QDQ, per channel, on the folded float model."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from bnfold.errors import CheckFailed, DataError
from bnfold.onnxfile import IN_MEMORY, DataFiles
from bnfold.show import show
from bnfold.verification.brought import brought
from bnfold.verification.cases import Array, Case
from bnfold.verification.measures import agreement as top_agreement
from bnfold.verification.measures import numeric, rms
from bnfold.verification.runtime import Runtime
from bnfold.verification.subject import Port, Subject


def calibration_cases(data: str | os.PathLike[str], ports: Sequence[Port]) -> tuple[Case, ...]:
    """What `verify --inputs` reads, with any number of rows; cut into the model's own batch.

    Raises:
        UsageError: there is no such file or folder.
        DataError: empty, damaged, or not what the model takes.
    """
    open_ports = [replace(p, dims=(None, *p.dims[1:])) if p.dims else p for p in ports]
    found = brought(data, open_ports)
    cases = [part for case in found for part in _parts(case, ports)]
    if not cases:
        raise DataError("the calibration data are empty", where=show(data, 300))
    return tuple(cases)


def _parts(case: Case, ports: Sequence[Port]) -> Iterator[Case]:
    """Rows by the fixed batch; one by one where it is open, so that any size fits in memory."""
    rows = {value.shape[0] for name, value in case.feeds.items() if value.ndim}
    if len(rows) != 1:
        if rows:
            raise DataError("inputs have different numbers of rows", where=show(case.name))
        yield case
        return
    batch = next((p.dims[0] for p in ports if p.dims and isinstance(p.dims[0], int)), 1)
    count = rows.pop()
    if isinstance(batch, int) and count % batch:
        raise DataError(
            f"{count} rows are no multiple of the model's batch of {batch}", where=show(case.name)
        )
    for start in range(0, count, int(batch or 1)):
        feeds = {
            n: v[start : start + int(batch or 1)] if v.ndim else v for n, v in case.feeds.items()
        }
        yield Case(f"{case.name} {start}", feeds, given=True)


def quantise(wide: Subject, path: Path, cases: Sequence[Case], provider: str) -> dict[str, Any]:
    """Write the int8 model to `path`; answers the spread of its weights' channels.

    On a CPU activations are uint8 and weights keep 7 bits: without VNNI its kernels saturate on 8
    (measured: docs/deploy.md), and nobody knows which CPU comes. For a GPU all is symmetric int8.

    Raises:
        CheckFailed: the quantiser fails on this model, or finds nothing to quantise.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    on_cpu = provider == "cpu"
    with _quiet():
        try:
            quantize_static(
                str(wide.path),
                str(path),
                _reader(cases),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8 if on_cpu else QuantType.QInt8,
                weight_type=QuantType.QInt8,
                reduce_range=on_cpu,
                extra_options={} if on_cpu else {"ActivationSymmetric": True},
            )
        except Exception as cause:  # the quantiser raises whatever comes
            text = show(" ".join(str(cause).split()), 300)
            raise CheckFailed(f"ONNX Runtime's quantiser fails on this model: {text}") from cause
    made = onnx.load(path, load_external_data=False)
    kinds = [node.op_type for node in made.graph.node]
    if "QuantizeLinear" not in kinds:
        raise CheckFailed("ONNX Runtime's quantiser finds nothing to quantise in this model")
    if made.ir_version > wide.model.ir_version:
        made.ir_version = wide.model.ir_version
        onnx.save(made, path)
    return {"quantised": kinds.count("QuantizeLinear"), "after": spreads(wide.model, wide.data)}


def _reader(cases: Sequence[Case]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        """The cases, one by one."""

        def __init__(self) -> None:
            self._left = iter(cases)

        def get_next(self) -> dict[str, Array] | None:
            """The next feeds, or None."""
            case = next(self._left, None)
            return None if case is None else dict(case.feeds)

    return Reader()


@contextmanager
def _quiet() -> Iterator[None]:
    """The quantiser logs to the root logger, which is the program's, not ours."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


CHANNELS: Mapping[str, int] = {"Conv": 0, "ConvTranspose": 1, "MatMul": -1, "Gemm": -1}


def spreads(model: onnx.ModelProto, data: DataFiles = IN_MEMORY) -> list[dict[str, Any]]:
    """For each weight of a linear operator its largest channel's range over the median one's.

    One scale for the whole tensor would leave the median channel 255/spread of its steps.
    """
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
            weights[node.output[0]] = node.attribute[0].t
    rows = []
    for node in model.graph.node:
        if node.op_type not in CHANNELS or len(node.input) < 2 or node.input[1] not in weights:
            continue
        array = data.array(weights[node.input[1]])
        if array.dtype.kind != "f" or array.ndim < 2:
            continue
        axis = _axis(node) % array.ndim
        ranges = np.abs(array).max(axis=tuple(k for k in range(array.ndim) if k != axis))
        median = float(np.median(ranges))
        spread = float(ranges.max()) / median if median > 0 else None
        rows.append(
            {"node": show(node.name or node.output[0]), "op": node.op_type, "spread": spread}
        )
    return rows


def _axis(node: onnx.NodeProto) -> int:
    turned = node.op_type == "Gemm" and any(a.name == "transB" and a.i for a in node.attribute)
    return 0 if turned else CHANNELS[node.op_type]


def agreement(
    wide: Subject, narrow: Subject, cases: Sequence[Case], runtime: Runtime
) -> list[dict[str, Any]]:
    """For each output: top-1 agreement with the float model, and the relative rms error."""
    keys = [runtime.load(side, "all") for side in (wide, narrow)]
    rows: dict[str, list[tuple[float | None, float]]] = {}
    for case in cases:
        a, b = (runtime.run(key, case.feeds) for key in keys)
        for name in a:
            if a[name].shape != b[name].shape or a[name].dtype.kind != "f":
                continue
            first, other = numeric(a[name]), numeric(b[name])
            error = rms(other - first) / (rms(first) or 1.0)
            rows.setdefault(name, []).append((top_agreement(first, other, 1), error))
    for key in keys:
        runtime.drop(key)
    return [{"output": name, **_pooled(values)} for name, values in rows.items()]


def _pooled(values: Sequence[tuple[float | None, float]]) -> dict[str, Any]:
    tops = [top for top, _ in values if top is not None]
    return {
        "top1": float(np.mean(tops)) if tops else None,
        "rms_relative": float(np.sqrt(np.mean([error**2 for _, error in values]))),
        "cases": len(values),
    }
