"""CIFAR, npz, image folders, callables, random images: how they load, and what they refuse."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bnfold.errors import DataError, UsageError
from bnfold.training import evaluate_torch, load_data, train
from bnfold.training.decoding import decoded
from bnfold.training.folders import FolderImages
from tests.training.small import config

SHARED = Path(__file__).parents[3] / "shared" / "data"
RNG = np.random.default_rng(0)


def batch(count: int, label: str = "labels") -> dict:
    pixels = RNG.integers(0, 256, (count, 3072), np.uint8)
    return {"data": pixels, label: [i % 3 for i in range(count)]}


def cifar_python(root: Path) -> Path:
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for name, count in (("data_batch_1", 6), ("data_batch_2", 5), ("test_batch", 4)):
        (folder / name).write_bytes(pickle.dumps(batch(count), protocol=2))
    return root


def cifar_binary(root: Path) -> Path:
    folder = root / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    for name, count in (("data_batch_1.bin", 11), ("test_batch.bin", 4)):
        made = batch(count)
        rows = np.column_stack([np.array(made["labels"], np.uint8), made["data"]])
        (folder / name).write_bytes(rows.tobytes())
    return root


def cifar100(root: Path) -> Path:
    folder = root / "cifar-100-python"
    folder.mkdir(parents=True)
    for name, count in (("train", 11), ("test", 4)):
        (folder / name).write_bytes(pickle.dumps(batch(count, "fine_labels")))
    return root


def npz(root: Path) -> Path:
    root.mkdir()
    arrays = {f"x_{part}": RNG.integers(0, 256, (n, 32, 32, 3), np.uint8)
              for part, n in (("train", 11), ("test", 4))}  # fmt: skip
    labels = {"y_train": np.arange(11) % 3, "y_test": np.arange(4) % 3}
    np.savez(root / "set.npz", **arrays, **labels)
    return root / "set.npz"


LAYOUTS = {"python": cifar_python, "binary": cifar_binary, "cifar100": cifar100, "npz": npz}


@pytest.mark.parametrize("make", LAYOUTS.values(), ids=LAYOUTS)
def test_layout(tmp_path, make):
    data = load_data(str(make(tmp_path / "set")))
    assert (len(data.train), len(data.test), data.shape, data.classes) == (11, 4, (3, 32, 32), 3)
    inputs = data.inputs(data.train.take(torch.arange(11))[0])
    assert inputs.mean((0, 2, 3)).abs().max() < 1e-5


@pytest.mark.parametrize("make", [cifar_python, cifar_binary])
@pytest.mark.parametrize("below", ["", "cifar10"])
def test_cifar_by_name(tmp_path, monkeypatch, make, below):
    make(tmp_path / below)
    monkeypatch.setenv("BNFOLD_DATA", str(tmp_path))
    assert len(load_data("cifar10").train) == 11


def test_the_order_of_bytes_is_red_green_blue_rows(tmp_path):
    folder = cifar_python(tmp_path) / "cifar-10-batches-py"
    pixels = np.zeros((4, 3072), np.uint8)
    pixels[0, 1024 + 32 + 1] = 9  # green, second row, second column
    (folder / "test_batch").write_bytes(pickle.dumps({"data": pixels, "labels": [0] * 4}))
    images, _ = load_data(str(tmp_path)).test.take(torch.tensor([0]))
    assert images[0, 1, 1, 1] == 9
    assert images.sum() == 9


class Evil:
    def __reduce__(self):
        return (open, ("pwned", "w"))


SPOILED = {
    "code": pickle.dumps({"data": Evil(), "labels": [0]}),
    "no-labels": pickle.dumps({"data": np.zeros((1, 3072), np.uint8)}),
    "other-width": pickle.dumps({"data": np.zeros((1, 3071), np.uint8), "labels": [0]}),
    "other-count": pickle.dumps({"data": np.zeros((2, 3072), np.uint8), "labels": [0]}),
    "truncated": pickle.dumps(batch(4))[:-100],
    "unknown-class": pickle.dumps(batch(4) | {"labels": [0, 1, 2, 9]}),
}


@pytest.mark.parametrize("data", SPOILED.values(), ids=SPOILED)
def test_spoiled_cifar(tmp_path, monkeypatch, data):
    monkeypatch.chdir(tmp_path)
    (cifar_python(tmp_path) / "cifar-10-batches-py" / "test_batch").write_bytes(data)
    with pytest.raises(DataError):
        load_data(str(tmp_path))
    assert not (tmp_path / "pwned").exists()


def test_missing_cifar_says_what_to_put_where(tmp_path, monkeypatch):
    monkeypatch.setenv("BNFOLD_DATA", str(tmp_path))
    with pytest.raises(DataError, match="cifar-10-batches-py") as caught:
        load_data("cifar10")
    assert str(tmp_path) in (caught.value.hint or "")


def test_npz_with_objects_is_refused(tmp_path):
    np.savez(tmp_path / "set.npz", x_train=np.array([Evil()]), y_train=0, x_test=0, y_test=0)
    with pytest.raises(DataError):
        load_data(str(tmp_path / "set.npz"))


def test_cifar_subset():
    if not (SHARED / "cifar10_subset.npz").is_file():
        pytest.skip(f"no CIFAR-10 subset in {SHARED}")
    data = load_data(str(SHARED / "cifar10_subset.npz"))
    assert (len(data.train), len(data.test), data.shape, data.classes) == (
        300,
        100,
        (3, 32, 32),
        10,
    )


def folders(root: Path) -> Path:
    for part, count in (("train", 8), ("val", 3)):
        for level, name in enumerate(("ant", "bee")):
            folder = root / part / name
            folder.mkdir(parents=True)
            for i in range(count):
                mode, size = ("L", (40, 30)) if i == 0 else ("RGB", (30, 40))
                pixels = np.full(
                    (*size[::-1], *((3,) if mode == "RGB" else ())), 200 * level, np.uint8
                )
                Image.fromarray(pixels).save(folder / f"{i}.{'png' if i % 2 else 'jpg'}")
            (folder / "notes.txt").write_text("not an image")
    return root


def test_image_folders_train_resume_and_evaluate(tmp_path):
    root = folders(tmp_path / "set")
    wanted = {"model": "mobilenet-small", "data": str(root), "size": 16, "batch": 8, "epochs": 3,
              "shift": 0, "flip": True, "calibration_batches": 1}  # fmt: skip
    done = train(config(tmp_path / "run", **wanted))
    again = train(config(tmp_path / "again", **wanted))
    assert done.data.shape == (3, 16, 16)
    assert done.accuracy == 1.0
    pairs = zip(done.model.state_dict().values(), again.model.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert evaluate_torch(done.folder, device="cpu").accuracy == done.accuracy


def decode(path: Path, size: int, seed: int | None) -> np.ndarray:
    return decoded(FolderImages((path,)), 0, size, seed)


def test_a_crop_is_a_function_of_its_seed(tmp_path):
    path = tmp_path / "x.png"
    Image.fromarray(RNG.integers(0, 256, (50, 70, 3), np.uint8)).save(path)
    first, second, other = (decode(path, 20, seed) for seed in (1, 1, 2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_orientation_is_heeded():
    if not (SHARED / "photos").is_dir():
        pytest.skip(f"no photos in {SHARED}")
    upright = decode(SHARED / "photos" / "chelsea.jpg", 64, None).astype(float)
    stored = decode(SHARED / "photos" / "chelsea_exif6.jpg", 64, None).astype(float)
    assert np.abs(upright - stored).mean() < 8  # JPEG's loss; sideways it is 40


STORED = {  # as pillow keeps it, and the value that stands for a middle grey
    "8-bit.png": (np.uint8, 120), "16-bit.png": (np.uint16, 120 * 257),
    "16-bit.tif": (np.uint16, 120 * 257), "16-bit.pgm": (np.uint16, 120 * 257),
}  # fmt: skip


@pytest.mark.parametrize(("name", "stored"), STORED.items(), ids=STORED)
def test_grey_of_any_depth(tmp_path, name, stored):
    """pillow's own conversion cuts 16 bits off at 255: a white image, without a word."""
    kind, value = stored
    pixels = np.full((20, 20), value, kind)
    pixels[:10] = 0
    Image.fromarray(pixels).save(tmp_path / name)
    found = decode(tmp_path / name, 16, None)
    assert found.shape == (3, 16, 16)
    assert (found.min(), found.max()) == (0, 120)


@pytest.mark.parametrize("mode", ["CMYK", "RGBA", "LA", "P", "1"])
def test_any_mode_becomes_rgb(tmp_path, mode):
    path = tmp_path / ("x.jpg" if mode == "CMYK" else "x.png")
    Image.new("RGB", (20, 20), (255, 255, 255)).convert(mode).save(path)
    assert decode(path, 16, None).min() >= 250


def bomb(path: Path) -> None:
    Image.new("1", (20_000, 10_000)).save(path)


IMAGES = {
    "corrupt": lambda p: p.write_bytes(b"no image"),
    "truncated": lambda p: p.write_bytes(p.read_bytes()[:60]),
    "empty": lambda p: p.write_bytes(b""),
    "too-large": bomb,
    "32-bit": lambda p: Image.new("F", (20, 20)).save(p, "TIFF"),
}


@pytest.mark.parametrize("spoil", IMAGES.values(), ids=IMAGES)
def test_a_bad_image_is_named(tmp_path, spoil):
    path = folders(tmp_path) / "val" / "bee" / "1.png"
    spoil(path)
    data = load_data(str(tmp_path), size=16)
    with pytest.raises(DataError) as caught:
        data.test.take(torch.arange(len(data.test)))
    assert caught.value.where == str(path)


def test_folders_that_do_not_fit(tmp_path):
    folders(tmp_path)
    (tmp_path / "val" / "cat").mkdir()
    with pytest.raises(DataError, match="cat"):
        load_data(str(tmp_path))


@pytest.mark.parametrize(("gone", "told"), [("train", "no folder 'train'"), ("val", "'val'")])
def test_a_part_that_is_not_there(tmp_path, gone, told):
    shutil.rmtree(folders(tmp_path) / gone)
    with pytest.raises(DataError, match=told):
        load_data(str(tmp_path))


def test_a_callable(tmp_path, monkeypatch):
    (tmp_path / "mydata.py").write_text(
        "import numpy as np\n"
        "def images():\n"
        "    x = np.zeros((20, 8, 8), np.uint8); x[::2] = 200; y = np.arange(20) % 2\n"
        "    return dict(x_train=x, y_train=y, x_test=x, y_test=y)\n"
        "def wrong():\n    return 3\n"
        "def floats():\n    return {**images(), 'x_test': np.zeros((20, 8, 8))}\n"
    )
    monkeypatch.chdir(tmp_path)
    data = load_data("mydata:images")
    assert (len(data.train), data.shape, data.classes) == (20, (1, 8, 8), 2)
    for name, error in (("wrong", UsageError), ("floats", DataError), ("none", UsageError)):
        with pytest.raises(error):
            load_data(f"mydata:{name}")


@pytest.mark.parametrize(("name", "shape", "classes"), [
    ("fake:3x8x9", (3, 8, 9), 1000), ("fake:1x4x4:7", (1, 4, 4), 7),
])  # fmt: skip
def test_fake(name, shape, classes):
    data = load_data(name)
    assert (data.shape, data.classes) == (shape, classes)


@pytest.mark.parametrize("name", ["fake:", "fake:3x0x8", "fake:3x8x8:0", "fake:3x99999x99999"])
def test_no_fake(name):
    with pytest.raises(UsageError):
        load_data(name)


def test_class_counts_that_do_not_fit(tmp_path):
    done = train(config(tmp_path / "run", epochs=1))
    with pytest.raises(DataError, match="1000 classes"):
        evaluate_torch(done.folder, "fake:1x8x8", device="cpu")
