"""Provenance names the source, and nothing of time, host or place."""

from __future__ import annotations

import hashlib
from importlib.metadata import version

from bnfold import onnxfile
from tests.onnxfile.small import conv_norm


def test_stamp_and_read_back() -> None:
    model = conv_norm()
    model.metadata_props.add(key="author", value="someone")
    onnxfile.stamp(model, "ab" * 32, 3, {"reparam": False, "linear": ()})
    assert onnxfile.provenance(model) == {
        "version": version("bnfold"),
        "source_sha256": "ab" * 32,
        "folded": "3",
        "options": '{"linear":[],"reparam":false}',
    }
    onnxfile.stamp(model, "cd" * 32, 1, {})
    assert onnxfile.provenance(model)["folded"] == "1"
    assert len(model.metadata_props) == 5
    assert model.metadata_props[0].value == "someone"


def test_no_provenance() -> None:
    assert onnxfile.provenance(conv_norm()) == {}


def test_sha256_is_of_the_serialisation() -> None:
    model = conv_norm()
    want = hashlib.sha256(model.SerializeToString(deterministic=True)).hexdigest()
    assert onnxfile.sha256_of(model) == onnxfile.sha256_of(conv_norm()) == want
