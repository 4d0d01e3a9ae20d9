"""Several ranks: the same end after every kind of death, refusals, one answer.

Most of it is played in one pair of processes: starting Python and torch takes longer than training.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bnfold.errors import UsageError
from bnfold.training import Terminated, TrainConfig, load_checkpoint, train
from bnfold.training.lock import locked
from tests.bn.ranks import spawned
from tests.training import launch
from tests.training.launch import STEPS, Scene

pytestmark = pytest.mark.skipif(
    not torch.distributed.is_available(), reason="torch without distributed"
)
EPOCH = STEPS // 2
CONFIG = TrainConfig(  # what launch.SETTINGS say
    model="digits", data="digits", device="cpu", shift=1, threads=1, log_every=1, timeout=60,
    batch=64, steps=STEPS, save_every=1,
)  # fmt: skip


def scenes(root: Path) -> dict[str, Scene]:
    """What two ranks go through, in folders of their own unless they name one."""
    plain, other = (str(launch.digits_file(root / f"{n}.npz", pixel=n)) for n in (0, 1))
    small = ("--set", "batch=32", "--data")
    told = {
        "undisturbed": Scene(()),
        "stopped": Scene((), stop=30),
        "went on": Scene(("--out", str(root / "stopped"))),
        "a rank more": Scene(("--out", str(root / "alone"), "--elastic")),
        "a rank more, not elastic": Scene(("--out", str(root / "alone too"))),
        "settings": Scene(("--json",), ("--seed", "1", "--set", "lr=0.2")),
        "model": Scene((), ("--model", "resnet8")),
        "data": Scene((*small, plain), (*small, other)),
        "code": Scene((), version="0.0.0"),
        "missing data": Scene((*small, plain, "--json"), (*small, str(root / "none.npz"))),
        "locked": Scene(("--out", str(root / "held"))),
        "port": Scene((), one=True),
    }
    return {
        name: replace(scene, words=("--out", str(root / name), *scene.words))
        for name, scene in told.items()
    }


def stopped_alone(folder: Path) -> None:
    """What a process by itself leaves, stopped in the second epoch."""

    def stop(record):
        if record.step == 30:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Terminated):
        train(replace(CONFIG, out=str(folder)), on_step=stop)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("ranks")


@pytest.fixture(scope="module")
def played(root):
    """How each scene ended, on every rank."""
    found = scenes(root)
    stopped_alone(root / "alone")
    shutil.copytree(root / "alone", root / "alone too")
    with locked(root / "held"), socket.socket() as taken, ExitStack() as ports:
        for name, scene in found.items():
            found[name] = replace(scene, port=ports.enter_context(launch.held_port()))
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        found["port"] = replace(found["port"], port=taken.getsockname()[1])
        ranks = spawned(2, launch.play, found)
    return {name: [r[name] for r in ranks if name in r] for name in found}


@pytest.fixture(scope="module")
def undisturbed(played, root):
    assert [t.code for t in played["undisturbed"]] == [0, 0], played["undisturbed"]
    return weights(root / "undisturbed")


def weights(path):
    return load_checkpoint(path).model.state_dict()


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def recorded(folder: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (folder / "metrics.jsonl").open()]


def test_a_signal_to_one_rank_saves_one_step_on_all(played, undisturbed, root):
    """Stopped in the middle of an epoch; the same command ends with the undisturbed bits."""
    assert [t.code for t in played["stopped"]] == [143, 143], played["stopped"]
    assert all("step 30 of 44" in t.err for t in played["stopped"])
    assert [t.code for t in played["went on"]] == [0, 0], played["went on"]
    assert same(undisturbed, weights(root / "stopped"))
    assert recorded(root / "stopped") == list(range(1, STEPS + 1))


def test_more_ranks_go_on_when_elastic(played, root):
    ends = played["a rank more"]
    assert [t.code for t in ends] == [0, 0], ends
    assert "2 ranks instead of 1: no longer bit-exact" in ends[0].err
    assert "no longer" not in ends[1].err  # one line is enough
    assert recorded(root / "alone") == list(range(1, STEPS + 1))
    assert load_checkpoint(root / "alone").manifest["accuracy"] > 0.8


def test_fewer_ranks_go_on_when_elastic(undisturbed, root, caplog):
    """As after a kill in the second epoch: the last checkpoint is the first one's."""
    folder = root / "fewer"
    shutil.copytree(root / "undisturbed", folder)
    (folder / "checkpoints" / "last").write_text(f"step-{EPOCH}\n")
    wanted = replace(CONFIG, out=str(folder))
    with pytest.raises(UsageError, match="2 ranks, not 1") as caught:
        train(wanted, existing="resume")
    assert "--elastic" in (caught.value.hint or "")
    done = train(replace(wanted, elastic=True), existing="resume")
    assert "1 ranks instead of 2: no longer bit-exact" in caplog.text
    assert recorded(folder) == list(range(1, STEPS + 1))
    assert (done.steps, done.accuracy > 0.8) == (STEPS, True)


REFUSED = {  # scene: exit code, what both ranks tell
    "a rank more, not elastic": (2, "begun with 1 ranks, not 2"),
    "settings": (6, "ranks disagree on seed (rank 0 has 0; rank 1 has 1), lr (rank 0 has 0.1; "),
    "model": (6, "ranks disagree on model (rank 0 has digits; rank 1 has resnet8)"),
    "data": (6, "ranks disagree on data (rank 0 has "),
    "code": (6, "ranks disagree on code version (rank 0 has bnfold "),
    "missing data": (6, "none.npz"),
    "locked": (6, f"process {os.getpid()}"),
}


@pytest.mark.parametrize(("scene", "code", "told"), [(s, *v) for s, v in REFUSED.items()])
def test_all_ranks_end_and_say_why(played, root, scene, code, told):
    ends = played[scene]
    assert [t.code for t in ends] == [code, code], ends
    assert all(told in t.err for t in ends)
    if "more" not in scene and scene != "locked":
        assert not (root / scene).exists()  # refused before a folder was made


@pytest.mark.parametrize("scene", ["settings", "missing data"])
def test_one_json_error_for_all_ranks(played, scene):
    first, second = (t.out for t in played[scene])
    assert json.loads(first)["error"]["exit"] == REFUSED[scene][0]
    assert second == ""


def test_a_port_in_use(played):
    (end,) = played["port"]
    assert end.code == 5
    assert "port in use" in end.err


def ended(processes, seconds=120):
    """Exit codes and what was told, in order."""
    try:
        told = [p.communicate(timeout=seconds)[1] for p in processes]
    finally:
        for process in processes:
            process.kill()
    return [p.returncode for p in processes], told


def waited(condition, seconds=240):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing came"
        time.sleep(0.02)


def killed(out, step, which):
    """A worker killed at this step, under torchrun; it begins again by itself."""
    launcher = launch.torchrun(out)
    waited(lambda: launch.steps_done(out) >= step)
    os.kill(launch.workers(launcher.pid)[which], signal.SIGKILL)
    codes, told = ended([launcher], 400)
    assert codes == [0], told[0][-3000:]
    return weights(out)


def test_a_killed_worker_comes_back(undisturbed, tmp_path):
    assert same(undisturbed, killed(tmp_path / "run", 30, 1))


@pytest.mark.slow
@pytest.mark.parametrize("trial", range(10))
def test_killed_anywhere(undisturbed, tmp_path, trial):
    draw = random.Random(trial)
    assert same(undisturbed, killed(tmp_path / "run", draw.randrange(1, STEPS - 1), trial % 2))


@pytest.mark.slow
def test_a_stopped_peer_is_noticed(tmp_path):
    out = tmp_path / "run"
    with launch.held_port() as port:
        both = launch.pair(out, port, "--set", "timeout=8")
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
