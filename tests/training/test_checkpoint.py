"""Checkpoints that are damaged, foreign, or hold code."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil

import pytest
import torch

from bnfold.errors import DataError, UsageError
from bnfold.training import checkpoint as checkpoints
from bnfold.training import load_checkpoint, train
from tests.training.small import config


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return train(config(tmp_path_factory.mktemp("runs") / "run", epochs=1)).folder


@pytest.fixture
def folder(original, tmp_path):
    """A run folder to spoil."""
    return shutil.copytree(original, tmp_path / "run")


def last(folder):
    return checkpoints.locate(folder)


def rewrite(folder, name, data):
    """Replace a file and its hash, as someone with intent would."""
    path = last(folder)
    (path / name).write_bytes(data)
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["files"][name]["sha256"] = hashlib.sha256(data).hexdigest()
    (path / "manifest.json").write_text(json.dumps(manifest))


def edit(folder, change):
    path = last(folder) / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


SPOILS = {
    "flipped-byte": lambda f: (last(f) / "weights.safetensors").write_bytes(
        (last(f) / "weights.safetensors").read_bytes()[:-1] + b"\xff"
    ),
    "truncated-state": lambda f: (last(f) / "state.pt").write_bytes(b"x"),
    "missing-weights": lambda f: (last(f) / "weights.safetensors").unlink(),
    "missing-manifest": lambda f: (last(f) / "manifest.json").unlink(),
    "manifest-no-json": lambda f: (last(f) / "manifest.json").write_text("{"),
    "manifest-a-list": lambda f: (last(f) / "manifest.json").write_text("[]"),
    "other-schema": lambda f: edit(f, lambda m: m.update(schema="other/1")),
    "no-hash": lambda f: edit(f, lambda m: m.update(files={})),
    "no-model": lambda f: edit(f, lambda m: m.pop("model")),
    "other-model": lambda f: edit(f, lambda m: m["model"].update(name="resnet8")),
    "other-classes": lambda f: edit(f, lambda m: m["data"].update(classes=7)),
    "no-safetensors": lambda f: rewrite(f, "weights.safetensors", b"not safetensors"),
    "last-elsewhere": lambda f: (f / "checkpoints" / "last").write_text("../../secret"),
    "last-gone": lambda f: (f / "checkpoints" / "last").write_text("step-999"),
    "no-checkpoints": lambda f: shutil.rmtree(f / "checkpoints"),
}


@pytest.mark.parametrize("spoil", SPOILS.values(), ids=SPOILS)
def test_spoiled(folder, spoil):
    spoil(folder)
    with pytest.raises(DataError):
        load_checkpoint(folder)


def test_code_in_the_state_does_not_run(folder, tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "pwned"), "w"))

    rewrite(folder, "state.pt", pickle.dumps(Evil()))
    with pytest.raises(DataError):
        train(config(folder, epochs=1), existing="resume")
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("state", [{}, {"optimizer": {}, "step": "x"}, []], ids=str)
def test_unusable_state(folder, tmp_path, state):
    torch.save(state, tmp_path / "state.pt")
    rewrite(folder, "state.pt", (tmp_path / "state.pt").read_bytes())
    with pytest.raises(DataError):
        train(config(folder, epochs=1), existing="resume")


def test_config_that_is_none(folder):
    (folder / "config.json").write_text("{}")
    with pytest.raises(DataError):
        train(config(folder, epochs=1), existing="resume")


def test_missing_folder(tmp_path):
    with pytest.raises(UsageError):
        load_checkpoint(tmp_path / "nothing")


def test_by_run_and_by_step(folder):
    assert load_checkpoint(folder).path == load_checkpoint(last(folder)).path
    assert load_checkpoint(folder).run == folder
    assert load_checkpoint(folder).shape == (1, 8, 8)


def test_a_crash_between_the_two_renames_loses_nothing(folder):
    path = last(folder)
    path.rename(path.parent / f".{path.name}.old")
    assert load_checkpoint(folder).step == 4


def test_a_failed_write_leaves_the_old_one(folder, monkeypatch):
    found = load_checkpoint(folder)
    before = {p.name: p.read_bytes() for p in found.path.iterdir()}

    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints, "write_text", fail)
    with pytest.raises(KeyboardInterrupt):
        checkpoints.save(found.path.parent, found.step, found.model, {}, {})
    assert {p.name: p.read_bytes() for p in found.path.iterdir()} == before
    assert not list(found.path.parent.glob(".*"))


def test_a_full_disk(folder, monkeypatch):
    found = load_checkpoint(folder)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints, "write_text", full)
    with pytest.raises(DataError, match="No space left"):
        checkpoints.save(found.path.parent, 99, found.model, {}, {})
    assert load_checkpoint(folder).step == 4


def test_same_run_same_bytes(folder, tmp_path):
    again = train(config(tmp_path / "again", epochs=1)).checkpoint
    ours = (last(folder) / "weights.safetensors").read_bytes()
    assert (again / "weights.safetensors").read_bytes() == ours
