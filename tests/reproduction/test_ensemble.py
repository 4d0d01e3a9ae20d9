"""Figure 4 in small: nets that are trained once and asked once, means that are means, one graph."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bnfold.errors import DataError, RunStopped, UsageError
from bnfold.reproduction import IMAGENET_SIX, SMALL_SIX, SMALLEST_TWO, reproduce_ensemble
from bnfold.reproduction.ensemble import Figure4, crops_for
from bnfold.reproduction.ensemble_table import markdown
from bnfold.reproduction.images import images_of
from bnfold.reproduction.nets import CHANGES, Net, Trained, nets
from bnfold.reproduction.road_end import Arrival
from bnfold.reproduction.tally import by_size, mean_of, rows
from bnfold.training import Crops, evaluate_torch, preset
from bnfold_cli.main import run as call

NAMES = [f"net-{change}-lr0.009-seed{seed}" for seed, change in enumerate(CHANGES[:2])]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smoke of CI, by its command."""
    out = tmp_path_factory.mktemp("figure4") / "run"
    words = ["-q", "reproduce", "ensemble", "--smoke", "--device", "cpu", "--out", str(out)]
    assert call(words) == 0
    return out


def again(folder: Path) -> Figure4:
    return reproduce_ensemble(
        folder, data="digits", study=SMALLEST_TWO, device="cpu", resume=True
    )  # fmt: skip


def test_files(folder):
    assert {p.name for p in folder.iterdir() if p.is_file()} == {
        "reproduction.json", "result.json", "result.md", "figure4.png", "ensemble.onnx",
        "ensemble.folded.onnx",
    }  # fmt: skip
    assert sorted(p.name for p in (folder / "runs").iterdir()) == sorted(NAMES)


def test_resuming_asks_no_net_again(folder, monkeypatch):
    told = json.loads((folder / "result.json").read_text())
    monkeypatch.setattr("bnfold.reproduction.outcome.train", None)
    monkeypatch.setattr("bnfold.reproduction.nets.votes", None)
    monkeypatch.setattr("bnfold.reproduction.road_end.export", None)
    assert json.loads(json.dumps(again(folder).to_dict())) == told


def test_the_rows_are_what_evaluate_says(folder):
    """A net's own errors, on one crop and on several, by the other way to them."""
    found = again(folder)
    data = images_of("digits", SMALLEST_TWO)
    for crops in (Crops.SINGLE, Crops.SHIFTED_FLIPPED):
        told = [evaluate_torch(folder / "runs" / name, data, crops=crops) for name in NAMES]
        assert found.alone[crops] == pytest.approx([1 - t.accuracy for t in told])
        row = next(r for r in found.rows if r.crops is crops and r.models == 1)
        assert row.top1 == pytest.approx(np.mean(found.alone[crops]))
        assert row.top5 == pytest.approx(np.mean([1 - (t.top5 or 0) for t in told]))


def test_the_road_of_all_nets_as_one(folder):
    end = again(folder).arrival
    assert end is not None
    assert (end.batchnorms, end.staying) == ((138, 0), ())  # at 8 pixels 5b has one place a map
    assert end.verdict.startswith("equivalent")
    assert "| BatchNorms | 138 | 0 |" in (folder / "result.md").read_text()


@pytest.mark.parametrize(("resume", "study"), [
    (False, SMALLEST_TWO), (True, replace(SMALLEST_TWO, steps=7)),
], ids=["no-resume", "other-steps"])  # fmt: skip
def test_an_experiment_is_not_overwritten(folder, resume, study):
    with pytest.raises(UsageError):
        reproduce_ensemble(folder, data="digits", study=study, resume=resume)


@pytest.mark.parametrize("spoilt", ["pieces/{}.json", "votes/{}-single.npy"])
def test_a_damaged_piece_is_told(folder, tmp_path, spoilt):
    copy = Path(shutil.copytree(folder, tmp_path / "run"))
    (copy / spoilt.format(NAMES[1])).write_bytes(b"{")
    with pytest.raises(DataError) as caught:
        again(copy)
    assert NAMES[1] in (caught.value.where or "")


def test_votes_of_other_images_are_told(folder, tmp_path):
    copy = Path(shutil.copytree(folder, tmp_path / "run"))
    np.save(copy / "votes" / f"{NAMES[0]}-single.npy", np.zeros((3, 10), np.float32))
    with pytest.raises(DataError, match=r"shape \(3, 10\)"):
        again(copy)


def test_every_net_diverges(tmp_path):
    study = replace(SMALLEST_TWO, base=1e37, seeds=(0,))
    with pytest.raises(RunStopped, match=r"every net diverged: .*not finite at step"):
        reproduce_ensemble(tmp_path / "r", data="digits", study=study, device="cpu")
    told = json.loads((tmp_path / "r" / "result.json").read_text())
    assert "not finite" in told["nets"][0]["stopped"]
    assert "not finite" in (tmp_path / "r" / "result.md").read_text()


def test_too_few_images(tmp_path):
    study = replace(SMALLEST_TWO, images=5_000)
    with pytest.raises(DataError, match="images"):
        reproduce_ensemble(tmp_path / "r", data="digits", study=study)


def test_the_papers_nets(tmp_path):
    """Six, at 30 times the rate, each BN-x30 but for its changes; a seventh begins anew."""
    assert len(set(nets(IMAGENET_SIX))) == 6
    assert {net.lr for net in nets(IMAGENET_SIX)} == {0.045}
    large = nets(IMAGENET_SIX)[1].config(IMAGENET_SIX, "x", 1_281_167, tmp_path, "cpu")
    assert large == replace(
        preset("bn-x30"), model="bn-inception,per_activation=1", seed=1, data="x",
        out=str(tmp_path), device="cpu", keep=1,
    )  # fmt: skip
    small = nets(SMALL_SIX)[5].config(SMALL_SIX, "x", 10_000, tmp_path, "cpu")
    assert small.model == "bn-inception-small,width=0.125,dropout=0.1,per_activation=1"
    assert (small.lr, small.steps, small.shift) == (0.09, SMALL_SIX.steps, 1)
    assert nets(replace(SMALL_SIX, seeds=tuple(range(7))))[6].changes == CHANGES[0]


def test_what_stays_is_told():
    end = Arrival("x", (9, 8), (3, 2), "equivalent", (), (), (("axis-mismatch", 2),))
    found = Figure4(Path("x"), "x", (1, 4), (1, 8, 8), SMALL_SIX, (ONE,), ALONE, (), {}, end)
    assert "there stay 2 `axis-mismatch`" in markdown(found)


ALONE = {Crops.SINGLE: (0.5,), Crops.SHIFTED: (0.5,)}
ONE = Trained(Net("per_activation=1", 0.1, 0), 0.5)
LABELS = np.array([0, 1, 2, 0])
SURE = np.eye(3, dtype=np.float32)
TIMID = np.float32(0.8) * SURE + np.float32(0.1 / 3 * 2)


def votes(*said: int, kind: np.ndarray = SURE) -> np.ndarray:
    return kind[list(said)]


def test_rows_by_hand():
    """Errors of 1/4 and 3/4 alone; together the sure one decides."""
    told = {
        Crops.SINGLE: [votes(0, 1, 2, 1), votes(0, 2, 0, 1, kind=TIMID)],
        Crops.SHIFTED: [votes(0, 1, 2, 0), votes(0, 2, 0, 1)],
    }
    one, several, two, both = rows(told, LABELS)
    assert (one.top1, one.low, one.high, one.gain) == (0.5, 0.25, 0.75, 0)
    assert (several.top1, several.gain) == (0.375, 0.125)
    # right by image 1, 1/2, 1/2, 1/2 instead of 1, 1/2, 1/2, 0
    assert several.gain_error == pytest.approx(np.std([0, 0, 0, 0.5]) / 2)
    assert (two.models, two.top1, two.gain) == (2, 0.25, 0.25)
    assert both.models == 2
    assert (one.paper, two.paper, one.top5) == ((0.252, 0.0782), None, None)


def test_one_net_is_no_ensemble():
    told = {crops: [votes(0, 1, 2, 1)] for crops in (Crops.SINGLE, Crops.SHIFTED)}
    assert [row.models for row in rows(told, LABELS)] == [1, 1]


def test_the_mean_is_arithmetic():
    a, b = np.array([[0.6, 0.4]], np.float32), np.array([[0.1, 0.9]], np.float32)
    assert np.allclose(mean_of([a, b]), [[0.35, 0.65]])


def test_errors_by_size():
    right, wrong = votes(0, 1, 2, 0), votes(1, 2, 0, 1, kind=TIMID)
    assert by_size([right, wrong, right], LABELS) == pytest.approx((1 / 3, 0, 0))


def test_crops_that_the_images_allow(tmp_path):
    from tests.training.test_crops import folder

    assert crops_for(folder(tmp_path)) is Crops.GOOGLENET
    assert crops_for(images_of("digits", SMALLEST_TWO)) is Crops.SHIFTED_FLIPPED


def test_a_net_that_diverged_does_not_vote():
    some = tuple(
        Trained(Net(change, 0.1, seed), 0.5, stop)
        for seed, (change, stop) in enumerate([("gain=2", None), ("dropout=0.1", "lost at step 3")])
    )
    told = {Crops.SINGLE: [votes(0, 1, 2, 1)], Crops.SHIFTED: [votes(0, 1, 2, 0)]}
    found = Figure4(
        Path("x"), "x", (1, 4), (1, 8, 8), SMALL_SIX, some,
        {Crops.SINGLE: (0.25,), Crops.SHIFTED: (0.0,)}, rows(told, LABELS), {},
    )  # fmt: skip
    assert found.voting == some[:1]
    assert "| gain=2 | 0 | 25.00% | 0.00% |\n| dropout=0.1 | 1 | lost at step 3 |  |" in markdown(
        found
    )
