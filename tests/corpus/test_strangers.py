"""Run folders, data sets, baselines and manifests from strangers: their words are data too."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import onnx
import pytest
import safetensors.numpy

from bnfold import onnxfile
from bnfold.training import train
from bnfold_cli.main import run
from tests.corpus.test_commands import assert_plain
from tests.onnxfile.small import conv_norm
from tests.training.small import config

EVIL = "\x1b]0;own\x07\x1b[31m\x9b\u202e\u2066[red][/x]<img src=x onerror=1>\"'&\r\n::error::"
LONG = EVIL * 20_000
DEEP = "[" * 200_000
NAME = EVIL.replace("/", "")[:60]  # of a file or a folder
Maker = Callable[[Path], list[str]]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one epoch of the smallest net on the digits."""
    return train(config(tmp_path_factory.mktemp("runs") / "run", epochs=1)).folder


def _refused(capsys: pytest.CaptureFixture[str], code: int, wanted: int) -> None:
    told = capsys.readouterr()
    assert code == wanted, told.err[-2000:]
    assert "Traceback" not in told.err
    assert_plain(told.out + told.err)
    assert len(told.err) < 3000
    if wanted:
        assert told.err.startswith("error: ")
        assert all(line.startswith("hint: ") for line in told.err.splitlines()[1:])


def _step(folder: Path) -> Path:
    return next((folder / "checkpoints").glob("step-*"))


def _told(*keys: str, to: Any) -> Callable[[Path], object]:
    """The checkpoint's manifest says something else."""

    def change(folder: Path) -> None:
        path = _step(folder) / "manifest.json"
        manifest = owner = json.loads(path.read_text())
        for key in keys[:-1]:
            owner = owner[key]
        owner[keys[-1]] = to
        path.write_text(json.dumps(manifest))

    return change


def _tensors(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    """Other weights, under the SHA-256 that they have."""

    def rewrite(folder: Path) -> None:
        path = _step(folder) / "weights.safetensors"
        tensors = safetensors.numpy.load(path.read_bytes())
        change(tensors)
        data = safetensors.numpy.save(tensors)
        path.write_bytes(data)
        _told("files", path.name, "sha256", to=hashlib.sha256(data).hexdigest())(folder)

    return rewrite


def _instead(name: str, put: Callable[[Path], object]) -> Callable[[Path], object]:
    """Something else stands where a file of the run was."""

    def change(folder: Path) -> None:
        place = next(folder.rglob(name))
        place.unlink()
        put(place)

    return change


def _text(text: str) -> Callable[[Path], object]:
    return lambda place: place.write_text(text, "utf-8", errors="surrogatepass")


EVALUATE, RESUME = (
    ("evaluate", "{}", "--device", "cpu"),
    ("train", "--preset", "digits", "--resume", "--out", "{}"),
)
# what is changed in the run folder, the command, its exit code
RUNS: dict[str, tuple[Callable[[Path], object], tuple[str, ...], int]] = {
    "schema": (_told("schema", to=EVIL), EVALUATE, 6),
    "schema of a list": (_told("schema", to=[EVIL]), EVALUATE, 6),
    "network": (_told("model", "name", to=LONG), EVALUATE, 6),
    "network of a number": (_told("model", "name", to=7), EVALUATE, 6),
    "network that is Python's own": (_told("model", "name", to="os:abort"), EVALUATE, 2),
    "network in a folder": (_told("model", "name", to="/tmp/x.py:f"), EVALUATE, 2),
    "classes without end": (_told("data", "classes", to=10**15), EVALUATE, 6),
    "classes of text": (_told("data", "classes", to=EVIL), EVALUATE, 6),
    "classes negative": (_told("data", "classes", to=-3), EVALUATE, 6),
    "classes of other weights": (_told("data", "classes", to=10**6), EVALUATE, 6),
    "sides without end": (_told("data", "shape", to=[1, 10**9, 10**9]), EVALUATE, 6),
    "shape of text": (_told("data", "shape", to=EVIL), EVALUATE, 6),
    "step of text": (_told("step", to=EVIL), ("calibrate", "{}", "--device", "cpu"), 6),
    "top of text": (_told("data", "top", to=EVIL), EVALUATE, 6),
    "mean of text": (_told("data", "mean", to=[EVIL]), EVALUATE, 6),
    "data of text": (_told("config", "data", to=LONG), EVALUATE, 6),
    "data that is Python's own": (_told("config", "data", to="os:abort"), EVALUATE, 2),
    "config of text": (_told("config", to=EVIL), EVALUATE, 6),
    "tensor that is too much": (
        _tensors(lambda t: t.update({EVIL: np.zeros(3)})), EVALUATE, 6,
    ),
    "tensor that is missing": (_tensors(lambda t: t.popitem()), ("export", "{}"), 6),
    "manifest deep": (_instead("manifest.json", _text(DEEP)), EVALUATE, 6),
    "manifest a pipe": (_instead("manifest.json", os.mkfifo), EVALUATE, 6),
    "weights a pipe": (_instead("weights.safetensors", os.mkfifo), EVALUATE, 6),
    "weights without end": (
        _instead("weights.safetensors", lambda p: p.symlink_to("/dev/zero")), EVALUATE, 6,
    ),
    "state a pipe": (_instead("state.pt", os.mkfifo), EVALUATE, 6),
    "last of text": (_instead("last", _text(LONG)), EVALUATE, 6),
    "last a pipe": (_instead("last", os.mkfifo), EVALUATE, 6),
    "config deep": (_instead("config.json", _text(DEEP)), RESUME, 6),
    "config a pipe": (_instead("config.json", os.mkfifo), RESUME, 6),
    "config of other keys": (_instead("config.json", _text('{"schema": "\\u202e"}')), RESUME, 6),
}  # fmt: skip


@pytest.mark.parametrize("name", RUNS)
def test_runs(
    original: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    change, words, wanted = RUNS[name]
    folder = shutil.copytree(original, tmp_path / "run")
    change(folder)
    before = sorted(os.listdir(folder))
    _refused(capsys, run([word.format(folder) for word in words]), wanted)
    assert sorted(os.listdir(folder)) == before


def test_a_run_whose_words_are_evil(
    original: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing of it is refused, and nothing obeyed."""
    folder = shutil.copytree(original, tmp_path / NAME)
    _told("data", "name", to=EVIL)(folder)
    _told(EVIL, to=EVIL)(folder)
    for words in (["evaluate", str(folder)], ["calibrate", str(folder), "--batches", "1"]):
        _refused(capsys, run([*words, "--device", "cpu"]), 0)


def _pictures(place: Path) -> list[str]:
    """Classes, and the last picture, which is none, have evil names."""
    from PIL import Image

    for part in ("train", "val"):
        for number in range(2):
            folder = place / part / f"{number}{NAME}"
            folder.mkdir(parents=True)
            for count in range(3):
                Image.new("RGB", (32, 32)).save(folder / f"{count}.png")
    (folder / f"{NAME}.png").write_text("no picture")
    return [str(place)]


def _class_not_trained(place: Path) -> list[str]:
    _pictures(place)
    (place / "val" / f"9{NAME}").mkdir()
    return [str(place)]


def _shards(member: str, label: bytes) -> Maker:
    def make(place: Path) -> list[str]:
        place.mkdir()
        for part in ("train", "val"):
            with tarfile.open(place / f"{part}-0.tar", "w", format=tarfile.GNU_FORMAT) as archive:
                for kind, data in (("png", b"no picture"), ("cls", label)):
                    info = tarfile.TarInfo(f"{member}.{kind}")
                    info.size = len(data)
                    archive.addfile(info, io.BytesIO(data))
        return [str(place)]

    return make


def _link(place: Path) -> list[str]:
    place.mkdir()
    for part in ("train", "val"):
        with tarfile.open(place / f"{part}-0.tar", "w") as archive:
            info = tarfile.TarInfo(f"{EVIL}.png")
            info.type, info.linkname = tarfile.SYMTYPE, "/etc/hostname"
            archive.addfile(info)
    return [str(place)]


DATA: dict[str, Maker] = {
    "a picture that is none": _pictures,
    "a class not trained": _class_not_trained,
    "a member that is no picture": _shards(EVIL, b"0"),
    "a label of text": _shards(EVIL, EVIL.encode()),
    "a long member": _shards(LONG[:5000], b"x"),
    "a linked member": _link,
}


@pytest.mark.parametrize("name", DATA)
def test_data_sets(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    data = DATA[name](tmp_path / "d")
    words = ["train", "--model", "mnist-mlp-bn", "--set", "batch=2", "--device", "cpu"]
    _refused(capsys, run([*words, "--out", str(tmp_path / "out"), "--data", *data]), 6)


def _model(place: Path) -> str:
    onnxfile.write(conv_norm(), place / "m.onnx")
    return str(place / "m.onnx")


def _json(name: str, told: Any) -> Callable[[Path], object]:
    return lambda place: (place / name).write_text(json.dumps(told))


def _pipe(name: str) -> Callable[[Path], object]:
    return lambda place: os.mkfifo(place / name)


HASHES = {"schema": "bnfold.manifest/1", "tensors": [{"name": EVIL, "sha256": EVIL}]}
BASELINE = {"schema": "bnfold.bench/1", "machine": {EVIL: EVIL}, "provider": EVIL}
VERIFY = ("verify", "{m}", "{m}", "--manifest", "{p}/f")
BENCH = ("bench", "--quick", "{m}", "--baseline", "{p}/f")
FILES: dict[str, tuple[Callable[[Path], object], tuple[str, ...], int]] = {
    "hashes of evil names": (_json("f", HASHES), VERIFY, 4),
    "hashes of another schema": (_json("f", {"schema": EVIL}), VERIFY, 6),
    "hashes deep": (lambda p: (p / "f").write_text(DEEP), VERIFY, 6),
    "hashes from a pipe": (_pipe("f"), VERIFY, 6),
    "baseline of another schema": (_json("f", {"schema": LONG}), BENCH, 6),
    "baseline of evil names": (_json("f", BASELINE), BENCH, 6),
    "baseline deep": (lambda p: (p / "f").write_text(DEEP), BENCH, 6),
    "baseline from a pipe": (_pipe("f"), BENCH, 6),
    "a deployment's place": (
        lambda p: (p / "f").mkdir() or (p / "f" / "manifest.json").write_text(DEEP),
        ("deploy", "{m}", "--to", "{p}/f"), 2,
    ),
    "a deployment's place with a pipe": (
        lambda p: (p / "f").mkdir() or os.mkfifo(p / "f" / "manifest.json"),
        ("deploy", "{m}", "--to", "{p}/f"), 6,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_files(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    make, words, wanted = FILES[name]
    make(tmp_path)
    model = _model(tmp_path)
    _refused(capsys, run([word.format(m=model, p=tmp_path) for word in words]), wanted)


@pytest.mark.parametrize("options", [DEEP, '{"linear": 5}', '{"linear": [[]]}', '{"reparam": []}'])
def test_a_record_of_options(
    tmp_path: Path, options: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """`verify` folds again as a candidate says that it was folded."""
    model = _model(tmp_path)
    assert run(["-q", "fold", model]) == 0
    folded = onnx.load(tmp_path / "m.folded.onnx")
    record = next(e for e in folded.metadata_props if e.key == "pkg.bnfold.options")
    record.value = options
    onnx.save(folded, tmp_path / "m.folded.onnx")
    words = ["verify", model, str(tmp_path / "m.folded.onnx"), "--batch", "1"]
    _refused(capsys, run([*words, "--junit", str(tmp_path / "j.xml")]), 0)
    ElementTree.parse(tmp_path / "j.xml")


def test_doctor(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What packages say of themselves."""
    from bnfold import environment

    monkeypatch.setattr(environment, "_version", lambda *_: EVIL)
    run(["doctor"])
    assert_plain("".join(capsys.readouterr()))
