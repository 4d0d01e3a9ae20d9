"""A process of its own for what is done with model files that are not ours.

What crashes, hangs, prints or eats memory there stays there. It is spawned, never forked, has
limits on time and memory, and ends with its parent.
"""

from __future__ import annotations

import ctypes
import json
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

_ROOT = str(Path(__file__).resolve().parents[1])
_LIMITED = (sys.executable, "-P", "-m", "bnfold.child")
_PROGRAM = "--"  # in a module's place: what follows is a program and its arguments
_MARK = "bnfold-answer:"
_BYTES, _PARENT = "BNFOLD_CHILD_BYTES", "BNFOLD_CHILD_PARENT"
_OVERHEAD = 4 << 30  # address space that a runtime maps before it holds a byte of a model
_MOST = 16 << 30
_LITTLE = 1 << 30
_SET_PDEATHSIG = 1  # linux/prctl.h

SECONDS = 40.0  # of the wall clock for one answer: with the start of both, under a minute


class ChildFailed(Exception):
    """The process ended without an answer; `.args[0]` says how, in one line."""


class TooSlow(ChildFailed):
    """It gave no answer in time."""


def spawn(
    module: str,
    *,
    memory: int | None,
    stdin: int | IO[Any],
    stdout: int | IO[Any],
    stderr: int | IO[Any],
) -> subprocess.Popen[bytes]:
    """Start `python -m MODULE` under limits; the caller keeps the time and ends it.

    `memory` is the most address space in bytes; None sets no limit, for CUDA maps far more than
    it uses. The working folder is no source of modules (`-P`): it may be a stranger's, too.
    """
    return subprocess.Popen(
        [*_LIMITED, module],
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        env=_environment(memory or 0),
        start_new_session=True,  # a terminal's Ctrl-C is the parent's to answer
    )


def run(
    command: Sequence[str], *, seconds: float, scratch: Path
) -> subprocess.CompletedProcess[str]:
    """A program of ours, run to its end under the same limits but that on memory.

    Its temporary files lie in `scratch`: ended here, it removes none.

    Raises:
        TooSlow: it ran past `seconds`.
    """
    try:
        return subprocess.run(
            [*_LIMITED, _PROGRAM, *command],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            env={**_environment(0), "TMPDIR": str(scratch)},
            start_new_session=True,
        )
    except subprocess.TimeoutExpired:
        raise TooSlow(f"no answer within {seconds:.0f} s") from None


def _environment(memory: int) -> dict[str, str]:
    path = os.pathsep.join(filter(None, [_ROOT, os.environ.get("PYTHONPATH")]))
    limits = {_BYTES: str(memory), _PARENT: str(os.getpid())}
    return {**os.environ, "PYTHONPATH": path, **limits}


def ask(
    module: str, question: dict[str, Any], *, seconds: float = SECONDS, memory: int | None = None
) -> dict[str, Any]:
    """What `python -m MODULE` answers to `question`.

    Raises:
        TooSlow: it ran past `seconds`.
        ChildFailed: it crashed or answered nothing.
    """
    pipe = subprocess.PIPE
    with spawn(module, memory=memory, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        try:
            out, err = process.communicate(json.dumps(question).encode(), timeout=seconds)
        except subprocess.TimeoutExpired:
            raise TooSlow(f"no answer within {seconds:.0f} s") from None
        finally:
            process.kill()
    stderr = err.decode("utf-8", "replace")
    for line in out.decode("utf-8", "replace").splitlines():
        if line.startswith(_MARK):
            answer: dict[str, Any] = json.loads(line.removeprefix(_MARK))
            return answer | {"stderr": stderr}
    raise ChildFailed(f"the process ended with {ending(process.returncode)}: {_last(stderr)}")


def question() -> dict[str, Any]:
    """In the child: what was asked."""
    asked: dict[str, Any] = json.load(sys.stdin)
    return asked


def answer(reply: dict[str, Any]) -> None:
    """In the child: give the answer."""
    sys.stdout.write(f"\n{_MARK}{json.dumps(reply)}\n")
    sys.stdout.flush()


def ending(status: int) -> str:
    """`signal 11 (SIGSEGV)` or `status 1`."""
    if status >= 0:
        return f"status {status}"
    try:
        return f"signal {-status} ({signal.Signals(-status).name})"
    except ValueError:
        return f"signal {-status}"


def room_for(file_bytes: int) -> int:
    """Address space for a session on a model of that size: what it may need, and there is."""
    return _OVERHEAD + min(max(_MOST, 8 * file_bytes), _free())


def _free() -> int:
    """Bytes of memory that a new process may fill, by the kernel and by the control group."""
    found = [_MOST]
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        found = [int(x.split()[1]) << 10 for x in lines if x.startswith("MemAvailable")] or found
        found.append(int(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError, IndexError):  # not Linux, or "max"
        pass
    return min(found)


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it printed nothing"


def expendable(parent: int) -> None:
    """Say of this process that `parent` watches it and it may be lost: native calls get a limit."""
    _confine(0, parent)
    _EXPENDABLE.append(True)


def limit_memory() -> None:
    """An expendable process may fill what the machine has free, and gets a MemoryError beyond.

    Not for one that uses CUDA, which maps far more than it fills.
    """
    if _EXPENDABLE:
        _limit_memory(_OVERHEAD + _free())


def be_patient(seconds: float) -> None:
    """From here on a native call may take that long; never less than `SECONDS`."""
    _PATIENCE[0] = max(SECONDS, seconds)


@contextmanager
def native_call(seconds: float | None = None) -> Iterator[None]:
    """Around foreign code that may never return and lets no Python handler run meanwhile.

    Where the process is expendable the kernel ends it (SIGALRM) after `seconds`, or what
    `be_patient` said; elsewhere, in a caller's own process, nothing is done.
    """
    if not _EXPENDABLE or signal.getitimer(signal.ITIMER_REAL)[0]:
        yield
        return
    signal.setitimer(signal.ITIMER_REAL, _PATIENCE[0] if seconds is None else seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


@contextmanager
def little_memory() -> Iterator[None]:
    """Around foreign code that has little to do: 1 GB, or as much again as this process holds.

    onnx's shape inference writes a Range of 10^12 numbers out, and would fill the machine. Where
    the process is not expendable nothing is done.
    """
    if not _EXPENDABLE or sys.platform != "linux":
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = Path("/proc/self/statm").read_text().split()
    mapped, held = (int(count) * resource.getpagesize() for count in pages[:2])
    room = mapped + max(_LITTLE, held)
    resource.setrlimit(
        resource.RLIMIT_AS, (room if soft == resource.RLIM_INFINITY else min(room, soft), hard)
    )
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


_EXPENDABLE: list[bool] = []
_PATIENCE = [SECONDS]


def _confine(room: int, parent: int) -> None:
    """Limits on this process: memory, no core file, an end with the parent, first to be killed."""
    if sys.platform != "linux":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _limit_memory(room)
    ctypes.CDLL(None).prctl(_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the kernel knew that we follow it
        os._exit(1)
    with suppress(OSError):  # a courtesy to the parent, where the kernel lets us
        Path("/proc/self/oom_score_adj").write_text("1000")


def _limit_memory(room: int) -> None:
    """At most `room` bytes of address space; 0: back to what there was before our own limit."""
    if sys.platform != "linux":
        return
    import resource

    most = resource.getrlimit(resource.RLIMIT_AS)[1]
    if most != resource.RLIM_INFINITY:  # a limit from outside stands
        room = min(room or most, most)
    resource.setrlimit(resource.RLIMIT_AS, (room or most, most))


if __name__ == "__main__":
    _confine(int(os.environ.pop(_BYTES, "0")), int(os.environ.pop(_PARENT, str(os.getppid()))))
    if sys.argv[1] == _PROGRAM:
        os.execv(sys.argv[2], sys.argv[2:])  # the limits stay
    runpy.run_module(sys.argv[1], run_name="__main__", alter_sys=True)
