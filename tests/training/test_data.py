"""The digits, idx files in every spelling, and what is said when they are not right."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from bnfold.errors import DataError, UsageError
from bnfold.training import load_data
from bnfold.training.augment import jittered, shifted
from bnfold.training.config import TrainConfig
from bnfold.training.idx import read
from bnfold.training.order import epoch_order

MNIST = Path(__file__).parents[3] / "shared" / "data" / "mnist"
PARTS = {"train": 6, "t10k": 4}


def idx_bytes(array: np.ndarray) -> bytes:
    sizes = np.asarray(array.shape, ">i4").tobytes()
    return bytes((0, 0, 8, array.ndim)) + sizes + array.astype(np.uint8).tobytes()


def write_set(folder: Path, *, dot: bool = False, zipped: bool = False) -> Path:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for part, count in PARTS.items():
        for kind, array in (
            ("images", rng.integers(0, 256, (count, 5, 4))),
            ("labels", np.arange(count) % 3),
        ):
            name = f"{part}-{kind}{'.' if dot else '-'}idx{array.ndim}-ubyte"
            data = idx_bytes(array)
            if zipped:
                (folder / f"{name}.gz").write_bytes(gzip.compress(data))
            else:
                (folder / name).write_bytes(data)
    return folder


def test_digits():
    data = load_data("digits")
    assert (len(data.train), len(data.test), data.shape, data.classes) == (1437, 360, (1, 8, 8), 10)
    counts = torch.bincount(data.test.labels)
    assert counts.min() >= 34
    inputs = data.inputs(data.train.images)
    assert abs(float(inputs.mean())) < 1e-4
    assert float(inputs.std()) == pytest.approx(1, abs=1e-3)


def test_splits_share_no_image():
    data = load_data("digits")
    train = {bytes(i.numpy().tobytes()) for i in data.train.images}
    assert sum(bytes(i.numpy().tobytes()) in train for i in data.test.images) == 0


@pytest.mark.parametrize("dot", [False, True])
@pytest.mark.parametrize("zipped", [False, True])
def test_idx_folder(tmp_path, dot, zipped):
    data = load_data(str(write_set(tmp_path / "set", dot=dot, zipped=zipped)))
    assert (len(data.train), len(data.test), data.shape, data.classes) == (6, 4, (1, 5, 4), 3)


@pytest.mark.parametrize("layout", ["mnist", "MNIST/raw"])
def test_named_set_lies_under_bnfold_data(tmp_path, monkeypatch, layout):
    write_set(tmp_path / layout)
    monkeypatch.setenv("BNFOLD_DATA", str(tmp_path))
    assert len(load_data("mnist").train) == 6


def test_binary_pixels():
    data = load_data("digits", binarize=True)
    assert set(data.inputs(data.train.images).unique().tolist()) == {0.0, 1.0}


def test_mnist_is_mnist():
    if not MNIST.is_dir():
        pytest.skip(f"no MNIST at {MNIST}")
    data = load_data(str(MNIST))
    assert (len(data.train), len(data.test), data.shape) == (60000, 10000, (1, 28, 28))
    assert data.mean == pytest.approx((0.130660,), abs=1e-6)
    assert data.std == pytest.approx((0.308108,), abs=1e-6)


@pytest.mark.parametrize(("name", "hint"), [("minst", "mnist"), ("zzz", "digits")])
def test_unknown_name(name, hint):
    with pytest.raises(UsageError) as caught:
        load_data(name)
    assert hint in (caught.value.hint or "")


def test_missing_set_says_what_to_put_where(tmp_path, monkeypatch):
    monkeypatch.setenv("BNFOLD_DATA", str(tmp_path))
    with pytest.raises(DataError) as caught:
        load_data("fashion-mnist")
    assert "train-images-idx3-ubyte" in (caught.value.hint or "")
    assert str(tmp_path / "fashion-mnist") in (caught.value.hint or "")


IMAGES = "train-images-idx3-ubyte"
DAMAGE = {
    "truncated": lambda data: data[:-1],
    "longer": lambda data: data + b"x",
    "empty": lambda data: b"",
    "other-magic": lambda data: b"\x00\x00\x0d\x03" + data[4:],
    "negative-size": lambda data: data[:4] + b"\xff\xff\xff\xff" + data[8:],
    "fewer-images": lambda data: idx_bytes(np.zeros((5, 5, 4))),
    "other-size": lambda data: idx_bytes(np.zeros((6, 5, 5))),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damaged_images(tmp_path, damage):
    folder = write_set(tmp_path / "set")
    path = folder / IMAGES
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError):
        load_data(str(folder))


@pytest.mark.parametrize("cut", [5, 40, -4])
def test_damaged_gzip(tmp_path, cut):
    folder = write_set(tmp_path / "set", zipped=True)
    path = folder / f"{IMAGES}.gz"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DataError):
        load_data(str(folder))


def test_missing_file(tmp_path):
    folder = write_set(tmp_path / "set")
    (folder / IMAGES).unlink()
    with pytest.raises(DataError, match=IMAGES):
        load_data(str(folder))


def test_unseen_test_label(tmp_path):
    folder = write_set(tmp_path / "set")
    (folder / "t10k-labels-idx1-ubyte").write_bytes(idx_bytes(np.array([0, 1, 2, 9])))
    with pytest.raises(DataError, match="9"):
        load_data(str(folder))


def test_read_refuses_a_folder(tmp_path):
    with pytest.raises(DataError):
        read(tmp_path, 3)


def test_shift_moves_and_fills_with_zeros():
    images = torch.arange(1, 10, dtype=torch.uint8).view(1, 1, 3, 3).repeat(200, 1, 1, 1)
    moved = shifted(images, 1, torch.Generator().manual_seed(0))
    kinds = {bytes(i.numpy().tobytes()) for i in moved}
    assert len(kinds) == 9
    down = torch.tensor([[0, 0, 0], [1, 2, 3], [4, 5, 6]], dtype=torch.uint8)
    assert down.numpy().tobytes() in kinds
    assert shifted(images, 0, torch.Generator()) is images


def test_jitter_is_a_line_through_each_image():
    """Brightness and contrast together: pixels -> a * pixels + b, by at most the strength each."""
    ramp = torch.arange(60, 140, dtype=torch.uint8).view(1, 1, 8, 10).repeat(64, 1, 1, 1)
    changed = jittered(ramp, 0.3, torch.Generator().manual_seed(0)).double()
    slope = (changed[:, 0, -1, -1] - changed[:, 0, 0, 0]) / 79
    mean = changed.mean((1, 2, 3)) / ramp.double().mean((1, 2, 3))
    assert 0.68 < mean.min() < 0.75
    assert 1.25 < mean.max() < 1.32
    assert slope.min() < 0.75
    assert slope.min() > 0.7**2 - 0.02
    assert slope.max() < 1.3**2 + 0.02
    assert jittered(ramp, 0.0, torch.Generator()) is ramp


def test_whole_batches_are_shuffled_where_wanted():
    config = TrainConfig(batch=4, shuffle="batches")
    first, second = (epoch_order(config, [10], epoch).view(2, 4).tolist() for epoch in (0, 5))
    composed = {tuple(row) for row in first}
    assert composed == {tuple(row) for row in second}
    orders = {tuple(epoch_order(config, [10], epoch).tolist()) for epoch in range(8)}
    assert len(orders) == 2
    free = {
        tuple(sorted(epoch_order(TrainConfig(batch=4), [10], e)[:4].tolist())) for e in range(8)
    }
    assert len(free) > 2
