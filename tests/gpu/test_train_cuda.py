"""Training and export on CUDA: the accuracy of the CPU, exact resume of the state, same graph."""

from __future__ import annotations

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from bnfold.exporting import export  # noqa: E402
from bnfold.training import evaluate_torch, load_checkpoint, preset, train  # noqa: E402
from tests.training.small import config  # noqa: E402

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device"),
]


def test_digits_reach_their_accuracy(tmp_path):
    done = train(replace(preset("digits"), out=str(tmp_path / "run"), device="cuda"))
    assert done.accuracy >= 0.97
    assert next(done.model.parameters()).device.type == "cpu"
    on_cpu = evaluate_torch(done.folder, device="cpu").accuracy
    assert on_cpu == pytest.approx(done.accuracy, abs=0.006)


def test_bfloat16(tmp_path):
    wanted = replace(preset("digits"), out=str(tmp_path / "run"), precision="bfloat16")
    done = train(replace(wanted, device="cuda"))
    assert done.accuracy >= 0.95
    assert all(t.dtype != torch.bfloat16 for t in done.model.state_dict().values())


def test_metrics_tell_memory(tmp_path):
    records = []
    train(config(tmp_path / "run", device="cuda"), on_step=records.append)
    assert all(record.gpu_mem > 0 for record in records)


def test_a_cuda_checkpoint_loads_without_cuda(tmp_path):
    done = train(config(tmp_path / "run", device="cuda"))
    found = load_checkpoint(done.folder)
    assert all(t.device.type == "cpu" for t in found.model.state_dict().values())
    again = train(config(tmp_path / "run", device="cpu"), existing="resume")
    assert again.steps == done.steps


def test_a_network_on_cuda_is_exported_and_stays_there():
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)).cuda().train()
    got = export(model, (3, 8, 8))
    assert sum(node.op_type == "BatchNormalization" for node in got.graph.node) == 1
    assert model.training
    assert next(model.parameters()).is_cuda


def test_out_of_memory_can_be_resumed(tmp_path):
    """A batch that no GPU holds: exit 7, and the folder is still a run."""
    from bnfold.errors import RunStopped

    limit = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, 2**24 / limit))
    try:
        with pytest.raises(RunStopped) as caught:
            train(config(tmp_path / "run", model="resnet20", device="cuda", batch=1400))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert "out of memory" in caught.value.message
    assert (tmp_path / "run" / "config.json").is_file()
