"""Figures 2 and 3 in small: every net is there, what diverges is a value, the road has an end."""

from __future__ import annotations

import json
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from bnfold.errors import DataError, EnvironmentLacks, UsageError
from bnfold.reproduction import IMAGENET, SMALL, SMALLEST, changed, experiment, reproduce_inception
from bnfold.reproduction.curve import Accuracy
from bnfold.reproduction.experiment import shared_out
from bnfold.reproduction.images import images_of
from bnfold.reproduction.inception import Figure3, best_rate, pieces
from bnfold.reproduction.inception_table import markdown
from bnfold.reproduction.variants import ARMS, MAIN, Kind, Piece, Variant, config_of
from bnfold.training import load_data, preset
from bnfold.training.lock import locked


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("figure3") / "run"
    return reproduce_inception(folder, data="digits", study=SMALLEST, device="cpu")


def test_every_net_and_rate_is_there(found):
    assert [c.piece.variant for c in found.full] == list(Variant)
    assert {(c.piece.variant, c.piece.lr) for c in found.grid} == {
        (net, lr) for net in (Variant.INCEPTION, Variant.BN_BASELINE) for lr in SMALLEST.rates
    }
    assert found.base == 0.01
    assert [c.piece.lr for c in found.full] == [0.01, 0.01, 0.05, 0.3, 0.05, 0.05, 0.01]
    assert all(c.steps == (3, 6) for c in found.full)


def test_a_run_that_diverges_is_a_value(found):
    lost = [c for c in found.grid if c.piece.lr == 3e38]
    assert all(c.diverged in (1, 2, 3) for c in lost)
    assert "| diverged at step" in (found.folder / "result.md").read_text()


def test_the_road_is_gone_to_its_end(found):
    end = found.arrival
    assert end.batchnorms == (69, 0)
    assert end.nodes[0] - end.nodes[1] == 69
    assert end.verdict.startswith("equivalent")
    assert [batch for batch, *_ in end.latency] == [1, 32]
    assert (found.folder / "bn-inception.folded.onnx").is_file()


def test_files_and_json(found):
    names = {p.name for p in found.folder.iterdir() if p.is_file()}
    assert names == {
        "reproduction.json", "result.json", "result.md", "figure2.png", "grid.png",
        "bn-inception.onnx", "bn-inception.folded.onnx",
    }  # fmt: skip
    told = json.loads((found.folder / "result.json").read_text())
    assert told["full"][0]["steps_to_baseline"] in (3, 6)
    assert (told["base_lr"], told["train_images"], told["shape"]) == (0.01, 64, [1, 8, 8])


def test_resuming_a_finished_one_trains_nothing(found, monkeypatch):
    monkeypatch.setattr("bnfold.reproduction.outcome.train", None)
    monkeypatch.setattr("bnfold.reproduction.road_end.export", None)
    again = reproduce_inception(found.folder, data="digits", study=SMALLEST, resume=True)
    assert (again.full, again.grid, again.arrival) == (found.full, found.grid, found.arrival)


@pytest.mark.parametrize(("resume", "study"), [
    (False, SMALLEST), (True, replace(SMALLEST, steps=7)),
], ids=["no-resume", "other-steps"])  # fmt: skip
def test_an_experiment_is_not_overwritten(found, resume, study):
    with pytest.raises(UsageError):
        reproduce_inception(found.folder, data="digits", study=study, resume=resume)


def test_another_piece_in_its_place_is_told(found, tmp_path):
    import shutil

    folder = shutil.copytree(found.folder, tmp_path / "run")
    grid = sorted((folder / "pieces").glob("grid-*.json"))
    grid[0].write_text(grid[1].read_text())
    with pytest.raises(DataError, match="another experiment"):
        reproduce_inception(folder, data="digits", study=SMALLEST, resume=True)


def test_seeds_and_their_order():
    """Every net on the first seed, then the main three on the others."""
    names = [(p.variant, p.seed) for p in pieces(SMALL, 0.01)]
    assert names[:7] == [(net, 0) for net in Variant]
    assert names[7:] == [(net, seed) for seed in (1, 2) for net in MAIN]


@pytest.mark.parametrize("variant", Variant)
def test_small_nets_have_the_presets_options(variant, tmp_path):
    arm = ARMS[variant]
    piece = Piece(Kind.FULL, variant, 0.07, 3)
    small = config_of(piece, SMALL, "x", 10_000, tmp_path, "cpu")
    large = config_of(piece, IMAGENET, "x", 10_000, tmp_path, "cpu")
    assert (large.model, large.steps) == (
        preset(arm.preset).model + arm.options,
        preset(arm.preset).steps,
    )
    assert small.model.replace("-small,width=0.125", "") == large.model
    assert (small.lr, small.seed, small.batch, small.steps) == (0.07, 3, 32, SMALL.steps)
    left = small.decay ** (small.steps / (10_000 // 32) / small.decay_epochs)
    accelerated = variant in (Variant.BN_X5, Variant.BN_X30, Variant.BN_X5_SIGMOID)
    assert left == pytest.approx(0.5**6 if accelerated else 0.5)


def test_the_images_are_a_seeded_choice():
    study = replace(SMALLEST, pixels=4)
    one, two = (images_of("digits", study) for _ in range(2))
    assert (len(one.train), len(one.test), one.shape) == (64, 32, (1, 4, 4))
    assert torch.equal(one.train.images, two.train.images)
    whole = load_data("digits")
    lot = torch.randperm(len(whole.train), generator=torch.Generator().manual_seed(0))[:64]
    assert torch.equal(one.train.labels, whole.train.labels[lot])
    blocks = whole.train.images[lot].float().view(64, 1, 4, 2, 4, 2).mean((3, 5)).round()
    assert torch.equal(one.train.images.float(), blocks)


@pytest.mark.parametrize("change", [
    {"images": 5_000}, {"tests": 5_000}, {"images": 8}, {"images": 0, "batch": 4_000},
], ids=str)  # fmt: skip
def test_too_few_images(change, tmp_path):
    with pytest.raises(DataError, match="images"):
        reproduce_inception(tmp_path / "r", data="digits", study=replace(SMALLEST, **change))
    assert not (tmp_path / "r").exists()


def test_a_device_that_is_not_there_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(EnvironmentLacks):
        reproduce_inception(tmp_path / "r", data="digits", study=SMALLEST, device="cuda")
    assert not (tmp_path / "r").exists()


def test_image_folders_without_a_split(tmp_path):
    from PIL import Image

    for part in ("cats", "dogs"):
        (tmp_path / "set" / part).mkdir(parents=True)
        Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(tmp_path / "set" / part / "x.png")
    with pytest.raises(DataError, match="no folder 'train'") as caught:
        load_data(str(tmp_path / "set"))
    assert "train/CLASS" in (caught.value.hint or "")


def test_a_piece_held_by_another_process_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(experiment, "PAUSE_S", 0.01)
    held, order = threading.Event(), []
    wanted = [Piece(Kind.FULL, Variant.BN_X5, 0.1, seed) for seed in (0, 1)]

    def work(piece: Piece) -> int:
        order.append(piece.seed)
        held.set()
        return piece.seed

    def other() -> None:
        with locked(tmp_path / "held" / wanted[0].name):
            started.set()
            held.wait(10)

    started = threading.Event()
    thread = threading.Thread(target=other)
    thread.start()
    started.wait(10)
    assert shared_out(tmp_path, wanted, work) == {wanted[0]: 0, wanted[1]: 1}
    assert order == [1, 0]
    thread.join()


def curve(variant: Variant, lr: float, *accuracy: float, seed: int = 0, **more: object) -> Accuracy:
    piece = Piece(Kind.FULL, variant, lr, seed)
    steps = tuple(50 * (index + 1) for index in range(len(accuracy)))
    return Accuracy(piece, steps, accuracy, 0.5, **more)


@pytest.mark.parametrize(("last", "best"), [
    ((0.5, 0.7, 0.6), 0.1), ((0.7, 0.7, 0.6), 0.01), ((0.1, 0.2, None), 0.1),
], ids=["highest", "equal-takes-smaller", "diverged-loses"])  # fmt: skip
def test_best_rate(last, best):
    rates = (0.01, 0.1, 1.0)
    grid = [
        curve(Variant.INCEPTION, lr, 0.9, stopped="lost") if a is None
        else curve(Variant.INCEPTION, lr, a)
        for lr, a in zip(rates, last, strict=True)
    ]  # fmt: skip
    grid += [curve(Variant.BN_BASELINE, 1.0, 0.99)]
    assert best_rate(grid, rates) == best


def test_steps_to_the_baseline_are_those_of_the_same_seed(tmp_path):
    full = (
        curve(Variant.INCEPTION, 0.1, 0.2, 0.8, 0.7),
        curve(Variant.INCEPTION, 0.1, 0.2, 0.3, 0.3, seed=1),
        curve(Variant.BN_X5, 0.5, 0.8, 0.9, 0.9),
        curve(Variant.BN_X5, 0.5, 0.1, 0.3, 0.9, seed=1),
        curve(Variant.BN_X30, 3.0, 0.1, 0.2, 0.3),
        curve(Variant.INCEPTION_X5, 0.5, 0.1, diverged=77, stopped="loss is not finite at step 77"),
    )
    told = Figure3(tmp_path, "x", (1, 1), (1, 8, 8), SMALL, 0.1, (), full)
    assert [told.steps_to_baseline(c) for c in full] == [100, 100, 50, 100, None, None]
    rows = [line.split(" | ")[:5] for line in markdown(told).splitlines() if "| bn-x" in line]
    assert [row[3:] for row in rows] == [["50", "0.50"], ["100", "1.00"], ["not reached", ""]]
    assert "| inception-x5 | 0.5 | 0 | diverged at step 77 |" in markdown(told)
    assert "- bn-x5: best 90.00% (90.00% - 90.00%), Inception's best reached on 2 of 2" in markdown(
        told
    )


@pytest.mark.parametrize(("setting", "says"), [
    ("step=3", "hint"), ("steps", "KEY=VALUE"), ("steps=-1", "range"), ("steps=1.5", "number"),
    ("width=nan", "range"), ("rates=", "number"), ("batch=1", "positive"), ("every=0", "positive"),
], ids=str)  # fmt: skip
def test_bad_settings(setting, says):
    with pytest.raises(UsageError) as caught:
        changed(SMALL, [setting])
    assert says in str(caught.value) or (says == "hint" and "steps" in (caught.value.hint or ""))


def test_settings():
    told = changed(SMALL, ["steps=9", "rates=0.1,1", "seeds=4", "width=0.5"])
    assert (told.steps, told.rates, told.seeds, told.width) == (9, (0.1, 1.0), (4,), 0.5)
