"""What a fold keeps, on every row of the tables: names, metadata, cost, the caller's model."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto

import bnfold
from tests.folding.cases import constants
from tests.folding.cases.case import Case
from tests.folding.test_cases import CASES, every_case
from tests.folding.verdict import CODES
from tests.oracle import (
    assert_equivalent,
    batchnorms,
    evaluate,
    feeds_for,
    granted_biases,
    graphs,
    raised,
)

OURS = "pkg.bnfold."
KEYS = {OURS + k for k in ("version", "source_sha256", "folded", "options")}
BY_ID = {row.id: row for row in CASES}


@functools.cache
def folded(label: str) -> bnfold.FoldResult:
    return bnfold.fold(BY_ID[label].model)


def plain_bytes(model: ModelProto) -> bytes:
    return model.SerializeToString(deterministic=True)


def nodes(model: ModelProto) -> int:
    return sum(len(g.node) for g in graphs(model))


def multiply_adds(model: ModelProto, row: Case) -> int:
    """Of the top-level graph, from the shapes of a run."""
    high = raised(model)
    feeds = row.feeds or feeds_for(row.model, sizes=row.sizes)
    shapes = {t.name: tuple(t.dims) for t in high.graph.initializer}
    computed = {**feeds, **evaluate(high, feeds)}
    shapes |= {k: np.shape(v) for k, v in computed.items() if not isinstance(v, list)}
    total = 0
    for n in high.graph.node:
        if n.op_type == "Conv":
            total += np.prod(shapes[n.output[0]]) * np.prod(shapes[n.input[1]][1:])
        elif n.op_type == "ConvTranspose":
            total += np.prod(shapes[n.input[0]]) * np.prod(shapes[n.input[1]][1:])
        elif n.op_type in ("Gemm", "MatMul"):
            turned = any(a.name == "transA" and a.i for a in n.attribute)
            inner = shapes[n.input[0]][0 if turned else -1]
            total += np.prod(shapes[n.output[0]]) * inner
    return int(total)


@every_case
def test_caller_keeps_the_model(row: Case) -> None:
    before = plain_bytes(row.model)
    bnfold.fold(row.model)
    bnfold.inspect(row.model)
    assert plain_bytes(row.model) == before


@every_case
def test_idempotent_and_deterministic(row: Case) -> None:
    once, again = folded(row.id), bnfold.fold(row.model)
    assert plain_bytes(again.model) == plain_bytes(once.model)
    assert again.report == once.report
    twice = bnfold.fold(once.model)
    assert not twice.report.folded
    assert plain_bytes(twice.model) == plain_bytes(once.model)


@every_case
def test_costs_no_more(row: Case) -> None:
    result = folded(row.id).model
    assert nodes(result) <= nodes(row.model) + granted_biases(row.model, result)
    assert multiply_adds(result, row) <= multiply_adds(row.model, row)


@every_case
def test_interface_and_metadata_stay(row: Case) -> None:
    source, result = row.model, folded(row.id).model
    own = {t.name for t in source.graph.initializer}
    made = {t.name for t in result.graph.initializer}
    if source.ir_version >= 4:
        assert list(result.graph.input) == list(source.graph.input)
    else:  # every initializer is an input too, new ones as well
        fed = [[i for i in m.graph.input if i.name not in own | made] for m in (source, result)]
        assert fed[0] == fed[1]
        assert made <= {i.name for i in result.graph.input}
    assert list(result.graph.output) == list(source.graph.output)
    assert result.ir_version == source.ir_version
    assert result.producer_name == source.producer_name
    assert result.graph.name == source.graph.name
    assert set(map(str, source.opset_import)) == set(map(str, result.opset_import))
    foreign = [[n for n in m.graph.node if n.domain == "test.custom"] for m in (source, result)]
    assert [n.attribute for n in foreign[0]] == [n.attribute for n in foreign[1]]


@every_case
def test_tensors_keep_their_names_and_values(row: Case) -> None:
    """Also: what nobody read before is still there, and nothing is left behind."""
    source, result = row.model.graph, folded(row.id).model
    old = {t.name: t for t in source.initializer}
    new = {t.name: t for t in result.graph.initializer}
    for name in old.keys() & new.keys():
        assert old[name] == new[name], f"{name} has other values now"
    read = [
        {i for g in graphs(m) for n in g.node for i in n.input} | {o.name for o in m.graph.output}
        for m in (row.model, result)
    ]
    assert {n for n in old if n not in read[0]} <= new.keys(), "an unused initializer is gone"
    listed = {i.name for i in row.model.graph.input}
    left_behind = {n for n in new if n not in read[1]} - {n for n in old if n not in read[0]}
    assert left_behind <= listed, "an initializer that nobody reads any more"
    old_infos = {v.name: v for v in source.value_info}
    assert all(old_infos.get(v.name, v) == v for v in result.graph.value_info)


@every_case
def test_nodes_not_named_in_the_report_are_equal(row: Case) -> None:
    """Nodes that differ from the source's are at most those that a fold absorbed or crossed."""
    result = folded(row.id)
    before = Counter(n.SerializeToString() for n in row.model.graph.node)
    after = Counter(n.SerializeToString() for n in result.model.graph.node)
    changed = sum((after - before).values())
    # beside what it names, a fold may hand the BatchNorm's output name to its producer and readers
    named = sum(len(f.absorbed_by) + len(f.through) + 2 for f in result.report.folded)
    if not row.model.functions:  # those of inlined functions are new
        assert changed <= named
    if not result.report.folded:
        assert plain_bytes(result.model) == plain_bytes(row.model)


@every_case
def test_checker_and_runtime_take_it(row: Case) -> None:
    ort = pytest.importorskip("onnxruntime")
    result = folded(row.id).model
    if not row.flawed:
        onnx.checker.check_model(result, full_check=True)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    cpu = ["CPUExecutionProvider"]
    try:
        ort.InferenceSession(row.model.SerializeToString(), options, providers=cpu)
    except Exception as refusal:
        pytest.skip(f"ONNX Runtime refuses the source: {str(refusal)[:60]}")
    ort.InferenceSession(result.SerializeToString(), options, providers=cpu)


@every_case
def test_report_accounts_for_every_norm(row: Case) -> None:
    result = folded(row.id)
    report = result.report
    gone = [f.map for f in report.folded if f.kind == "batchnorm"]
    stayed = [r.map for r in report.remaining if r.kind == "batchnorm"]
    assert len(set(gone + stayed)) == len(gone) + len(stayed), "a BatchNorm is listed twice"
    assert batchnorms(row.model) == report.before.batchnorms
    if row.model.functions:  # a BatchNorm in a function is listed at every call
        assert len(gone) + len(stayed) >= report.before.batchnorms
    else:
        assert len(gone) + len(stayed) == report.before.batchnorms
    assert len(stayed) == batchnorms(result.model) == report.after.batchnorms
    assert report.before.nodes == nodes(row.model)
    assert report.after.nodes == nodes(result.model)
    assert {r.code for r in report.remaining} <= CODES
    assert all(r.sentence for r in report.remaining)
    json.dumps(report.to_dict())
    assert bnfold.inspect(row.model) == report


@every_case
def test_provenance(row: Case) -> None:
    result = folded(row.id)
    ours = {p.key: p.value for p in result.model.metadata_props if p.key.startswith(OURS)}
    assert ours.keys() == (KEYS if result.report.folded else set())
    if ours:
        assert ours[OURS + "folded"] == str(len(result.report.folded))
        assert ours[OURS + "source_sha256"] == hashlib.sha256(plain_bytes(row.model)).hexdigest()


HASHES = """
import hashlib, sys, onnx, bnfold
for path in sys.argv[1:]:
    model = bnfold.fold(onnx.load(path)).model
    print(hashlib.sha256(model.SerializeToString(deterministic=True)).hexdigest())
"""


def test_bytes_do_not_hang_on_the_hash_seed(tmp_path: Path) -> None:
    paths = []
    for i, row in enumerate(CASES[::3]):
        paths.append(str(tmp_path / f"{i}.onnx"))
        onnx.save(row.model, paths[-1])
    prints = set()
    for seed in ("0", "1", "4242"):
        environ = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", HASHES, *paths]
        prints.add(subprocess.run(command, env=environ, check=True, capture_output=True).stdout)
    assert len(prints) == 1


def test_metadata_and_strings_survive() -> None:
    row = BY_ID["Conv-chain-2"]
    model = ModelProto()
    model.CopyFrom(row.model)
    model.doc_string, model.domain, model.model_version = "about", "org.example", 7
    model.producer_version = "1.2"
    model.metadata_props.add(key="author", value="somebody")
    model.graph.doc_string = "graph"
    model.graph.metadata_props.add(key="stage", value="3")
    annotation = model.graph.quantization_annotation.add(tensor_name="x")
    annotation.quant_parameter_tensor_names.add(key="SCALE_TENSOR", value="nowhere")
    for n in model.graph.node:
        n.doc_string = f"about {n.op_type}"
        n.metadata_props.add(key="layer", value=n.op_type)
    result = bnfold.fold(model).model
    for field in ("doc_string", "domain", "model_version", "producer_name", "producer_version"):
        assert getattr(result, field) == getattr(model, field)
    assert {p.key: p.value for p in result.metadata_props}["author"] == "somebody"
    assert result.graph.doc_string == "graph"
    assert list(result.graph.metadata_props) == list(model.graph.metadata_props)
    assert list(result.graph.quantization_annotation) == [annotation]
    for n in result.graph.node:
        assert n.doc_string == f"about {n.op_type}"
        assert [p.value for p in n.metadata_props] == [n.op_type]


def test_path_and_bytes_and_model_are_one(tmp_path: Path) -> None:
    row = BY_ID["Conv-chain-2"]
    path = tmp_path / "m.onnx"
    path.write_bytes(row.model.SerializeToString())
    results = [bnfold.fold(s) for s in (row.model, path, str(path), path.read_bytes())]
    assert len({plain_bytes(r.model) for r in results}) == 1
    assert len({json.dumps(r.report.to_dict()) for r in results}) == 1


FROZEN = [r for r in constants.ROWS if r.id.startswith("overridable-") and r.codes is not None]


@pytest.mark.parametrize("row", FROZEN, ids=[r.id for r in FROZEN])
def test_frozen_inputs_are_constants(row: Case) -> None:
    result = bnfold.fold(row.model, bnfold.Options(freeze_inputs=True))
    assert batchnorms(result.model) == 0
    assert_equivalent(row.model, result.model, feeds_for(row.model))
