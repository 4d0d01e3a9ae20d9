"""train, calibrate, export --fold, verify, evaluate; and what the trainer refuses."""

from __future__ import annotations

import pytest
import torch

TRAIN = ("train", "--model", "digits", "--data", "digits", "--device", "cpu", "--set", "epochs=3",
         "--set", "batch=128", "--set", "threads=1", "--set", "calibration_batches=4")  # fmt: skip


def test_the_whole_road(bnfold, tmp_path):
    run, plain, folded = tmp_path / "run", tmp_path / "plain.onnx", tmp_path / "folded.onnx"
    assert bnfold(*TRAIN, "--out", run).code == 0
    calibrated = bnfold("calibrate", run, "--batches", 8, "--json")
    assert calibrated.json["samples"] == 8 * 128
    assert bnfold("export", run, "-o", plain).code == 0
    export = bnfold("export", run, "-o", folded, "--fold", "--verify", "--json")
    assert export.json["fold"]["after"]["batchnorms"] == 0
    assert bnfold("verify", plain, folded).code == 0
    targets = (run, plain, folded)
    told = [bnfold("evaluate", t, "--data", "digits", "--json").json["accuracy"] for t in targets]
    assert told[0] > 0.9
    assert max(told) - min(told) <= 1 / 360  # one image, where two logits nearly tie
    half = tmp_path / "half.onnx"
    assert bnfold("export", run, "-o", half, "--dtype", "float16").code == 0
    answer = bnfold("evaluate", half, "--data", "digits", "--json")
    assert abs(answer.json["accuracy"] - told[0]) <= 3 / 360


REFUSED = [
    (("--data", "digitz"), 2, "did you mean digits"),
    (("--data", "cifar10"), 6, "cifar-10-batches-py"),
    (("--model", "torchvision:resnet18"), 5, "torchvision=="),
    (("--model", "timm:resnet18"), 5, "timm"),
    (("--weights", "none.pt"), 2, "none.pt"),
    (("--freeze-bn",), 2, "freeze_bn needs weights"),
    (("--set", "accumulate=3"), 2, "accumulate"),
    (("--set", "epocs=3", "--set", "lrr=1", "--set", "batch=x"), 2, "epochs"),
]


@pytest.mark.parametrize(("arguments", "code", "told"), REFUSED, ids=lambda v: str(v)[:50])
def test_refused(bnfold, tmp_path, monkeypatch, arguments, code, told):
    library = str(arguments[-1]).partition(":")[0]
    if code == 5 and _imports(library):
        pytest.skip(f"{library} imports here")
    monkeypatch.setenv("BNFOLD_DATA", str(tmp_path))
    answer = bnfold(*TRAIN, "--out", tmp_path / "run", *arguments)
    assert answer.code == code, answer.err
    assert told in answer.err
    assert not (tmp_path / "run" / "checkpoints").exists()


def _imports(library: str) -> bool:
    try:
        __import__(library)
    except Exception:
        return False
    return True


def test_one_value_per_channel(bnfold, tmp_path, monkeypatch):
    (tmp_path / "onenet.py").write_text(
        "from torch import nn\n"
        "class Pair(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__(); self.norm = nn.BatchNorm1d(64); self.fc = nn.Linear(64, 10)\n"
        "    def forward(self, x):\n"
        "        rows = x.flatten(1)\n"
        "        return self.fc(torch_cat([self.norm(row[None]) for row in rows]))\n"
        "from torch import cat as torch_cat\n"
        "def net():\n    return Pair()\n"
    )
    monkeypatch.chdir(tmp_path)
    answer = bnfold(*TRAIN, "--model", "onenet:net", "--out", tmp_path / "run")
    assert answer.code == 2
    assert "one value per channel" in answer.err


def test_a_checkpoint_with_code_in_it(bnfold, tmp_path):
    run = tmp_path / "run"
    assert bnfold(*TRAIN, "--set", "epochs=1", "--out", run).code == 0
    torch.save({"x": torch.nn.Linear(1, 1)}, tmp_path / "module.pt")
    answer = bnfold(*TRAIN, "--weights", tmp_path / "module.pt", "--out", tmp_path / "other")
    assert answer.code == 6
    next(run.glob("checkpoints/step-*/weights.safetensors")).write_bytes(b"damaged")
    assert bnfold("evaluate", run).code == 6
