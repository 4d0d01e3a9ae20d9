"""Weights to start from, BatchNorms that stay, and the other ways of taking a step."""

from __future__ import annotations

import pickle
import re
from functools import partial

import pytest
import torch
from safetensors.torch import save_file

from bnfold.errors import DataError, EnvironmentLacks, UsageError
from bnfold.training import train, weights
from bnfold.training.networks import build
from tests.training.small import config

SMALL = {"classes": 10, "channels": 1, "size": (8, 8)}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train(config(tmp_path_factory.mktemp("start") / "run", epochs=1))


def saved(tensors, path):
    torch.save(tensors, path)
    return path


WAYS = {
    "run": lambda t, p, run: run.folder,
    "checkpoint": lambda t, p, run: run.checkpoint,
    "safetensors": lambda t, p, run: save_file(t, p / "w.safetensors") or p / "w.safetensors",
    "state-dict": lambda t, p, run: saved(t, p / "w.pt"),
    "wrapped": lambda t, p, run: saved({"state_dict": t, "epoch": 3}, p / "w.pth"),
    "ddp": lambda t, p, run: saved({f"module.{k}": v for k, v in t.items()}, p / "w.pt"),
    "old-torch": lambda t, p, run: saved(
        {k: v for k, v in t.items() if not k.endswith("tracked")}, p / "w.pt"
    ),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_weights_load(run, tmp_path, way):
    tensors = run.model.state_dict()
    path = way(tensors, tmp_path, run)
    model = build("mnist-mlp-bn", **SMALL)
    assert weights.fit(model, weights.read(path), 10, str(path)) == []
    same = [torch.equal(v, model.state_dict()[k]) for k, v in tensors.items() if "tracked" not in k]
    assert all(same)


def test_training_starts_from_them(run, tmp_path):
    again = train(config(tmp_path / "run", weights=str(run.folder), lr=1e-9, epochs=1))
    for name, value in run.model.named_parameters():
        torch.testing.assert_close(again.model.get_parameter(name), value, atol=1e-6, rtol=0)


def test_other_classes_begin_with_a_fresh_head(run):
    model = build("mnist-mlp-bn", **(SMALL | {"classes": 7}))
    kept = weights.fit(model, weights.read(run.folder), 7, "w")
    assert kept == ["logits.weight", "logits.bias"]
    assert torch.equal(model.hidden1.linear.weight, run.model.hidden1.linear.weight)


@pytest.mark.parametrize("change", [
    lambda t: t.pop("hidden1.linear.weight"),
    lambda t: t.update(extra=torch.zeros(1)),
    lambda t: t.update({"hidden1.linear.weight": torch.zeros(3, 3)}),
    lambda t: t.update({"logits.weight": torch.zeros(10, 7)}),
], ids=["missing", "extra", "other-shape", "other-width-of-the-head"])  # fmt: skip
def test_weights_of_another_network(run, change):
    tensors = dict(run.model.state_dict())
    change(tensors)
    with pytest.raises(DataError, match="do not fit"):
        weights.fit(build("mnist-mlp-bn", **SMALL), tensors, 10, "w")


class Evil:
    def __reduce__(self):
        return (open, ("pwned", "w"))


BAD = {
    "code.pt": pickle.dumps(Evil()),
    "junk.pt": b"junk",
    "junk.safetensors": b"junk",
    "list.pt": None,
}


@pytest.mark.parametrize(("name", "data"), BAD.items(), ids=BAD)
def test_bad_files(tmp_path, monkeypatch, name, data):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / name
    if data is None:
        torch.save([1, 2], path)
    else:
        path.write_bytes(data)
    with pytest.raises(DataError):
        weights.read(path)
    assert not (tmp_path / "pwned").exists()


def test_no_such_file(tmp_path):
    with pytest.raises(UsageError):
        weights.read(tmp_path / "none.pt")


def test_frozen_norms_stay_to_the_bit(run, tmp_path):
    wanted = config(tmp_path / "run", weights=str(run.folder), freeze_bn=True, epochs=1)
    done = train(wanted)
    before, after = run.model.state_dict(), done.model.state_dict()
    norms = [name for name in before if ".norm." in name]
    assert len(norms) == 15
    assert all(torch.equal(before[name], after[name]) for name in norms)
    assert not torch.equal(before["hidden1.linear.weight"], after["hidden1.linear.weight"])


def test_frozen_norms_need_weights(tmp_path):
    with pytest.raises(UsageError, match="freeze_bn needs weights"):
        train(config(tmp_path / "run", freeze_bn=True))


WAYS_OF_A_STEP = [
    {"accumulate": 2}, {"ema": 0.9}, {"precision": "bfloat16"}, {"precision": "float16"},
    {"precision": "tf32"}, {"layout": "channels_last", "model": "digits", "batch": 700},
    {"deterministic": True}, {"flip": True}, {"tensorboard": True}, {"label_smoothing": 0.1},
]  # fmt: skip


@pytest.mark.parametrize("changes", WAYS_OF_A_STEP, ids=str)
def test_ways_of_a_step_resume_to_the_bit(tmp_path, changes):
    """Each learns, and N steps == k, a stop, and the rest."""
    import os
    import signal

    from bnfold.training import Interrupted

    wanted = {"epochs": 2, "lr": 0.3, **changes}
    whole = train(config(tmp_path / "whole", **wanted))

    def stop(record):
        if record.step == 3:
            os.kill(os.getpid(), signal.SIGINT)

    if whole.steps > 4:
        with pytest.raises(Interrupted):
            train(config(tmp_path / "parts", **wanted), on_step=stop)
    parts = train(config(tmp_path / "parts", **wanted), existing="resume")
    pairs = zip(whole.model.state_dict().values(), parts.model.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert whole.accuracy > 0.3
    assert bool(list((whole.folder).glob("tensorboard/*"))) == ("tensorboard" in changes)


def test_accumulated_gradients_are_the_batchs_where_no_norm_is(tmp_path):
    """Without BatchNorm the mean over micro-batches is the mean over the batch."""
    one, two = (
        train(config(tmp_path / str(k), model="mnist-mlp", epochs=1, accumulate=k)) for k in (1, 2)
    )
    for a, b in zip(one.model.parameters(), two.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_densenets_published_names_load():
    """torchvision's files of it have names from before torch 0.4, with one dot more."""
    model = build("densenet121", classes=1000, channels=3, size=(32, 32))
    tensors = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", name): t.clone()
        for name, t in model.state_dict().items()
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in tensors
    for tensor in model.state_dict().values():
        tensor.zero_()
    assert weights.fit(model, tensors, 1000, "here") == []
    assert float(model.state_dict()["features.denseblock1.denselayer1.norm1.weight"].sum()) > 0


def test_a_compiler_that_fails_is_told_in_one_line(tmp_path, monkeypatch):
    def broken(*_):
        raise RuntimeError("no compiler here\nand pages more")

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=broken))
    with pytest.raises(EnvironmentLacks, match=r"torch\.compile failed") as caught:
        train(config(tmp_path / "run", compile=True))
    assert "no compiler here" in caught.value.message
    assert "\n" not in caught.value.message
    assert "compile=false" in (caught.value.hint or "")
