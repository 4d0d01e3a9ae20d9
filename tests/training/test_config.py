"""Overrides, presets, and every mistake told at once."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest
import torch

from bnfold.errors import UsageError
from bnfold.training import PRESETS, TrainConfig, override, preset
from bnfold.training.config import from_dict, validated
from bnfold.training.schedule import learning_rate
from bnfold_models import create


@pytest.mark.parametrize(("setting", "key", "value"), [
    ("lr=0.5", "lr", 0.5), ("epochs=7", "epochs", 7), ("nesterov=no", "nesterov", False),
    ("schedule=step", "schedule", "step"), ("out=", "out", None), ("out=a=b", "out", "a=b"),
    ("seed=3", "seed", 3),
])  # fmt: skip
def test_override(setting, key, value):
    assert getattr(override(TrainConfig(), [setting]), key) == value


def test_all_bad_settings_at_once_with_the_nearest_right_ones():
    bad = ["learning_rte=1", "epoch=3", "lr=fast", "nesterov=maybe", "schedule=cosin", "batch"]
    with pytest.raises(UsageError) as caught:
        override(TrainConfig(), bad)
    for told in (
        "learning_rte",
        "did you mean epochs",
        "lr=fast",
        "nesterov=maybe",
        "cosine",
        "'batch'",
    ):
        assert told in caught.value.message


@pytest.mark.parametrize("settings", [
    ["epochs=0"], ["batch=1"], ["lr=0"], ["lr=nan"], ["momentum=1"], ["warmup=1"], ["shift=-1"],
    ["seed=-1"], ["keep=0"], ["momentum=0"], ["label_smoothing=1"], ["decay=0"],
], ids=str)  # fmt: skip
def test_values_out_of_range(settings):
    with pytest.raises(UsageError):
        override(TrainConfig(), settings)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_valid(name):
    assert validated(preset(name)) == preset(name)


def test_the_papers_changes():
    """Section 4.2.1 and 4.2.2, change by change."""
    plain, base, x5, x30, sigmoid = map(
        preset, ("inception", "bn-baseline", "bn-x5", "bn-x30", "bn-x5-sigmoid")
    )
    assert [c.lr for c in (plain, base, x5, x30, sigmoid)] == pytest.approx(
        [0.0015, 0.0015, 0.0075, 0.045, 0.0075]
    )
    assert replace(base, model=plain.model) == plain
    assert (x5.weight_decay, x5.decay_epochs) == pytest.approx(
        (plain.weight_decay / 5, plain.decay_epochs / 6)
    )
    assert (plain.shuffle, x5.shuffle, x5.jitter < plain.jitter) == ("batches", "auto", True)
    with torch.device("meta"):
        models = [create(c.model) for c in (plain, base, x5)]
    assert [m.dropout.p for m in models] == [0.4, 0.4, 0.0]
    assert [hasattr(m.stem, "lrn1") for m in models] == [True, True, False]
    assert {c.batch for c in (plain, base, x5, x30, sigmoid)} == {32}
    assert replace(x30, lr=x5.lr) == x5 == replace(sigmoid, model=x5.model)


def test_unknown_preset():
    with pytest.raises(UsageError) as caught:
        preset("digit")
    assert "digits" in (caught.value.hint or "")


def test_config_survives_json():
    config = TrainConfig(lr=0.3, out="x")
    assert from_dict(config.to_dict()) == config


@pytest.mark.parametrize("change", [{"schema": "other/1"}, {"lr": -1}, {"colour": 1}], ids=str)
def test_foreign_config(change):
    with pytest.raises(ValueError):
        from_dict(TrainConfig().to_dict() | change)


def test_default_folder():
    assert str(TrainConfig().folder()) == "runs/digits-digits"
    assert str(TrainConfig(data="/data/mnist", model="a.b:c").folder()) == "runs/a.b-c-mnist"


SCHEDULES = [
    ("constant", [1.0, 1.0, 1.0, 1.0]),
    ("step", [1.0, 1.0, 0.5, 0.5]),
    ("exponential", [1.0, 0.5**0.5, 0.5, 0.5**1.5]),
    ("cosine", [1.0, 0.5 + 0.5**1.5, 0.5, 0.5 - 0.5**1.5]),
]


@pytest.mark.parametrize(("schedule", "wanted"), SCHEDULES, ids=[s for s, _ in SCHEDULES])
def test_schedule(schedule, wanted):
    config = TrainConfig(lr=1.0, schedule=schedule, warmup=0.0, decay=0.5)
    assert [learning_rate(config, step, 4, 2) for step in range(4)] == pytest.approx(wanted)


def test_warmup_climbs_to_the_peak():
    config = TrainConfig(lr=1.0, schedule="constant", warmup=0.4)
    rates = [learning_rate(config, step, 10, 5) for step in range(6)]
    assert rates == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0, 1.0])


def test_every_key_is_plain():
    assert all(
        isinstance(v, (str, int, float, bool, type(None))) for v in asdict(TrainConfig()).values()
    )
