"""Figure 1 in small: pieces that go on where they stopped, and tables that say what came out."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from bnfold.errors import DataError, UsageError
from bnfold.reproduction import SMOKE, Scale, reproduce_mnist
from bnfold.reproduction.activations import spread
from bnfold.reproduction.mnist import _best
from bnfold.reproduction.piece import Arm, Curve, Kind, Piece
from bnfold.training import Interrupted

TINY = Scale(40, 20, 60, (0.3, 3e38), seeds=(0,), inits=(0.1, 0.01))
PIECE = Piece(Kind.GRID, Arm.BN, 0.1, 0.5, 0, 20, 60)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("figure1") / "run"
    return reproduce_mnist(folder, data="digits", scale=TINY)


def test_every_arm_rate_and_seed_is_there(found):
    assert [c.piece.name for c in found.full] == [
        "full-plain-init0.1-lr0.3-seed0",
        "full-bn-init0.1-lr0.3-seed0",
    ]
    assert {(c.piece.arm, c.piece.lr) for c in found.grid} == {
        (arm, lr) for arm in Arm for lr in TINY.rates
    }
    assert found.best == {Arm.PLAIN: 0.3, Arm.BN: 0.3}
    assert [c.piece.init for c in found.other_init] == [0.01] * 4


def test_a_run_that_diverges_is_a_result(found):
    lost = [c for c in found.grid if c.piece.lr == 3e38 and c.piece.arm is Arm.PLAIN]
    assert "not finite at step" in (lost[0].diverged or "")
    assert "diverged" in (found.folder / "result.md").read_text()


def test_files(found):
    names = {p.name for p in found.folder.iterdir()} - {".lock"}
    assert names == {
        "reproduction.json", "result.json", "result.md", "figure1.png", "grid.png", "pieces", "runs"
    }  # fmt: skip
    told = json.loads((found.folder / "result.json").read_text())
    assert told["full"][1]["steps"] == [10, 20, 30, 40]
    assert len(told["full"][1]["spread"]["percentiles"]) == 4
    assert set(told["full"][1]["steps_to"]) == {"0.9", "0.95", "0.97"}


def test_stopped_and_resumed_is_the_same(found, tmp_path):
    """SIGINT inside the second piece, then the rest: the same numbers."""
    import os
    import signal

    def stop(piece: str) -> None:
        if piece.startswith("full run 2"):
            signal.setitimer(signal.ITIMER_REAL, 0)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises((Interrupted, KeyboardInterrupt)):
        reproduce_mnist(tmp_path / "run", data="digits", scale=TINY, on_piece=stop)
    assert not (tmp_path / "run" / "result.json").exists()
    again = reproduce_mnist(tmp_path / "run", data="digits", scale=TINY, resume=True)
    assert again.full == found.full
    assert again.grid == found.grid


@pytest.mark.parametrize(("resume", "scale"), [
    (False, TINY), (True, replace(TINY, seeds=(1,))), (True, SMOKE),
], ids=["no-resume", "other-seeds", "other-scale"])  # fmt: skip
def test_an_experiment_is_not_overwritten(found, resume, scale):
    with pytest.raises(UsageError):
        reproduce_mnist(found.folder, data="digits", scale=scale, resume=resume)


def test_a_damaged_piece_is_told(found, tmp_path):
    import shutil

    folder = shutil.copytree(found.folder, tmp_path / "run")
    next((folder / "pieces").iterdir()).write_text("{")
    with pytest.raises(DataError):
        reproduce_mnist(folder, data="digits", scale=TINY, resume=True)


def curve(arm: Arm, lr: float, last: float, diverged: str | None = None) -> Curve:
    return Curve(replace(PIECE, arm=arm, lr=lr), (10, 20), (0.5, last), last, diverged)


@pytest.mark.parametrize(("curves", "best"), [
    ([curve(Arm.BN, 0.1, 0.9), curve(Arm.BN, 1.0, 0.91)], 1.0),
    ([curve(Arm.BN, 0.1, 0.9), curve(Arm.BN, 1.0, 0.9)], 0.1),
    ([curve(Arm.BN, 0.1, 0.9), curve(Arm.BN, 1.0, 0.95, "step 3")], 0.1),
    ([curve(Arm.BN, 0.1, 0.9), curve(Arm.PLAIN, 1.0, 1.0), curve(Arm.BN, 1.0, 0.1)], 0.1),
], ids=["higher", "equal-takes-smaller", "diverged-loses", "other-arm-is-no-vote"])  # fmt: skip
def test_best_rate(curves, best):
    assert _best(Arm.BN, tuple(curves), replace(TINY, rates=(0.1, 1.0))) == best


def test_steps_to_a_level():
    found = Curve(PIECE, (10, 20, 30), (0.5, 0.95, 0.9), 0.9)
    assert (found.reached(0.9), found.reached(0.95), found.reached(0.96)) == (20, 20, None)


def test_spread_by_hand():
    """Two units; before step 100 nothing counts; unit 1 widens fourfold, unit 0 not at all."""
    middle = np.array([[9.0, 9.0], [0.0, 0.0], [1.0, 3.0]])
    width = np.array([[50.0, 50.0], [2.0, 1.0], [2.0, 4.0]])
    values = np.stack([middle - width / 2, middle, middle + width / 2], axis=1)
    told = spread((10, 100, 200), values.tolist())
    assert told.width_ratio == pytest.approx(2.5)
    assert told.median_range == pytest.approx(2.0)
    assert told.unit == 0
    assert math.isclose(told.percentiles[2][2], 2.0)
