"""Signals and closed pipes: the contract's exit codes, nothing half-written, nobody left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from bnfold import onnxfile
from tests.onnxfile.small import conv_norm

# the command, held up where `sys.argv[1]` says: an attribute of a module, or a phase of the start
HELD = """
import functools, importlib, os, sys, time
def ready(seconds=30.0):
    os.write(1, b"ready\\n")
    time.sleep(seconds)
where = sys.argv[1]
if where == "loading":
    class Finder:
        def find_spec(name, path=None, target=None):
            if name == "bnfold_cli.main":
                ready()
    sys.meta_path.insert(0, Finder)
elif where.startswith("fork"):  # signals wait here: nobody wakes it
    def fork(real=os.fork):
        pid = real()
        if bool(pid) == (where == "fork, parent"):
            ready(0.7)
        return pid
    os.fork = fork
else:
    path, name = where.split(":")
    owner = importlib.import_module(path)
    for part in name.split(".")[:-1]:
        owner = getattr(owner, part)
    name = name.split(".")[-1]
    @functools.wraps(getattr(owner, name))
    def held(*args, real=getattr(owner, name), **kwargs):
        ready()
        return real(*args, **kwargs)
    setattr(owner, name, held)
from bnfold_cli.__main__ import main
sys.argv[1:] = sys.argv[2:]
main()
"""
FOLD = ("fold", "m.onnx", "-o", "out.onnx", "--verify", "--report", "r.json")
DEPLOY = ("deploy", "m.onnx", "--to", "folder")
VERIFY = ("verify", "m.onnx", "good.onnx", "--junit", "j.xml", "--report", "r.html")
PHASES: dict[str, tuple[tuple[str, ...], str]] = {
    "start": (FOLD, "loading"),
    "fork, parent": (FOLD, "fork, parent"),
    "fork, child": (FOLD, "fork, child"),
    "fold: load": (FOLD, "bnfold.onnxfile.reader:parse"),
    "fold: checker": (FOLD, "onnx.checker:check_model"),
    "fold: fold": (FOLD, "onnx.shape_inference:infer_shapes"),
    "fold: child": (FOLD, "bnfold.verification.frames:receive"),
    "fold: write": (FOLD, "os:replace"),
    "fold: after the write": (
        ("fold", "m.onnx", "-o", "out.onnx", "--report", "r.json"),
        "bnfold.onnxfile.atomic:sync_folder",
    ),
    "verify: load": (VERIFY, "bnfold.onnxfile.reader:parse"),
    "verify: child starts": (VERIFY, "bnfold.child:spawn"),
    "verify: child at work": (VERIFY, "bnfold.verification.frames:receive"),
    "verify: certificate": (VERIFY, "bnfold.verification.trial:reference_of"),
    "verify: float64": (VERIFY, "bnfold.ops64.evaluator:Evaluator.run"),
    "verify: write": (VERIFY, "os:replace"),
    "deploy: child at work": (DEPLOY, "subprocess:Popen.communicate"),
    "deploy: rename": (DEPLOY, "bnfold.onnxfile.folders:_put"),
}
SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143}
QUICK = {"start", "fork, child", "fold: write", "verify: child at work", "deploy: rename"}
RUNS = [
    pytest.param(phase, number, marks=() if phase in QUICK and quick else pytest.mark.slow)
    for k, phase in enumerate(PHASES)
    for number, quick in zip(SIGNALS, (k % 2, not k % 2), strict=True)
]


@dataclass(frozen=True)
class Place:
    """Where the command works, and how its processes are known."""

    folder: Path
    mark: str

    @contextmanager
    def held(self, where: str, words: tuple[str, ...]) -> Iterator[subprocess.Popen[str]]:
        """The command, at the moment when it is held up."""
        environment = {**os.environ, "TMPDIR": str(self.folder / "tmp"), "MARK": self.mark}
        with subprocess.Popen(
            [sys.executable, "-c", HELD, where, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env=environment,
        ) as process:
            assert process.stdout
            if process.stdout.readline() != "ready\n":
                pytest.fail(f"it was not held up: {process.communicate()}")
            yield process
            process.kill()

    def contents(self) -> Mapping[str, bytes]:
        """Every file, temporary ones included."""
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in self.folder.rglob("*")
            if path.is_file() and path.name != ".ses"  # ONNX Runtime's own, in TMPDIR
        }

    def nobody_left(self) -> bool:
        """All processes of the command have gone, within five seconds."""
        for _ in range(100):
            if not any(map(self._is_ours, Path("/proc").glob("[0-9]*"))):
                return True
            time.sleep(0.05)
        return False

    def _is_ours(self, process: Path) -> bool:
        try:
            return f"MARK={self.mark}".encode() in (process / "environ").read_bytes()
        except OSError:  # gone, or another user's
            return False


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A model, an older output of each kind, and an empty folder for temporary files."""
    model = conv_norm()
    for name in ("m.onnx", "good.onnx"):
        onnxfile.write(model, tmp_path / name)
    for name in ("out.onnx", "r.json", "j.xml", "r.html"):
        (tmp_path / name).write_bytes(b"old")
    (tmp_path / "tmp").mkdir()
    with onnxfile.replacing_folder(tmp_path / "folder", mark="manifest.json") as fresh:
        (fresh / "manifest.json").write_text('{"schema": "bnfold.deployment/1"}')
    return Place(tmp_path, uuid.uuid4().hex)


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.parametrize(("phase", "number"), RUNS, ids=str)
def test_a_signal_in_every_phase(place: Place, phase: str, number: signal.Signals) -> None:
    words, where = PHASES[phase]
    before = place.contents()
    with place.held(where, words) as process:
        process.send_signal(number)
        _, err = process.communicate(timeout=20)
    assert process.returncode == SIGNALS[number], err
    assert err.startswith("error: "), err
    assert len(err.splitlines()) == 1, err
    found = dict(place.contents())
    if phase == "fold: after the write":  # the new model stands, the report has not begun
        assert found.pop("out.onnx") != b"old"
        before = {name: data for name, data in before.items() if name != "out.onnx"}
    assert found == before
    assert place.nobody_left()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
@pytest.mark.parametrize(
    "phase",
    ["fork, child", "verify: child starts", "verify: child at work", "deploy: child at work"],
)
def test_killed_it_leaves_nobody(place: Place, phase: str) -> None:
    words, where = PHASES[phase]
    with place.held(where, words) as process:
        process.kill()
        process.communicate(timeout=20)
    assert place.nobody_left()


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
@pytest.mark.parametrize("number", SIGNALS, ids=str)
def test_a_second_signal_ends_native_code(place: Place, number: signal.Signals) -> None:
    """Python's handlers do not run while such a sum does: the first process ends it."""
    code = HELD.replace("time.sleep(seconds)", "sum(range(10**10))")
    where, words = "onnx.checker:check_model", ("inspect", "m.onnx")
    with subprocess.Popen(
        [sys.executable, "-c", code, where, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=place.folder,
    ) as process:
        assert process.stdout
        process.stdout.readline()
        time.sleep(0.3)  # from the line to the sum
        process.send_signal(number)
        time.sleep(0.2)
        process.send_signal(number)
        _, err = process.communicate(timeout=10)
    assert process.returncode == SIGNALS[number], err
    assert len(err.splitlines()) == 1, err


def test_a_closed_pipe_is_no_error_to_talk_about(model: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "bnfold_cli", "inspect", "--json", str(model)]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert done.returncode == 141
    assert done.stderr == ""
