"""Ranks that meet and part: none waits for ever, whatever the others do."""

from __future__ import annotations

import faulthandler
import os
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, suppress

import pytest
import torch
import torch.distributed as dist

from bnfold.errors import EnvironmentLacks
from bnfold.training import TrainConfig, joining, load_data
from bnfold.training.networks import build
from bnfold.training.parallel import make_parallel
from bnfold.training.state import begin
from tests.bn.ranks import spawned
from tests.training import launch

pytestmark = pytest.mark.skipif(
    not torch.distributed.is_available(), reason="torch without distributed"
)
CPU = torch.device("cpu")
ENDS = """
import sys, threading, time
threading.Thread(target=time.sleep, args=[100]).start()
from bnfold_cli.main import main
main(["train", "--nothing"])
"""


def failed(data):
    """Ranks that fail while they talk; the error holds the network."""
    with joining.joined(CPU, 20) as ranks:
        model = build("digits", classes=10, channels=1, size=(8, 8))
        training = begin(TrainConfig(device="cpu"), model, data, ranks)
        make_parallel(training)
        for _ in range(20):
            dist.all_reduce(torch.ones(1), group=ranks.talk, async_op=True)
        raise ValueError


def failing(rank, ports):
    """Many failures, and each error is freed."""
    data = load_data("digits")
    sys.setswitchinterval(5)  # seconds for which a thread waits for the interpreter's lock
    for port in ports:
        os.environ |= launch.as_rank(rank, 2, port)
        faulthandler.dump_traceback_later(100, exit=True)
        with suppress(ValueError):
            failed(data)
        faulthandler.cancel_dump_traceback_later()
    return len(ports)


def test_a_rank_that_has_failed_ends():
    """gloo's threads must get the interpreter's lock while a group is freed, or both wait."""
    with ExitStack() as held:
        ports = [held.enter_context(launch.held_port()) for _ in range(3)]
        assert spawned(2, failing, ports) == [3, 3]


@pytest.mark.parametrize("rank", [0, 1])
def test_a_port_that_answers_nothing(monkeypatch, rank):
    """As that of a rank 0 that was stopped, or of another program: rank 1 gives up in time."""
    monkeypatch.setattr(joining, "GRACE", 1)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        for name, value in launch.as_rank(rank, 2, silent.getsockname()[1]).items():
            monkeypatch.setenv(name, value)
        start = time.monotonic()
        told = "no answer within 3 s" if rank else "port in use"
        with pytest.raises(EnvironmentLacks, match=told), joining.joined(CPU, 2):
            pass
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("rank", [0, 1])
def test_nobody_comes(monkeypatch, rank):
    with launch.held_port() as port:
        for name, value in launch.as_rank(rank, 2, port).items():
            monkeypatch.setenv(name, value)
        with pytest.raises(EnvironmentLacks, match="cannot join") as caught, joining.joined(CPU, 1):
            pass
    assert f"127.0.0.1:{port}" in str(caught.value)


def test_a_rank_waits_for_no_thread():
    """Its process ends with the command, whatever native code or a thread still waits for."""
    done = subprocess.run(
        [sys.executable, "-c", ENDS], env=launch.environment(WORLD_SIZE="2", RANK="1"),
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert "no such option" in done.stderr
