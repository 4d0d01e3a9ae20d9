"""Every hostile file meets every command: the contract's code, one line, nothing written."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bnfold import onnxfile
from bnfold_cli.main import run
from tests.corpus.amounts import INFLATING
from tests.corpus.build import MODELS, PLACES, build
from tests.corpus.endless import endless
from tests.corpus.sound import SOUND_MODELS, UNRUNNABLE
from tests.onnxfile.small import conv_norm

LIMITED = 'ulimit -v 8000000; exec "$@"'
CODES = {**dict.fromkeys(MODELS, 3), **dict.fromkeys(PLACES, 2)}
SOUND = {**dict.fromkeys(SOUND_MODELS, 0), **dict.fromkeys(UNRUNNABLE, 3)}
COMMANDS: dict[str, Callable[[str, str], list[str]]] = {
    "inspect": lambda bad, _: ["inspect", bad],
    "fold": lambda bad, _: ["fold", bad],
    "verify": lambda bad, good: ["verify", good, bad],
    "verify, the other way": lambda bad, good: ["verify", bad, good],
    "bench": lambda bad, good: ["bench", "--quick", bad, good],
    "deploy": lambda bad, good: ["deploy", bad, "--to", good + ".folder"],
    "bisect": lambda bad, _: ["bisect", bad],
    "evaluate": lambda bad, _: ["evaluate", bad, "--data", "digits"],
}
IN_PROCESS = [("inspect", name) for name in CODES]
IN_PROCESS += [("fold", name) for name in list(CODES)[::5]]  # all of them are among the slow ones


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus") / "files"
    build(folder)
    onnxfile.write(conv_norm(), folder.parent / "good.onnx")
    (folder.parent / "endless.onnx").write_bytes(endless().SerializeToString())
    return folder


@pytest.mark.parametrize(("command", "name"), IN_PROCESS)
def test_refused(corpus: Path, command: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    before, began = sorted(os.listdir(corpus)), time.process_time()
    code = run(COMMANDS[command](str(corpus / f"{name}.onnx"), ""))
    told = capsys.readouterr()
    assert code == CODES[name], told.err
    _assert_one_error(told.out, told.err)
    assert sorted(os.listdir(corpus)) == before
    assert time.process_time() - began < 10


@pytest.mark.parametrize("name", SOUND)
def test_odd_and_sound(
    corpus: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    began, target = time.process_time(), tmp_path / "out.onnx"
    assert run(["fold", str(corpus / f"{name}.onnx"), "-o", str(target)]) == 0
    assert_plain("".join(capsys.readouterr()))
    onnxfile.read(target)
    assert run(["inspect", "--all", str(corpus / f"{name}.onnx")]) == 0
    assert_plain("".join(capsys.readouterr()))
    assert time.process_time() - began < 60


@pytest.mark.parametrize("name", ["diamonds_of_60", "function_given_a_number"])
def test_merging(
    corpus: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Operators that are met on very many ways are merged in bounded time, or stay."""
    began, target = time.process_time(), tmp_path / "out.onnx"
    words = ["fold", "--reparam", "--aggressive", str(corpus / f"{name}.onnx"), "-o", str(target)]
    assert run(words) == 0
    assert_plain("".join(capsys.readouterr()))
    onnxfile.read(target)
    assert time.process_time() - began < 60


@pytest.mark.skipif(sys.platform != "linux", reason="limits on memory are Linux's")
@pytest.mark.parametrize("name", ["inflating_range", "inflating_doubling", "inflating_expand"])
def test_what_inflates_takes_little_memory(corpus: Path, tmp_path: Path, name: str) -> None:
    """A file of a kilobyte folds, and does not fill the machine."""
    words = ["fold", str(corpus / f"{name}.onnx"), "-o", str(tmp_path / "out.onnx")]
    process = subprocess.Popen([sys.executable, "-m", "bnfold_cli", "-q", *words])
    _, status, used = os.wait4(process.pid, 0)
    # 3: the machine is so busy that the 40 s of a native call run out before the memory does
    assert os.waitstatus_to_exitcode(status) in (0, 3)
    assert used.ru_maxrss < 2 << 20  # kB


@pytest.mark.slow
@pytest.mark.parametrize("name", INFLATING)
@pytest.mark.parametrize("command", COMMANDS)
def test_what_inflates_under_limits(corpus: Path, command: str, name: str) -> None:
    """It is taken, or there is no room for what it asks for: never a bug of ours."""
    done = _limited(
        COMMANDS[command](str(corpus / f"{name}.onnx"), str(corpus.parent / "good.onnx"))
    )
    assert done.returncode in (0, 2, 3, 4, 5), done.stderr
    assert_plain(done.stdout + done.stderr)
    assert "Traceback" not in done.stderr


# a command whose native calls get one second
BRIEF = """
import sys
from bnfold import child
real = child.native_call
child.native_call = lambda *_: real(1.0)
from bnfold_cli.main import main
main(sys.argv[1:])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's alarm is set on Linux")
def test_numbers_that_never_end(corpus: Path) -> None:
    """The sum of a constant that is 10^12 numbers long, and takes no memory."""
    words = ["bisect", str(corpus.parent / "good.onnx"), str(corpus / "inflating_expand.onnx")]
    done = subprocess.run(
        [sys.executable, "-c", BRIEF, *words], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 3, done.stderr
    assert "no answer within" in done.stderr
    _assert_one_error(done.stdout, done.stderr)


def _assert_one_error(out: str, err: str) -> None:
    assert out == ""
    lines = err.splitlines()
    assert lines[0].startswith("error: ")
    assert all(line.startswith("hint: ") for line in lines[1:])
    assert_plain(err)


def assert_plain(text: str) -> None:
    """Nothing in it that a terminal, or a runner of GitHub, would obey."""
    assert not any((ord(c) < 32 and c != "\n") or 0x7F <= ord(c) < 0xA0 for c in text)
    assert not any(c in text for c in "\u202e\u2066\u2028\ufeff")
    assert not any(line.startswith("::") for line in text.splitlines())


def _limited(words: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", LIMITED, "_", sys.executable, "-m", "bnfold_cli", *words],
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", CODES)
@pytest.mark.parametrize("command", COMMANDS)
def test_in_a_process_under_limits(corpus: Path, command: str, name: str) -> None:
    done = _limited(
        COMMANDS[command](str(corpus / f"{name}.onnx"), str(corpus.parent / "good.onnx"))
    )
    assert done.returncode == CODES[name] or (name, command) == ("folder", "evaluate"), done.stderr
    _assert_one_error(done.stdout, done.stderr)


@pytest.mark.slow
@pytest.mark.parametrize("name", SOUND)
@pytest.mark.parametrize("command", ["verify", "bench", "deploy", "bisect"])
def test_odd_and_sound_under_limits(corpus: Path, command: str, name: str) -> None:
    done = _limited(
        COMMANDS[command](str(corpus / f"{name}.onnx"), str(corpus.parent / "good.onnx"))
    )
    assert done.returncode == SOUND[name], done.stderr
    assert_plain(done.stdout + done.stderr)


@pytest.mark.parametrize("command", ["verify", "bench", "deploy"])
def test_an_endless_loop(corpus: Path, command: str) -> None:
    bad, began = str(corpus.parent / "endless.onnx"), time.monotonic()
    done = _limited([*COMMANDS[command](bad, bad), "--timeout", "2"])
    assert done.returncode == 3, done.stderr
    assert "no answer within 2 s" in done.stderr
    _assert_one_error(done.stdout, done.stderr)
    assert time.monotonic() - began < 50


@pytest.mark.slow
@pytest.mark.parametrize("command", ["verify", "bench", "deploy"])
def test_an_endless_loop_without_being_asked(corpus: Path, command: str) -> None:
    bad, began = str(corpus.parent / "endless.onnx"), time.monotonic()
    assert _limited(COMMANDS[command](bad, bad)).returncode == 3
    assert time.monotonic() - began < 60
