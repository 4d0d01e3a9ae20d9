"""Networks and data of the user's own: what their code raises, and what does not fit, is told."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
import torch

from bnfold.errors import DataError, RunStopped, UsageError
from bnfold.training import evaluate_torch, load_checkpoint, load_data, train, vision
from bnfold.training.networks import build, refuse_misfit
from tests.training.small import config

NETS = """
import torch
from torch import nn

def three(classes=3, inside=64):
    return nn.Sequential(
        nn.Flatten(), nn.Linear(inside, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, classes)
    )

def narrow(): return three(2)
def wide(): return three(12)
def other_size(classes): return three(classes, 100)
def raising(): raise KeyError("my own mistake")
def wanting(depth): return three()

class Pair(nn.Module):
    def __init__(self, always):
        super().__init__()
        self.net, self.always = three(10), always
    def forward(self, x):
        scores = self.net(x)
        return (scores, x) if self.always or self.training else scores

def pair(): return Pair(True)
def pair_in_training(): return Pair(False)
def one_value(): return nn.Sequential(nn.AdaptiveAvgPool2d(1), Whole(), three(10, 1))

class Whole(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(1)
    def forward(self, x):
        return x + self.norm(x.mean((0, 1, 2, 3), keepdim=True))

def lazy(classes):
    return nn.Sequential(
        nn.Flatten(), nn.LazyLinear(8), nn.LazyBatchNorm1d(), nn.ReLU(), nn.Linear(8, classes)
    )

class Later(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.net, self.steps = three(classes), 0
    def forward(self, x):
        self.steps += self.training
        return self.net(x) if self.steps < 6 or not self.training else self.net(x) / 0 * 0

def images(): raise FileNotFoundError("no such thing")
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    (tmp_path / "ownnets.py").write_text(NETS)
    (tmp_path / "halfnets.py").write_text("def net(:\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("ownnets", "halfnets"):
        monkeypatch.delitem(sys.modules, name, raising=False)


REFUSED = {
    "ownnets:narrow": (DataError, r"gives \(2, 2\) for 2 images, not \(2, 10\)"),
    "ownnets:other_size": (DataError, "does not take images of 1x8x8: RuntimeError: mat1"),
    "ownnets:raising": (UsageError, "raised KeyError: 'my own mistake'"),
    "ownnets:wanting": (UsageError, "raised TypeError: .*depth"),
    "ownnets:pair": (UsageError, "gives tuple, not a tensor of scores"),
    "ownnets:pair_in_training": (UsageError, "gives tuple in training"),
    "ownnets:one_value": (UsageError, "one value per channel"),
    "halfnets:net": (UsageError, "cannot import 'halfnets': SyntaxError"),
    "densenet121": (DataError, "does not take images of 1x8x8"),
}


@pytest.mark.parametrize(("name", "error", "told"), [(n, *r) for n, r in REFUSED.items()],
                         ids=REFUSED)  # fmt: skip
def test_refused_in_one_line_and_the_folder_is_free(tmp_path, name, error, told):
    """Whoever mends the network gives the same command again: no run is in the way."""
    with pytest.raises(error, match=told) as caught:
        train(config(tmp_path / "run", model=name))
    assert "\n" not in caught.value.message
    assert train(config(tmp_path / "run", epochs=1)).steps == 4


def test_what_is_not_finite_between_the_layers_is_the_networks(tmp_path):
    with pytest.raises(RunStopped, match="at step 6, first in layer 'Later'"):
        train(config(tmp_path / "run", model="ownnets:Later"))
    assert load_checkpoint(tmp_path / "run").step == 4


def test_classifiers_of_torchvision_without_side_exits(monkeypatch):
    """A stand-in, since torchvision may be absent: GoogLeNet and Inception v3 take these two."""

    class Exits(torch.nn.Linear):
        def __init__(self, num_classes=1000, aux_logits=True, init_weights=None):
            super().__init__(4, num_classes)
            self.asked = aux_logits, init_weights

    def exits(*, weights=None, **options):
        return Exits(**options)

    exits.__annotations__["return"] = Exits

    models = ModuleType("torchvision.models")
    models.list_models = lambda module=None: ["exits"] if module else ["exits", "flow"]
    models.get_model_builder = lambda _: exits
    models.get_model = lambda _, **options: exits(**options)
    library = ModuleType("torchvision")
    library.models = models
    monkeypatch.setitem(sys.modules, "torchvision", library)
    monkeypatch.setitem(sys.modules, "torchvision.models", models)
    made = vision.build("torchvision:exits", classes=7, channels=3)
    assert (made.out_features, made.asked) == (7, (False, True))
    with pytest.raises(UsageError, match="no network 'flow'"):
        vision.check("torchvision:flow")


def test_data_that_raise():
    with pytest.raises(UsageError, match="raised FileNotFoundError: no such thing"):
        load_data("ownnets:images")


def test_a_network_that_the_first_input_shapes(tmp_path):
    done = train(config(tmp_path / "run", model="ownnets:lazy", epochs=1))
    assert evaluate_torch(done.folder, device="cpu").accuracy == done.accuracy


def test_more_scores_than_classes_are_told(caplog):
    model = build("ownnets:wide", classes=10, channels=1, size=(8, 8))
    refuse_misfit(model, "ownnets:wide", classes=10, channels=1, size=(8, 8))
    assert "12 scores for 10 classes" in caplog.text
    assert model.training
    assert model(torch.zeros(2, 1, 8, 8)).requires_grad
