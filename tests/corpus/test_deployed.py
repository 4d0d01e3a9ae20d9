"""A deployed folder that a stranger made: sealed as it should be, and false within."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bnfold.deployment.smoke.seal import sealed, sha256_of_file
from bnfold_cli.main import run
from tests.corpus.endless import endless
from tests.deployment.nets import net

Change = Callable[[Path, dict[str, Any]], object]
ESCAPES = "\x1b]0;own\x07\x1b[31m\u202e\n::error::"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("deployed")
    assert run(["-q", "deploy", str(net(place / "m.onnx")), "--to", str(place / "d")]) == 0
    return place / "d"


def seal(folder: Path, manifest: dict[str, Any]) -> None:
    """List the files as they are now, and close the manifest over them."""
    for name, entry in manifest["files"].items():
        path = folder / name
        if path.is_file():
            entry.update(bytes=path.stat().st_size, sha256=sha256_of_file(str(path)))
    (folder / "manifest.json").write_bytes(sealed(json.dumps({**manifest, "seal": "0" * 64})))


def _outside(folder: Path, manifest: dict[str, Any]) -> None:
    shutil.copy(folder / "model.onnx", folder.parent / "stolen.onnx")
    manifest["model"]["file"] = "../stolen.onnx"


def _outside_and_listed(folder: Path, manifest: dict[str, Any]) -> None:
    _outside(folder, manifest)
    manifest["files"]["../stolen.onnx"] = {}


def _linked_outside(folder: Path, _: dict[str, Any]) -> None:
    (folder / "model.onnx").rename(folder.parent / "stolen.onnx")
    (folder / "model.onnx").symlink_to(folder.parent / "stolen.onnx")


def _golden_of(**arrays: Any) -> Change:
    def write(folder: Path, _: dict[str, Any]) -> None:
        np.savez(folder / "golden.npz", **arrays)

    return write


def _golden_bomb(folder: Path, _: dict[str, Any]) -> None:
    """Two entries that inflate, says the directory, to eight gigabytes."""
    data = io.BytesIO((folder / "golden.npz").read_bytes())
    with zipfile.ZipFile(data, "a") as archive:
        for name in "ab":
            archive.writestr(f"{name}.npy", b"")
    raw, at = bytearray(data.getvalue()), None
    for _ in range(2):
        at = raw.rindex(b"PK\x01\x02", 0, at)  # an entry of the directory: the size stands at 24
        raw[at + 24 : at + 28] = (4 * 10**9).to_bytes(4, "little")
    (folder / "golden.npz").write_bytes(raw)


def _golden_answer_damaged(folder: Path, _: dict[str, Any]) -> None:
    path = folder / "golden.npz"
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("case0_output0.npy")
    data = bytearray(path.read_bytes())
    data[info.header_offset + 120] ^= 0xFF
    path.write_bytes(bytes(data))


def _manifest_as(text: str) -> Change:
    return lambda folder, _: (folder / "manifest.json").write_text(text)


def _manifest_place(put: Callable[[Path], object]) -> Change:
    def replace(folder: Path, _: dict[str, Any]) -> None:
        (folder / "manifest.json").unlink()
        put(folder / "manifest.json")

    return replace


def _set(*keys: Any, to: Any) -> Change:
    def change(_: Path, manifest: dict[str, Any]) -> None:
        owner: Any = manifest
        for key in keys[:-1]:
            owner = owner[key]
        owner[keys[-1]] = to

    return change


def _files_as_a_list(folder: Path, manifest: dict[str, Any]) -> None:
    manifest["files"] = []
    text = json.dumps({**manifest, "seal": "0" * 64})
    (folder / "manifest.json").write_bytes(sealed(text))


RMS = ("golden", "cases", 0, "outputs", 0, "rms")
# change, exit code, and whether the manifest is sealed anew after it
FOLDERS: dict[str, tuple[Change, int, bool]] = {
    "model outside": (_outside, 6, True),
    "model outside and listed": (_outside_and_listed, 6, True),
    "model linked": (_linked_outside, 6, True),
    "model not listed": (lambda _, m: m["files"].pop("model.onnx"), 6, True),
    "model truncated": (lambda f, _: os.truncate(f / "model.onnx", 300), 3, True),
    "model empty": (lambda f, _: os.truncate(f / "model.onnx", 0), 3, True),
    "model changed": (lambda f, _: os.truncate(f / "model.onnx", 300), 4, False),
    "golden outside": (_set("golden", "file", to="/etc/hostname"), 6, True),
    "golden empty": (lambda f, _: os.truncate(f / "golden.npz", 0), 6, True),
    "golden text": (lambda f, _: (f / "golden.npz").write_text("text"), 6, True),
    "golden of objects": (_golden_of(case0_input0=np.array([{}], object)), 6, True),
    "golden of others": (_golden_of(x=np.zeros(3)), 6, True),
    "golden bomb": (_golden_bomb, 6, True),
    "golden answer damaged": (_golden_answer_damaged, 6, True),
    "no cases": (_set("golden", "cases", to=[]), 6, True),
    "cases of text": (_set("golden", "cases", to="abc"), 6, True),
    "bound zero": (_set(*RMS, to=0), 6, True),
    "bound of text": (_set(*RMS, to="x"), 6, True),
    "bound nothing": (_set(*RMS, to=None), 6, True),
    "key unknown": (_set("golden", "cases", 0, "inputs", 0, "key", to=ESCAPES), 6, True),
    "input renamed": (_set("golden", "cases", 0, "inputs", 0, "name", to=ESCAPES), 6, True),
    "output renamed": (_set("golden", "cases", 0, "outputs", 0, "name", to=ESCAPES), 4, True),
    "batch of text": (_set("golden", "cases", 0, "batch", to="many"), 6, True),
    "case renamed": (_set("golden", "cases", 0, "name", to=ESCAPES), 0, True),
    "provider unknown": (_set("runtime", "provider", to=ESCAPES), 5, True),
    "schema unknown": (_set("schema", to=ESCAPES), 6, True),
    "file with escapes missing": (_set("files", ESCAPES, to={}), 4, True),
    "files a list": (_files_as_a_list, 6, False),
    "no runtime": (lambda _, m: m.pop("runtime"), 6, True),
    "manifest of null": (_manifest_as("null"), 6, False),
    "manifest of a list": (_manifest_as("[]"), 6, False),
    "manifest deep": (_manifest_as("[" * 200_000), 6, False),
    "manifest without seal": (_manifest_as('{"schema": "bnfold.deployment/1"}'), 4, False),
    "manifest not text": (lambda f, _: (f / "manifest.json").write_bytes(b"\xff\xfe"), 6, False),
    "manifest a pipe": (_manifest_place(os.mkfifo), 6, False),
    "manifest endless": (_manifest_place(lambda p: p.symlink_to("/dev/zero")), 6, False),
    "manifest a folder": (_manifest_place(Path.mkdir), 6, False),
    "manifest linked in a ring": (_manifest_place(lambda p: p.symlink_to(p.name)), 6, False),
    "manifest missing": (_manifest_place(lambda p: None), 4, False),
    "stranger with escapes": (lambda f, _: (f / ESCAPES.replace("/", "")).touch(), 0, False),
}


def changed(sound: Path, place: Path, name: str) -> Path:
    """A copy of the sound folder, changed."""
    change, _, anew = FOLDERS[name]
    folder = place / "d"
    shutil.copytree(sound, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    change(folder, manifest)
    if anew:
        seal(folder, manifest)
    return folder


@pytest.mark.parametrize("name", FOLDERS)
def test_check(sound: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    folder, code = changed(sound, tmp_path, name), FOLDERS[name][1]
    assert run(["check", str(folder), "--runs", "1", "--junit", str(tmp_path / "j.xml")]) == code
    told = capsys.readouterr()
    assert_plain(told.out + told.err)
    assert "Traceback" not in told.err
    if code:
        assert told.err.startswith("error: ")
        assert all(line.startswith("hint: ") for line in told.err.splitlines()[1:])


@pytest.mark.slow
@pytest.mark.parametrize("name", FOLDERS)
def test_check_alone(sound: Path, tmp_path: Path, name: str) -> None:
    """By the folder's own script, where bnfold is not installed."""
    folder, code = changed(sound, tmp_path, name), FOLDERS[name][1]
    words = [sys.executable, str(sound / "check.py"), str(folder), "--runs", "1"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == code, done.stderr
    assert_plain(done.stdout + done.stderr)


def assert_plain(text: str) -> None:
    """Nothing in it that a terminal would obey."""
    assert not any((ord(c) < 32 and c != "\n") or 0x7F <= ord(c) < 0xA0 for c in text)
    assert "\u202e" not in text
    assert not any(line.startswith("::") for line in text.splitlines())


# a command whose native calls get one second
BRIEF = """
import sys
from bnfold import child
real = child.native_call
child.native_call = lambda *_: real(1.0)
from bnfold_cli.main import main
main(sys.argv[1:])
"""


def test_a_model_that_never_ends(sound: Path, tmp_path: Path) -> None:
    folder = tmp_path / "d"
    shutil.copytree(sound, folder)
    (folder / "model.onnx").write_bytes(endless().SerializeToString())
    seal(folder, json.loads((folder / "manifest.json").read_text()))
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", BRIEF, "check", str(folder)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 3, done.stderr
    assert "no answer within" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert time.monotonic() - began < 30
