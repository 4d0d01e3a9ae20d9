"""A folder is written whole or not at all."""

from __future__ import annotations

import errno
import os
import resource
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bnfold import leftovers, onnxfile
from bnfold.errors import BnfoldError, DataError, UsageError
from bnfold.onnxfile import folders

MARK = "manifest.json"


def fill(path: Path, text: str) -> None:
    with onnxfile.replacing_folder(path, mark=MARK) as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "a").write_text(text)
        onnxfile.write_text(folder / MARK, text)


def contents(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_text() for path in files}


def whole(text: str) -> dict[str, str]:
    return {"out/sub/a": text, f"out/{MARK}": text}


def test_made_and_replaced(tmp_path: Path) -> None:
    for text in ("one", "two"):
        fill(tmp_path / "out", text)
        assert contents(tmp_path) == whole(text)


def test_without_an_exchange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.EINVAL, "not on this file system")

    monkeypatch.setattr(folders, "_exchange", none)
    test_made_and_replaced(tmp_path)


def test_mode_is_kept_and_the_umask_heeded(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        fill(tmp_path / "out", "one")
        assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o750
        (tmp_path / "out").chmod(0o705)
        fill(tmp_path / "out", "two")
        assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o705
    finally:
        os.umask(old)


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("out")
    for text in ("one", "two"):
        fill(tmp_path / "link", text)
        assert (tmp_path / "link").is_symlink()
        assert contents(tmp_path / "link") == {"sub/a": text, MARK: text}


def _foreign(path: Path) -> None:
    path.mkdir()
    (path / "thesis.tex").write_text("precious")


def _file(path: Path) -> None:
    path.write_text("precious")


def _protected(path: Path) -> None:
    fill(path, "precious")
    path.chmod(0o555)


@pytest.mark.parametrize(
    ("make", "error"), [(_foreign, UsageError), (_file, UsageError), (_protected, DataError)]
)
def test_refused_and_left_alone(
    tmp_path: Path, make: Callable[[Path], None], error: type[BnfoldError]
) -> None:
    make(tmp_path / "out")
    before = contents(tmp_path)
    with pytest.raises(error):
        fill(tmp_path / "out", "new")
    with pytest.raises(error):
        onnxfile.check_folder(tmp_path / "out", mark=MARK)
    assert contents(tmp_path) == before
    (tmp_path / "out").chmod(0o755)


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    onnxfile.check_folder(tmp_path / "out", mark=MARK)
    fill(tmp_path / "out", "new")
    assert contents(tmp_path) == whole("new")


def test_no_folder_above(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        fill(tmp_path / "none" / "out", "new")


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_exception_in_the_block(tmp_path: Path, error: type[BaseException]) -> None:
    fill(tmp_path / "out", "old")
    with pytest.raises(error):
        _half(tmp_path / "out", error)
    assert contents(tmp_path) == whole("old")


def _half(path: Path, error: type[BaseException]) -> None:
    with onnxfile.replacing_folder(path, mark=MARK) as folder:
        (folder / "a").write_text("half")
        raise error


def test_an_error_names_the_target(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    fill(tmp_path / "out", "old")
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(DataError) as caught:
            fill(tmp_path / "out", "new" * 100)
        with (
            pytest.raises(DataError) as named,
            onnxfile.replacing_folder(tmp_path / "out", mark=MARK) as folder,
        ):
            onnxfile.write_text(folder / "b", "new" * 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert caught.value.where == str(tmp_path / "out")
    assert named.value.where == str(tmp_path / "out" / "b")
    assert contents(tmp_path) == whole("old")


def test_old_leftovers_go_and_nothing_else(tmp_path: Path) -> None:
    for name in (".out.abcdefgh.tmp", ".out.abcdefg2.tmp", ".out.notes.tmp"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f").write_text("half")
        os.utime(tmp_path / name, (time.time() - 2 * 86_400,) * 2)
    os.utime(tmp_path / ".out.abcdefg2.tmp")
    fill(tmp_path / "out", "new")
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"out", ".out.abcdefg2.tmp", ".out.notes.tmp"}


WRITER = """
import sys
import tempfile
from pathlib import Path
from bnfold import onnxfile
print("ready", flush=True)
count = 0
while True:
    count += 1
    with onnxfile.replacing_folder(sys.argv[1], mark="manifest.json") as folder:
        for name in ("a", "b", "manifest.json"):
            (folder / name).write_text(str(count) * 50_000)
"""


def test_killed_at_any_moment(tmp_path: Path) -> None:
    fill(tmp_path / "out", "0")
    for round_ in range(6):
        command = [sys.executable, "-c", WRITER, str(tmp_path / "out")]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout
            process.stdout.readline()
            time.sleep(0.05 + 0.013 * round_)
            process.kill()
        found = contents(tmp_path / "out")
        assert len(found) in (2, 3)
        assert len(set(found.values())) == 1, "files of two writes"


def test_a_temporary_folder_goes_and_takes_old_ones_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in (".bnfold.abcd1234.tmp", ".bnfold.abcd1235.tmp", "bnfold-of-the-user", "bnfold"):
        (tmp_path / name).mkdir()
        if name != ".bnfold.abcd1235.tmp":
            os.utime(tmp_path / name, (0, 0))
    with leftovers.temporary_folder() as folder:
        assert folder.parent == tmp_path
        (folder / "a").write_text("a")
    assert sorted(os.listdir(tmp_path)) == [".bnfold.abcd1235.tmp", "bnfold", "bnfold-of-the-user"]
