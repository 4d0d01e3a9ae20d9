"""A run: what it leaves behind, exact resume, refusals, and stopping for good reasons."""

from __future__ import annotations

import json
import math
import os
import signal
from dataclasses import replace

import pytest
import torch

from bnfold.errors import DataError, EnvironmentLacks, RunStopped, UsageError
from bnfold.training import (
    Interrupted,
    Terminated,
    calibrate,
    evaluate_torch,
    load_checkpoint,
    preset,
    train,
)
from bnfold.training import loop as loop_module
from bnfold.training import step as step_module
from bnfold.training.lock import locked
from tests.training.small import config


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train(config(tmp_path_factory.mktemp("runs") / "run"))


def weights(path):
    return load_checkpoint(path).model.state_dict()


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_folder(run):
    assert json.loads((run.folder / "config.json").read_text())["schema"] == "bnfold.config/1"
    assert (run.folder / "checkpoints" / "last").read_text() == "step-12\n"
    assert (run.folder / "checkpoints" / "best").read_text().startswith("step-")
    files = {p.name for p in run.checkpoint.iterdir()}
    assert files == {"weights.safetensors", "state.pt", "manifest.json"}
    assert not [p for p in run.folder.rglob("*") if p.name.endswith((".new", ".old", ".tmp"))]


def test_metrics(run):
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 13))
    wanted = {"step", "epoch", "loss", "accuracy", "images_per_s", "data_wait", "lr"}
    assert all(wanted <= line.keys() for line in lines)
    assert [line["step"] for line in lines if "held_out" in line] == [4, 8, 12]
    assert all(0 <= line["data_wait"] <= 1 for line in lines)


def test_result(run):
    json.dumps(run.to_dict())
    assert run.steps == 12
    assert not run.model.training
    assert run.shape == (1, 8, 8)
    assert run.accuracy == evaluate_torch(run.checkpoint).accuracy
    assert run.accuracy == evaluate_torch(run.model, run.data, device="cpu").accuracy
    assert run.calibration.layers == 3
    assert run.calibration.samples == 700
    assert same(run.model.state_dict(), weights(run.folder))


def test_same_seed_same_weights(run, tmp_path):
    again = train(config(tmp_path / "run"))
    other = train(config(tmp_path / "other", seed=1))
    assert same(run.model.state_dict(), again.model.state_dict())
    assert not same(run.model.state_dict(), other.model.state_dict())


SIGNALS = [(signal.SIGTERM, Terminated, 143), (signal.SIGINT, Interrupted, 130)]


@pytest.mark.parametrize(("number", "error", "code"), SIGNALS, ids=["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("at", [2, 4, 11, 12])
def test_exact_resume(run, tmp_path, at, number, error, code):
    """N steps == k, a signal, and the rest: bit for bit, and the metrics without a gap."""
    wanted = config(tmp_path / "run")
    handler = signal.getsignal(number)

    def interrupt(record):
        if record.step == at:
            os.kill(os.getpid(), number)

    with pytest.raises(error) as caught:
        train(wanted, on_step=interrupt)
    assert caught.value.exit_code == code
    assert "--resume" in (caught.value.hint or "")
    assert signal.getsignal(number) is handler
    assert load_checkpoint(tmp_path / "run").step == min(at + 1, 12)  # the step was finished
    torch.manual_seed(99)  # whatever the process does meanwhile
    resumed = train(wanted, existing="resume")
    assert same(run.model.state_dict(), resumed.model.state_dict())
    steps = [json.loads(line)["step"] for line in (tmp_path / "run" / "metrics.jsonl").open()]
    assert steps == list(range(1, 13))


def test_resume_of_a_finished_run_changes_nothing(run, tmp_path):
    first = train(config(tmp_path / "run"))
    again = train(config(tmp_path / "run"), existing="resume")
    assert (again.steps, again.accuracy) == (first.steps, first.accuracy)
    assert same(first.model.state_dict(), again.model.state_dict())


def test_resume_begins_where_there_is_nothing(run, tmp_path):
    fresh = train(config(tmp_path / "new"), existing="resume")
    assert same(run.model.state_dict(), fresh.model.state_dict())


def test_a_half_written_line_is_dropped(tmp_path):
    train(config(tmp_path / "run", epochs=1))
    with (tmp_path / "run" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')
    train(config(tmp_path / "run", epochs=1), existing="resume")
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4]


def test_replace_begins_anew(run, tmp_path):
    train(config(tmp_path / "run", seed=5))
    again = train(config(tmp_path / "run"), existing="replace")
    assert same(run.model.state_dict(), again.model.state_dict())
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 12


def test_existing_run_is_refused(run):
    with pytest.raises(UsageError) as caught:
        train(config(run.folder))
    assert "--resume" in (caught.value.hint or "")


def test_other_settings_are_refused(run):
    with pytest.raises(UsageError) as caught:
        train(config(run.folder, seed=7, batch=64), existing="resume")
    assert "batch=350" in (caught.value.hint or "")
    assert "seed=0" in (caught.value.hint or "")


def test_folders_of_others_stay(tmp_path):
    """A folder with checkpoints of something else is neither cleared nor written into."""
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "mine").write_text("dear")
    for existing in ("refuse", "resume", "replace"):
        with pytest.raises(DataError):
            train(config(tmp_path), existing=existing)
    assert (tmp_path / "checkpoints" / "mine").read_text() == "dear"
    assert not (tmp_path / "config.json").exists()


def test_other_files_in_the_folder_stay(tmp_path):
    (tmp_path / "notes.txt").write_text("dear")
    train(config(tmp_path, epochs=1))
    train(config(tmp_path, epochs=1), existing="replace")
    assert (tmp_path / "notes.txt").read_text() == "dear"


def test_resume_with_other_data(tmp_path):
    from tests.training.test_data import write_set

    done = train(config(tmp_path / "run", epochs=1, batch=6))  # no more than the other data has
    other = config(done.folder, epochs=1, batch=6, data=str(write_set(tmp_path / "set")))
    with pytest.raises(UsageError, match="other data"):
        train(other, existing="resume")


def test_locked_folder(tmp_path):
    with locked(tmp_path / "run"), pytest.raises(DataError, match="locked"):
        train(config(tmp_path / "run"))


def test_keeps_the_last_and_the_best(tmp_path):
    done = train(config(tmp_path / "run", epochs=4, keep=1))
    root = done.folder / "checkpoints"
    named = {(root / n).read_text().strip() for n in ("last", "best")}
    assert {p.name for p in root.glob("step-*")} == named


def test_nan_loss_names_step_and_layer_and_keeps_the_checkpoint(tmp_path, monkeypatch):
    wanted = config(tmp_path / "run")
    original = loop_module.learning_rate
    monkeypatch.setattr(
        loop_module, "learning_rate", lambda c, s, *a: math.inf if s == 5 else original(c, s, *a)
    )
    with pytest.raises(RunStopped) as caught:
        train(wanted)
    assert "step 6" in caught.value.message or "step 7" in caught.value.message
    assert "hidden1.linear" in caught.value.message
    assert load_checkpoint(tmp_path / "run").step == 4
    monkeypatch.undo()
    assert train(wanted, existing="resume").steps == 12


def test_out_of_memory_is_told(tmp_path, monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(step_module, "cross_entropy", full)
    with pytest.raises(RunStopped, match="out of memory at step 1 with batch=350"):
        train(config(tmp_path / "run"))


@pytest.mark.parametrize(("changes", "error"), [
    ({"model": "resnet9"}, UsageError),
    ({"model": "no.such.module:net"}, UsageError),
    ({"model": "math:nothing"}, UsageError),
    ({"model": "builtins:dict"}, UsageError),
    ({"data": "digitz"}, UsageError),
    ({"device": "tpu"}, UsageError),
], ids=str)  # fmt: skip
def test_bad_settings(tmp_path, changes, error):
    with pytest.raises(error):
        train(config(tmp_path / "run", **changes))


def test_fewer_images_than_a_batch_leave_no_folder(tmp_path):
    with pytest.raises(DataError, match="exceeds the 1437 training images"):
        train(config(tmp_path / "run", batch=5000))
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_cuda(tmp_path):
    with pytest.raises(EnvironmentLacks):
        train(config(tmp_path / "run", device="cuda"))
    assert not (tmp_path / "run").exists()


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError):
        train(config(tmp_path / "file"))
    with pytest.raises(DataError):
        train(config(tmp_path / "file" / "run"))


def test_a_callable_of_the_users(tmp_path, monkeypatch):
    (tmp_path / "mynets.py").write_text(
        "from torch import nn\n"
        "def net(*, classes, channels, size):\n"
        "    n = channels * size[0] * size[1]\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(n, classes), nn.BatchNorm1d(classes))\n"
    )
    monkeypatch.chdir(tmp_path)
    done = train(config(tmp_path / "run", model="mynets:net"))
    assert evaluate_torch(done.folder).accuracy == done.accuracy


@pytest.mark.parametrize("estimator", ["pooled", "paper", "moving"])
def test_calibrate_in_place_and_beside(tmp_path, estimator):
    done = train(config(tmp_path / "run", epochs=1))
    result = calibrate(done.folder, estimator=estimator, out=tmp_path / "other", device="cpu")
    assert result.checkpoint == tmp_path / "other"
    assert load_checkpoint(result.checkpoint).manifest["calibration"]["estimator"] == estimator
    assert evaluate_torch(result.checkpoint).accuracy == result.accuracy
    again = calibrate(done.folder, batches=1, device="cpu")
    assert again.samples == 350
    assert again.checkpoint == done.checkpoint
    with pytest.raises(UsageError):
        calibrate(done.folder, out=tmp_path / "other")


def test_threads_are_given_back(tmp_path):
    before, seen = torch.get_num_threads(), []
    wanted = config(tmp_path / "run", epochs=1, threads=before + 1)
    train(wanted, on_step=lambda _: seen.append(torch.get_num_threads()))
    assert set(seen) == {before + 1}
    assert torch.get_num_threads() == before


def test_bfloat16_keeps_statistics_in_float32(tmp_path):
    done = train(config(tmp_path / "run", epochs=1, precision="bfloat16"))
    assert all(t.dtype != torch.bfloat16 for t in done.model.state_dict().values())


def test_digits_reach_their_accuracy(tmp_path):
    """The quickstart's promise with a third of its epochs; seeds 0 to 4 in full: benchmarks."""
    wanted = replace(preset("digits"), out=str(tmp_path / "run"), device="cpu", epochs=8)
    done = train(wanted)
    assert done.accuracy >= 0.97
