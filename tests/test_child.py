"""A process for foreign files: crashes, hangs and hunger stay in it, and it trusts no folder."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bnfold.child import ChildFailed, TooSlow, ask, room_for

ANSWERS = "from bnfold.child import answer, question\n"


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Write a module that a child can run."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def write(source: str) -> str:
        (tmp_path / "asked.py").write_text(source)
        return "asked"

    return write


def test_question_and_answer(module) -> None:  # type: ignore[no-untyped-def]
    name = module(ANSWERS + "print('noise'); answer({'twice': 2 * question()['n']})\n")
    assert ask(name, {"n": 21})["twice"] == 42


def test_a_crash_stays_in_the_child(module) -> None:  # type: ignore[no-untyped-def]
    name = module("import os; print('half', flush=True); os.abort()\n")
    with pytest.raises(ChildFailed, match="signal 6"):
        ask(name, {})


def test_a_child_that_hangs_is_ended(module) -> None:  # type: ignore[no-untyped-def]
    name = module("import time; time.sleep(60)\n")
    began = time.monotonic()
    with pytest.raises(TooSlow, match="no answer within"):
        ask(name, {}, seconds=0.5)
    assert time.monotonic() - began < 10


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS is kept by Linux alone")
def test_memory_ends(module) -> None:  # type: ignore[no-untyped-def]
    name = module("import sys; big = bytearray(4 << 30); sys.exit('it got 4 GB')\n")
    with pytest.raises(ChildFailed, match="MemoryError"):
        ask(name, {}, memory=1 << 30)
    assert room_for(0) > 4 << 30


def test_the_working_folder_is_no_source_of_modules(
    module,  # type: ignore[no-untyped-def]
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A model's folder may hold a json.py: it must not run."""
    name = module(ANSWERS + "answer({'fine': True})\n")
    trap = tmp_path_factory.mktemp("trap")
    for library in ("json", "numpy", "onnxruntime", "runpy", "bnfold"):
        (trap / f"{library}.py").write_text("import os; os.abort()\n")
    monkeypatch.chdir(trap)
    assert ask(name, {})["fine"]


PARENT = """
import subprocess
from bnfold import child
pipe = subprocess.PIPE
made = child.spawn("asked", memory=None, stdin=pipe, stdout=None, stderr=None)
print(made.pid, flush=True)
made.wait()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
def test_it_ends_with_its_parent(module) -> None:  # type: ignore[no-untyped-def]
    module("import time; print('up', flush=True); time.sleep(60)\n")
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        told = {parent.stdout.readline().strip() for _ in range(2)}
        parent.kill()
    pid = int((told - {b"up"}).pop())
    for _ in range(100):
        if not os.path.exists(f"/proc/{pid}/cmdline") or not _cmdline(pid):
            return
        time.sleep(0.05)
    pytest.fail("the child outlives its parent")


def _cmdline(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()  # empty: a zombie
    except OSError:
        return b""
