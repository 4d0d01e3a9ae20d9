"""A file is written whole or not at all."""

from __future__ import annotations

import os
import resource
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bnfold import onnxfile
from bnfold.errors import DataError, UsageError
from tests.onnxfile.small import conv_norm


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_mode_is_kept_and_the_umask_heeded(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        onnxfile.write_text(tmp_path / "new", "a")
        assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
        (tmp_path / "new").chmod(0o604)
        onnxfile.write_text(tmp_path / "new", "b")
        assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o604
    finally:
        os.umask(old)
    assert contents(tmp_path) == {"new": b"b"}


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    onnxfile.write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_write_protected_file_refused(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("old")
    (tmp_path / "f").chmod(0o444)
    with pytest.raises(DataError, match="write-protected"):
        onnxfile.write_text(tmp_path / "f", "new")
    with pytest.raises(DataError, match="write-protected"):
        onnxfile.check_writable(tmp_path / "f")
    assert contents(tmp_path) == {"f": b"old"}


def test_no_folder_and_a_folder(tmp_path: Path) -> None:
    for path, error in ((tmp_path / "none" / "f", DataError), (tmp_path, UsageError)):
        with pytest.raises(error):
            onnxfile.write_text(path, "x")
        with pytest.raises(error):
            onnxfile.check_writable(path)


def test_exception_in_the_block_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("old")
    for error in (ValueError, KeyboardInterrupt, SystemExit):
        with pytest.raises(error):
            _half(tmp_path / "f", error)
    assert contents(tmp_path) == {"f": b"old"}


def _half(path: Path, error: type[BaseException]) -> None:
    with onnxfile.replacing(path) as file:
        file.write(b"half")
        raise error


@pytest.mark.parametrize("call", ["fsync", "replace", "fchmod"])
def test_a_failing_call_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "f").write_text("old")
    monkeypatch.setattr(os, call, fail)
    with pytest.raises(DataError, match="No space left"):
        onnxfile.write(conv_norm(), tmp_path / "f")
    monkeypatch.undo()
    assert contents(tmp_path) == {"f": b"old"}


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(DataError) as caught:
            onnxfile.write(conv_norm(), tmp_path / "f")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert caught.value.hint
    assert contents(tmp_path) == {"f": b"old"}


def test_a_device_is_written_through() -> None:
    onnxfile.write_text("/dev/null", "x")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    with pytest.raises(DataError, match="space"):
        onnxfile.write_text("/dev/full", "x")


def test_old_leftovers_go(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    stale, fresh = tmp_path / ".f.abcdefgh.tmp", tmp_path / ".f.ijklmnop.tmp"
    for path in (stale, fresh):
        path.write_text("half")
    os.utime(stale, (time.time() - 2 * 86_400,) * 2)
    onnxfile.write_text(tmp_path / "f", "new")
    assert contents(tmp_path) == {"f": b"new", ".f.ijklmnop.tmp": b"half"}
    assert "interrupted" in caplog.text


def test_same_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    (tmp_path / "soft").symlink_to("a")
    os.link(tmp_path / "a", tmp_path / "hard")
    for other in ("a", "soft", "hard", "./a"):
        assert onnxfile.same_file(tmp_path / "a", f"{tmp_path}/{other}")
    assert not onnxfile.same_file(tmp_path / "a", tmp_path / "b")
    assert onnxfile.same_file(tmp_path / "b", tmp_path / "." / "b")


WRITER = """
import sys, onnx
from bnfold import onnxfile
model = onnx.ModelProto.FromString(open(sys.argv[2], "rb").read())
print("ready", flush=True)
while True:
    onnxfile.write(model, sys.argv[1], external=len(sys.argv) > 3)
"""


@pytest.mark.parametrize("extra", [[], ["external"]], ids=["one file", "pair"])
def test_killed_at_any_moment(tmp_path: Path, extra: list[str]) -> None:
    source, target = tmp_path / "source.onnx", tmp_path / "out" / "m.onnx"
    target.parent.mkdir()
    onnxfile.write(conv_norm(256), source)
    onnxfile.write(conv_norm(256), target, external=bool(extra))
    for round_ in range(6):
        command = [sys.executable, "-c", WRITER, str(target), str(source), *extra]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout
            process.stdout.readline()
            time.sleep(0.011 * round_)
            process.kill()
        assert onnxfile.read(target).model == conv_norm(256)
