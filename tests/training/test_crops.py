"""Views of an image: how many, where they lie, and that their probabilities are averaged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from torch import nn

import bnfold
from bnfold.errors import DataError, UsageError
from bnfold.training import Crops, evaluate_torch, load_data
from bnfold.training.crops import boxes, mirrored, moved, views
from bnfold.training.dataset import Dataset, Split
from bnfold.training.voting import judged, probabilities, votes
from tests.net import Net

RAMP = torch.arange(28 * 28, dtype=torch.int16).remainder(251).to(torch.uint8).view(1, 1, 28, 28)


@pytest.mark.parametrize(("size", "expected"), [
    # (224 px inputs) the landscape's right square, smallest scale: side 256 of 400 in the image
    ((600, 400), {(0, 0, 350, 350), (50, 50, 400, 400), (225, 25, 575, 375), (200, 0, 600, 400)}),
    # the portrait's bottom square
    ((400, 600), {(0, 0, 350, 350), (50, 250, 400, 600), (25, 225, 375, 575), (0, 200, 400, 600)}),
    # at scale 352 a crop is 224/352 of the side
    ((352, 352), {(0, 0, 224, 224), (128, 128, 352, 352), (64, 64, 288, 288), (0, 0, 352, 352)}),
], ids=["landscape", "portrait", "square"])  # fmt: skip
def test_googlenets_boxes(size, expected):
    found = [tuple(round(x, 9) for x in box) for box in boxes(size)]
    assert len(found) == 72
    assert expected <= set(found)
    width, height = size
    for left, top, right, bottom in boxes(size):
        assert right - left == pytest.approx(bottom - top)
        assert min(left, top) >= 0
        assert right <= width + 1e-9
        assert bottom <= height + 1e-9
    wholes = [b for b in found if b[2] - b[0] == min(size)]
    assert len(wholes) == 12  # one a scale and place


def test_shifts_by_hand():
    """Nine places two pixels apart, zeros where nothing was; then each mirrored."""
    found = views(Split(RAMP, torch.tensor([0])), torch.tensor([0]), Crops.SHIFTED_FLIPPED)
    assert found.shape == (1, 18, 1, 28, 28)
    assert torch.equal(found[0, 4], RAMP[0])
    assert torch.equal(found[0, 0, :, 2:, 2:], RAMP[0, :, :-2, :-2])
    assert not found[0, 0, :, :2].any()
    assert torch.equal(found[0, 8, :, :-2, :-2], RAMP[0, :, 2:, 2:])
    assert torch.equal(found[0, 9:], found[0, :9].flip(3))
    assert len({view.numpy().tobytes() for view in found[0]}) == 18


@pytest.mark.parametrize(("side", "pixels"), [(28, 2), (32, 2), (8, 1), (224, 16)])
def test_the_distance_is_a_fourteenth(side, pixels):
    image = torch.full((1, 1, side, side), 9, dtype=torch.uint8)
    assert int((moved(image)[0, 0, 0, :, -1] == 0).sum()) == pixels


@pytest.mark.parametrize("crops", Crops, ids=str)
def test_the_number_is_what_is_made(tmp_path, crops):
    data = folder(tmp_path)
    made = views(data.test, torch.tensor([0, 1]), crops)
    assert made.shape == (2, crops.number, 3, 16, 16)
    assert torch.equal(made, views(data.test, torch.tensor([0, 1]), crops))
    middle = {Crops.SINGLE: 0, Crops.SHIFTED: 4, Crops.SHIFTED_FLIPPED: 4, Crops.GOOGLENET: 10}
    single = data.test.take(torch.tensor([0, 1]))[0]  # GoogLeNet's: the 5th of the 2nd square
    assert torch.equal(made[:, middle[crops]], single)


def test_googlenet_wants_files(tmp_path):
    with pytest.raises(UsageError, match="image files"):
        evaluate_torch(nn.Flatten(), load_data("digits"), crops=Crops.GOOGLENET, device="cpu")
    data = folder(tmp_path)
    data.test.files.paths[1].write_bytes(b"no image")
    with pytest.raises(DataError, match=r"corrupt image.*1\.png"):
        views(data.test, torch.tensor([1]), Crops.GOOGLENET)


@pytest.mark.parametrize("scores", [
    [[2.0, 0.0, 1.0]], [[0.9, 0.3, -0.2]], [[5.0, 5.0, 5.0]], [[0.6, 0.6, 0.0]],
], ids=str)  # fmt: skip
def test_scores_and_their_probabilities_say_the_same(scores):
    wanted = torch.tensor(scores).double().softmax(1)
    assert torch.allclose(probabilities(torch.tensor(scores)), wanted, atol=1e-12)
    for kind in (torch.float32, torch.float16):
        assert torch.allclose(probabilities(wanted.to(kind)), wanted, atol=1e-3)
    assert torch.allclose(probabilities(wanted.log()), wanted, atol=1e-12)


class Corner(nn.Module):
    """Says class 1 where the first pixel is bright, and says so with much less weight than 0."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        bright = (x[:, 0, 0, 0] > 0).double()
        return torch.stack([4 * (1 - bright), bright], 1)


def test_the_mean_over_views_decides():
    """Bright everywhere: 4 of 9 shifts put a zero in the corner's place or keep it bright."""
    pixels = torch.full((3, 1, 28, 28), 255, dtype=torch.uint8)
    split = Split(pixels, torch.tensor([1, 1, 0]))
    data = Dataset("x", split, split, 2, 255, (0.5,), (1.0,))
    single = evaluate_torch(Corner(), data, device="cpu")
    several = evaluate_torch(Corner(), data, device="cpu", crops=Crops.SHIFTED)
    assert (single.accuracy, several.accuracy) == (pytest.approx(2 / 3), pytest.approx(1 / 3))
    assert several.to_dict()["crops"] == "shifted"
    (mean, _), *_ = votes(Corner(), data, split, crops=Crops.SHIFTED, batch=7)  # batches cut views
    dark, bright = torch.tensor([[4.0, 0.0], [0.0, 1.0]]).double().softmax(1)
    assert torch.allclose(mean[0], (5 * dark + 4 * bright) / 9)


def test_modes_come_back():
    model = nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(64, 10)).train()
    evaluate_torch(model, load_data("digits"), device="cpu", crops=Crops.SHIFTED)
    assert all(module.training for module in model.modules())


def test_top_five():
    mean = torch.eye(7)[[0, 1, 2]].double() + torch.linspace(0, 0.1, 7).double()
    told = judged([(mean, torch.tensor([0, 0, 3]))], "x")
    assert (told.accuracy, told.top5) == (pytest.approx(1 / 3), pytest.approx(2 / 3))
    assert judged([(mean[:, :5], torch.tensor([0, 0, 3]))], "x").top5 is None


def test_a_file_says_how_large_its_images_are(tmp_path):
    """A model of 16 pixels, on files: 144 crops of 16, in ONNX Runtime as in torch."""
    data = folder(tmp_path / "set")
    weight = torch.randn(3 * 16 * 16, 2, generator=torch.Generator().manual_seed(0)) / 100
    net = Net()
    x = net.input(["N", 3, 16, 16])
    flat = net.op("Flatten", x)
    net.out(net.op("Gemm", flat, net.init(weight.numpy())))
    onnx.save(net.model(), tmp_path / "m.onnx")
    linear = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 2, bias=False))
    linear[1].weight.data.copy_(weight.T)
    for crops in ("single", "googlenet"):
        told = bnfold.evaluate(tmp_path / "m.onnx", str(tmp_path / "set"), crops=crops)
        wanted = evaluate_torch(linear, data, device="cpu", crops=Crops(crops))
        assert (told.accuracy, told.count) == (wanted.accuracy, 4)


def folder(root: Path) -> Dataset:
    rng = np.random.default_rng(0)
    for part in ("train", "val"):
        for name in ("ant", "bee"):
            (root / part / name).mkdir(parents=True)
            for i, size in enumerate(((40, 30), (30, 50))):
                pixels = rng.integers(0, 256, (*size[::-1], 3), np.uint8)
                Image.fromarray(pixels).save(root / part / name / f"{i}.png")
    data = load_data(str(root), size=16)
    return replace(data, train=data.test)


def test_mirrored_is_its_own_inverse():
    twice = mirrored(mirrored(RAMP[:, None]))
    assert torch.equal(twice[:, 0], twice[:, 3])
