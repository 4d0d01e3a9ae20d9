"""Several ranks: one process's weights, the same end after every kind of death, refusals."""

from __future__ import annotations

import os
import random
import signal
import socket
import time
from dataclasses import fields

import pytest
import torch

from bnfold.errors import DataError, UsageError
from bnfold.training import Dataset, TrainConfig, load_checkpoint, load_data
from bnfold.training.calibration import recalibrate
from bnfold.training.lock import locked
from bnfold.training.networks import build
from bnfold.training.parallel import make_parallel, refuse_small
from bnfold.training.ranks import ALONE, Ranks
from bnfold.training.state import begin, restore, state_of
from bnfold.training.step import one_step
from bnfold.training.window import opened
from tests.bn.ranks import on_ranks
from tests.training import launch

pytestmark = pytest.mark.skipif(
    not torch.distributed.is_available(), reason="torch without distributed"
)


def ended(processes, seconds=120):
    """Exit codes and what was told, in order."""
    try:
        told = [p.communicate(timeout=seconds)[1] for p in processes]
    finally:
        for process in processes:
            process.kill()
    return [p.returncode for p in processes], told


def waited(condition, seconds=90):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing came"
        time.sleep(0.02)


def weights(path):
    return load_checkpoint(path).model.state_dict()


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    out = tmp_path_factory.mktemp("ranks") / "run"
    codes, told = ended(launch.pair(out))
    assert codes == [0, 0], told
    return weights(out)


class Wide(Dataset):
    """Inputs in float64."""

    def inputs(self, images):
        return super().inputs(images).double()


def fifty_steps(rank, world, changes):
    """The trainer's own steps and Algorithm 2 in float64: weights, then statistics."""
    config = TrainConfig(steps=50, batch=62, shift=1, sync_bn=True, device="cpu", **changes)
    data = load_data("digits")
    data = Wide(*(getattr(data, field.name) for field in fields(data)))
    torch.manual_seed(0)
    model = build("digits", classes=10, channels=1, size=(8, 8)).double()
    training = begin(config, model, data, Ranks(rank, world))
    make_parallel(training)
    training.training_mode()
    window = opened(training.device)
    while training.step < 50:
        one_step(training, 0.01, window)
    training.ranks.same_buffers(model)
    before = {name: t.clone() for name, t in model.state_dict().items()}
    done = recalibrate(model, data, config, training.ranks)
    loss = training.ranks.sum(float(window.loss))[0] / world
    facts = (loss, done.accuracy, done.accuracy_before, done.samples)
    return before, model.state_dict(), facts


def both_ways(rank, world):
    return [fifty_steps(rank, world, changes) for changes in ({}, {"accumulate": 2})]


def test_two_ranks_are_one_process():
    """1e-12 after 50 steps: rounding alone; micro-batches of 31 leave 15 and 16 a rank."""
    alone, ranks = both_ways(0, 1), on_ranks(2, both_ways, 2)
    for one, found in [(one, r[i]) for i, one in enumerate(alone) for r in ranks]:
        for got, wanted in zip(found[:2], one[:2], strict=True):
            for name, value in wanted.items():
                torch.testing.assert_close(got[name], value, rtol=1e-12, atol=1e-12)
        assert found[2] == pytest.approx(one[2], rel=1e-12)


def test_a_signal_to_one_rank_saves_one_step_on_all(undisturbed, tmp_path):
    out = tmp_path / "run"
    both = launch.pair(out)
    waited(lambda: launch.steps_done(out) >= 5)
    both[1].send_signal(signal.SIGTERM)
    codes, told = ended(both)
    assert codes == [143, 143], told
    assert 5 <= load_checkpoint(out).step < 44
    codes, told = ended(launch.pair(out))
    assert codes == [0, 0], told
    assert same(undisturbed, weights(out))


def killed(out, step, which):
    """A worker killed at this step, under torchrun; it begins again by itself."""
    launcher = launch.torchrun(out)
    waited(lambda: launch.steps_done(out) >= step)
    os.kill(launch.workers(launcher.pid)[which], signal.SIGKILL)
    codes, told = ended([launcher], 200)
    assert codes == [0], told[0][-3000:]
    return weights(out)


def test_a_killed_worker_comes_back(undisturbed, tmp_path):
    assert same(undisturbed, killed(tmp_path / "run", 30, 1))


@pytest.mark.slow
@pytest.mark.parametrize("trial", range(10))
def test_killed_anywhere(undisturbed, tmp_path, trial):
    draw = random.Random(trial)
    assert same(undisturbed, killed(tmp_path / "run", draw.randrange(1, 43), trial % 2))


@pytest.mark.slow
def test_a_stopped_peer_is_noticed(tmp_path):
    out = tmp_path / "run"
    both = launch.pair(out, "--set", "timeout=8")
    waited(lambda: launch.steps_done(out) >= 3)
    both[1].send_signal(signal.SIGSTOP)
    start = time.monotonic()
    try:
        codes, told = ended([both[0]], 68)
    finally:
        both[1].kill()
    assert time.monotonic() - start < 68
    assert codes == [7]
    assert "another rank" in told[0]


@pytest.mark.slow
@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs Linux' prctl")
def test_no_worker_outlives_its_launcher(tmp_path):
    out = tmp_path / "run"
    launcher = launch.torchrun(out, "--set", "steps=4400")
    waited(lambda: launch.steps_done(out) >= 3)
    pids = launch.workers(launcher.pid)
    assert len(pids) == 2
    launcher.kill()
    launcher.wait()
    waited(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), 30)


def test_ranks_that_disagree_are_named(tmp_path):
    port = launch.free_port()
    both = [launch.start(tmp_path / "r", r, 2, port, "--set", f"seed={r}") for r in (0, 1)]
    codes, told = ended(both)
    assert codes == [6, 6], told
    assert all("seed (rank 0 has 0; rank 1 has 1)" in line for line in told)
    assert not (tmp_path / "r").exists()


def test_a_port_in_use(tmp_path):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        codes, told = ended([launch.start(tmp_path / "r", 0, 2, held.getsockname()[1])])
    assert codes == [5], told
    assert "port in use" in told[0]


def test_another_number_of_ranks(caplog):
    data = load_data("digits")

    def resumed(**changes):
        config = TrainConfig(steps=9, **changes)
        training = begin(config, build("mnist-mlp-bn", classes=10, channels=1, size=(8, 8)), data)
        state = state_of(training)
        return restore(training, {**state, "step": 4, "peers": [state]}, "here") or training.step

    with pytest.raises(UsageError, match="2 ranks, not 1") as caught:
        resumed()
    assert "--elastic" in (caught.value.hint or "")
    assert resumed(elastic=True) == 4
    assert "no longer bit-exact" in caplog.text


def test_a_locked_folder_ends_all_ranks(tmp_path):
    with locked(tmp_path):
        codes, told = ended(launch.pair(tmp_path))
    assert codes == [6, 6], told
    assert all("locked" in line and str(os.getpid()) in line for line in told)


SMALL = [
    (TrainConfig(batch=2), 1000, 3, "fewer samples than ranks: 2 for 3"),
    (TrainConfig(batch=64), 2, 3, "fewer samples than ranks: 2 for 3"),
    (TrainConfig(batch=5), 1000, 3, "--sync-bn"),
    (TrainConfig(batch=5, sync_bn=True), 1000, 3, None),
    (TrainConfig(batch=6), 1000, 3, None),
    (TrainConfig(batch=2), 2, 1, None),
]


@pytest.mark.parametrize(("config", "count", "world", "told"), SMALL)
def test_small(config, count, world, told):
    if told is None:
        refuse_small(config, count, Ranks(0, world))
        return
    with pytest.raises(UsageError) as caught:
        refuse_small(config, count, Ranks(0, world))
    assert told in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize("count", [0, 1, 2, 7, 64])
def test_shares_are_all_of_it(count):
    whole = list(range(count))
    assert [i for r in range(3) for i in whole[Ranks(r, 3).share(count)]] == whole


def test_alone_everything_is_its_own():
    assert (ALONE.gather("x"), ALONE.from_first("x"), ALONE.highest(3)) == (["x"], "x", 3)
    ALONE.agree({"a": 1})
    with pytest.raises(DataError):
        ALONE.together(lambda: (_ for _ in ()).throw(DataError("x")))
