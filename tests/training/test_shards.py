"""Tar shards: the image folder's samples, exact resuming, a part for each rank, and bad shards."""

from __future__ import annotations

import gzip
import io
import os
import signal
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bnfold.errors import DataError, UsageError
from bnfold.training import Terminated, TrainConfig, evaluate_torch, load_data, train
from bnfold.training.packing import pack
from bnfold.training.ranks import Ranks
from bnfold.training.shard_names import shard_paths
from bnfold.training.shards import indexed
from bnfold.training.state import begin
from bnfold_cli.main import main
from tests.training.small import config

COUNT = {"train": 50, "val": 10}
PER_SHARD = 16  # 50 images: three shards of 16, one of 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Images that all differ, of two classes and three kinds of file."""
    rng, root = np.random.default_rng(0), tmp_path_factory.mktemp("folder")
    for part, count in COUNT.items():
        for number in range(count):
            place = root / part / ("ant", "bee")[number % 2]
            place.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 120, (20, 24, 3), np.uint8) + np.uint8(120 * (number % 2))
            kind = ("png", "JPG", "bmp")[number % 3]
            Image.fromarray(pixels).save(place / f"an image.{number}.{kind}")
    return root


@pytest.fixture(scope="module")
def shards(folder, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("shards") / "set"
    pack(folder, out, per_shard=PER_SHARD)
    return out


def test_packing_is_deterministic(folder, shards, tmp_path):
    written = pack(folder, tmp_path / "again", per_shard=PER_SHARD)
    assert [p.name for p in written] == [
        *(f"train-{i:06d}.tar" for i in range(4)), "val-000000.tar",
    ]  # fmt: skip
    assert all(p.read_bytes() == (shards / p.name).read_bytes() for p in written)
    assert (shards / "classes.txt").read_text() == "ant\nbee\n"
    other = pack(folder, tmp_path / "other", per_shard=PER_SHARD, seed=1)
    assert other[0].read_bytes() != written[0].read_bytes()
    with pytest.raises(UsageError):
        pack(folder, folder)  # never over something else


def epoch(data, chosen=None) -> list[tuple[bytes, int]]:
    chosen = torch.arange(len(data)) if chosen is None else chosen
    images, labels = data.take(chosen)
    return [(i.numpy().tobytes(), int(n)) for i, n in zip(images, labels, strict=True)]


def test_an_epoch_has_the_samples_of_the_folder(folder, shards):
    plain, packed = load_data(str(folder), size=16), load_data(f"shards:{shards}", size=16)
    assert packed.train.shards == (16, 16, 16, 2)
    assert (packed.classes, packed.shape) == (2, (3, 16, 16))
    for part in ("train", "test"):
        wanted, found = epoch(getattr(plain, part)), epoch(getattr(packed, part))
        assert len(set(wanted)) == len(wanted)
        assert sorted(wanted) == sorted(found)
        assert wanted != found  # mixed when they were packed


RANKS = [(1, 1), (2, 1), (3, 2)]


@pytest.mark.parametrize(("world", "accumulate"), RANKS)
def test_ranks_read_every_image_once(shards, world, accumulate):
    """The ranks' parts of an epoch are the batches of one process, random crops included."""
    data = load_data(f"shards:{shards}", size=16)
    wanted = TrainConfig(
        batch=10, epochs=2, shuffle_buffer=8, accumulate=accumulate, device="cpu", flip=True
    )

    def batches(rank, ranks):
        training = begin(wanted, torch.nn.Linear(1, 1), data, Ranks(rank, ranks))
        for training.step in range(training.steps):  # noqa: B020
            yield training.step, *training.batch()

    alone = {step: (images, labels) for step, images, labels in batches(0, 1)}
    parts = [list(batches(rank, world)) for rank in range(world)]
    for step, (images, labels) in alone.items():
        found = [p[step][1:] for p in parts]
        assert sum(len(part) for _, part in found) == 10
        key = lambda x, y: sorted((i.numpy().tobytes(), int(n)) for i, n in zip(x, y, strict=True))  # noqa: E731
        together = sorted(s for x, y in found for s in key(x, y))
        assert together == key(images, labels)
    assert len(alone) == 10


def small(out, shards, **changes):
    return config(
        out, model="mobilenet-small", data=f"shards:{shards}", size=16, batch=10, epochs=2,
        shift=0, flip=True, calibration_batches=1, save_every=2, shuffle_buffer=8, **changes,
    )  # fmt: skip


def test_resume_in_the_middle_of_a_shard(shards, tmp_path):
    undisturbed = train(small(tmp_path / "whole", shards))
    wanted = small(tmp_path / "run", shards)

    def interrupt(record):
        if record.step == 6:  # the second step of the second epoch
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Terminated):
        train(wanted, on_step=interrupt)
    resumed = train(wanted, existing="resume")
    pairs = zip(
        undisturbed.model.state_dict().values(), resumed.model.state_dict().values(), strict=True
    )
    assert all(torch.equal(a, b) for a, b in pairs)
    assert resumed.accuracy == evaluate_torch(resumed.folder, device="cpu").accuracy


def tar(path: Path, *members: tuple[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def image(count: int = 4) -> bytes:
    made = io.BytesIO()
    Image.new("RGB", (count, count), (200, 0, 0)).save(made, "png")
    return made.getvalue()


GOOD = [(f"a/{n}.{kind}", content) for n in range(4) for kind, content in (
    ("png", image()), ("cls", b"1\n"), ("json", b"{}"), ("seg.png", b"another kind"),
)]  # fmt: skip


def test_what_webdataset_passes_over(tmp_path):
    extra = [("__meta__.json", b""), (".hidden", b""), ("README", b"x"), *GOOD]
    assert len(indexed(tar(tmp_path / "train-0.tar", *extra))) == 4


def link(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        member = tarfile.TarInfo("a.png")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(member)


def damaged(path: Path) -> None:
    content = bytearray(tar(path, *GOOD).read_bytes())
    at = content.index(b"a/2.png")
    content[at + 200] ^= 0xFF
    path.write_bytes(content)


def claims(path: Path) -> None:
    member = tarfile.TarInfo("a.png")
    member.size = 300 << 20
    label = tarfile.TarInfo("a.cls")
    label.size = 1
    with path.open("wb") as file:
        file.write(member.tobuf())
        file.truncate(512 + (300 << 20))
        file.seek(0, 2)
        file.write(label.tobuf() + b"1".ljust(512, b"\0") + bytes(1024))


BAD = {
    "truncated-in-a-file": (lambda p: p.write_bytes(tar(p, *GOOD).read_bytes()[:700]), "end of"),
    "truncated-at-a-header": (lambda p: p.write_bytes(tar(p, *GOOD).read_bytes()[:2048]), "trunca"),
    "a-header-cut": (lambda p: p.write_bytes(tar(p, *GOOD).read_bytes()[:2048 + 100]), "truncated"),
    "damaged-header": (damaged, "damaged header"),
    "no-label": (lambda p: tar(p, *GOOD, ("b.png", image())), "b: none|one label"),
    "no-labels": (lambda p: tar(p, ("a.png", image()), ("b.png", image())), "one label"),
    "no-image": (lambda p: tar(p, *GOOD, ("b.cls", b"1")), "one image"),
    "two-images": (lambda p: tar(p, *GOOD, ("a/3.jpg", image())), "one image"),
    "no-number": (lambda p: tar(p, ("a.png", image()), ("a.cls", b"cat")), "no class number"),
    "negative": (lambda p: tar(p, ("a.png", image()), ("a.cls", b"-1")), "no class number"),
    "far-too-many": (lambda p: tar(p, ("a.png", image()), ("a.cls", b"9" * 9)), "no class number"),
    "link": (link, "no plain file"),
    "compressed": (lambda p: p.write_bytes(gzip.compress(tar(p, *GOOD).read_bytes())), "readable"),
    "empty": (lambda p: p.write_bytes(b""), "readable"),
    "no-samples": (lambda p: tar(p), "without samples"),
    "not-a-tar": (lambda p: p.write_bytes(b"x" * 2000), "readable"),
    "large-file": (claims, "larger than"),
}  # fmt: skip


@pytest.mark.parametrize(("spoil", "told"), BAD.values(), ids=BAD)
def test_a_bad_shard_is_named(tmp_path, spoil, told):
    path = tmp_path / "train-000000.tar"
    spoil(path)
    tar(tmp_path / "val-000000.tar", *GOOD)
    with pytest.raises(DataError, match=told) as caught:
        load_data(f"shards:{tmp_path}")
    assert str(path) in str(caught.value)


def test_the_command_says_so_in_one_line(tmp_path, capsys):
    tar(tmp_path / "train-0.tar", *GOOD, ("b.png", image()))
    tar(tmp_path / "val-0.tar", *GOOD)
    out = tmp_path / "run"
    with pytest.raises(SystemExit) as ended:
        main(["train", "--model", "resnet18", "--data", str(tmp_path), "--out", str(out)])
    assert ended.value.code == 6
    assert capsys.readouterr().err.count("\n") == 1
    assert not out.exists()


def test_a_bad_image_is_named(tmp_path):
    bomb = io.BytesIO()
    Image.new("1", (20_000, 10_000)).save(bomb, "png")
    tar(tmp_path / "train-0.tar", *GOOD)
    for content in (bomb.getvalue(), b"no image", b""):
        tar(tmp_path / "val-0.tar", *GOOD, ("b/c.png", content), ("b/c.cls", b"0"))
        data = load_data(str(tmp_path), size=16)
        with pytest.raises(DataError) as caught:
            data.test.take(torch.tensor([4]))
        assert caught.value.where == f"{tmp_path / 'val-0.tar'}: b/c.png"
    os.truncate(tmp_path / "val-0.tar", 512)  # behind the reader's back
    with pytest.raises(DataError, match="shorter"):
        data.test.take(torch.tensor([3]))


def test_a_label_unknown_to_training(tmp_path):
    tar(tmp_path / "train-0.tar", *GOOD)
    tar(tmp_path / "val-0.tar", ("a.png", image()), ("a.cls", b"2"))
    with pytest.raises(DataError, match="label 2"):
        load_data(str(tmp_path))


NAMES = ["in1k-train-00.tar", "in1k-train-01.tar", "in1k-validation-00.tar"]
PATTERNS = [
    ("", 2, 1),
    ("/*.tar", 2, 1),
    ("/in1k-{train,validation}-*.tar", 2, 1),
    ("/in1k-{train-{00..01},validation-00}.tar", None, "no such shard"),  # not braces in braces
    ("/in1k-train-0{0..1}.tar", None, "no shard for 'val'"),
    ("/in1k-{train,validation}-{00..01}.tar", None, "no such shard"),
    ("/nothing-*.tar", None, "no shard for 'train'"),
]


@pytest.mark.parametrize(("pattern", "train_count", "told"), PATTERNS)
def test_patterns(tmp_path, pattern, train_count, told):
    for name in NAMES:
        tar(tmp_path / name, *GOOD)
    if train_count is None:
        with pytest.raises(DataError, match=told):
            shard_paths(f"{tmp_path}{pattern}")
        return
    found = shard_paths(f"{tmp_path}{pattern}")
    assert [p.name for part in found for p in part] == NAMES
    assert tuple(map(len, found)) == (train_count, told)


def test_parts_by_folder_and_unknown_parts(tmp_path):
    for part in ("train", "val"):
        (tmp_path / part).mkdir()
        tar(tmp_path / part / "0.tar", *GOOD)
    assert [p.parent.name for part in shard_paths(str(tmp_path)) for p in part] == ["train", "val"]
    tar(tmp_path / "trainer.tar", *GOOD)
    with pytest.raises(DataError, match="neither train nor val"):
        shard_paths(str(tmp_path))
    with pytest.raises(UsageError, match="range"):
        shard_paths("x-{0..999999999}.tar")
