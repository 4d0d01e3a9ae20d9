"""A deployed folder: what is in it, what its check says, and what each refusal is."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

import bnfold
from bnfold.deployment.smoke.seal import sealed
from bnfold.errors import CheckFailed, DataError, EnvironmentLacks, UsageError
from tests.build import make_model, node, tensor, value
from tests.deployment.nets import net, saved


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("deployed")
    bnfold.deploy(net(folder / "m.onnx"), folder / "d", target="ort:1.16", batches=(1, 4))
    return folder / "d"


@pytest.fixture
def deployed(once: Path, tmp_path: Path) -> Path:
    """A copy of one deployment."""
    import shutil

    return Path(shutil.copytree(once, tmp_path / "d"))


def files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_what_is_in_it(once: Path) -> None:
    told = json.loads((once / "manifest.json").read_text())
    assert {"check.py", "golden.npz", "manifest.json", "model.onnx"} < set(files(once))
    assert "test_data_set_0/input_0.pb" in files(once)
    assert not [name for name in files(once) if name.endswith(".data")]
    assert told["schema"] == "bnfold.deployment/1"
    assert set(told["files"]) == set(files(once)) - {"manifest.json"}
    assert told["verification"]["ok"]
    assert told["source"]["batchnorms"] == {"before": 1, "after": 0}
    assert told["inputs"] == [{"name": "x", "dtype": "float32", "shape": ["n", 3, 8, 8]}]
    assert {case["batch"] for case in told["golden"]["cases"]} == {1, 4}


def test_the_golden_answers_are_the_truth(once: Path) -> None:
    """In both layouts, within float32 rounding of onnx's own reference in float64."""
    from onnx.reference import ReferenceEvaluator

    model = onnx.load(once / "model.onnx")
    case = once / "test_data_set_0"
    x = onnx.numpy_helper.to_array(onnx.load_tensor(case / "input_0.pb"))
    y = onnx.numpy_helper.to_array(onnx.load_tensor(case / "output_0.pb"))
    got = ReferenceEvaluator(model).run(None, {"x": x})[0]
    np.testing.assert_allclose(y, got, rtol=1e-4, atol=1e-5)
    stored = np.load(once / "golden.npz")
    assert np.array_equal(stored["case0_input0"], x)
    assert np.array_equal(stored["case0_output0"], y)


def test_the_same_bytes_again(once: Path, tmp_path: Path) -> None:
    bnfold.deploy(net(tmp_path / "m.onnx"), tmp_path / "d", target="ort:1.16", batches=(1, 4))
    assert files(tmp_path / "d") == files(once)
    for name in files(once):
        assert (tmp_path / "d" / name).read_bytes() == (once / name).read_bytes(), name


def test_check_holds_in_both_forms(deployed: Path) -> None:
    """bnfold's own and the folder's check.py find the same."""
    report = bnfold.check(deployed)
    assert report.ok
    assert set(report.nodes) == {"CPUExecutionProvider"}
    assert report.timing["median_ms"] > 0
    done = subprocess.run(
        [sys.executable, "-I", deployed / "check.py", "--json"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    ours = [finding["sentence"] for finding in report.to_dict()["findings"]]
    assert [finding["sentence"] for finding in told["findings"]] == ours


def test_one_byte_of_each_file(deployed: Path) -> None:
    """Whichever file it is, the check names it; so does a missing one."""
    for name in files(deployed):
        path = deployed / name
        good = path.read_bytes()
        for place in {0, len(good) // 2, len(good) - 1}:
            path.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
            assert name in outcome(deployed), name
        path.unlink()
        assert name in outcome(deployed)
        path.write_bytes(good)
    assert bnfold.check(deployed, runs=1).ok


def outcome(folder: Path) -> str:
    """What the check says that fails, with where."""
    try:
        report = bnfold.check(folder, runs=1)
    except (CheckFailed, DataError) as error:
        return f"{error.message} {error.where}"
    assert not report.ok
    return report.sentence


def test_a_wrong_answer_fails(deployed: Path) -> None:
    """A model that departs, under hashes that say all is well."""
    model = onnx.load(deployed / "model.onnx")
    bias = next(t for t in model.graph.initializer if t.name == "b")
    bias.CopyFrom(onnx.numpy_helper.from_array(np.full(5, 1e-3, np.float32), "b"))
    onnx.save(model, deployed / "model.onnx")
    reseal(deployed, {})
    report = bnfold.check(deployed, runs=1)
    assert not report.ok
    assert "tolerance at output 'y'" in report.sentence


def reseal(folder: Path, changes: dict[str, object]) -> None:
    """The manifest with other content and true hashes."""
    told = json.loads((folder / "manifest.json").read_text())
    from bnfold.deployment.smoke.seal import sha256_of_file

    for name in told["files"]:
        path = folder / name
        told["files"][name] = {
            "bytes": path.stat().st_size,
            "sha256": sha256_of_file(str(path)),
        }
    told.update(changes, seal="0" * 64)
    (folder / "manifest.json").write_bytes(sealed(json.dumps(told, indent=2)))


def renamed_golden(folder: Path) -> None:
    told = json.loads((folder / "manifest.json").read_text())
    golden = told["golden"]
    for case in golden["cases"]:
        case["inputs"][0]["name"] = "image"
    reseal(folder, {"golden": golden})


def other_shape(folder: Path) -> None:
    stored = dict(np.load(folder / "golden.npz"))
    stored["case0_input0"] = stored["case0_input0"][:, :2]
    np.savez(folder / "golden.npz", **stored)
    reseal(folder, {})


BAD_FOLDERS: list[tuple[str, Callable[[Path], object], int, str]] = [
    ("other-schema", lambda d: reseal(d, {"schema": "bnfold.deployment/9"}), 6, "schema"),
    ("no-json", lambda d: (d / "manifest.json").write_text("{"), 6, "manifest.json is damaged"),
    ("no-manifest", lambda d: (d / "manifest.json").unlink(), 4, "manifest.json is missing"),
    ("lacks-golden", lambda d: reseal(d, {"golden": {}}), 6, "lacks"),
    ("golden-names", renamed_golden, 6, "the model takes x"),
    ("golden-shape", other_shape, 6, "does not fit the model"),
]


@pytest.mark.parametrize(
    ("spoil", "code", "word"), [b[1:] for b in BAD_FOLDERS], ids=[b[0] for b in BAD_FOLDERS]
)
def test_bad_folder(deployed: Path, spoil: Callable[[Path], object], code: int, word: str) -> None:
    spoil(deployed)
    with pytest.raises(bnfold.BnfoldError) as caught:
        bnfold.check(deployed)
    assert caught.value.exit_code == code
    assert word in str(caught.value)


def test_a_provider_expected_and_absent(deployed: Path) -> None:
    """TensorRT loads nowhere in a test environment; with CUDA behind it, it may load."""
    with pytest.raises(EnvironmentLacks, match="Tensorrt"):
        bnfold.check(deployed, provider="tensorrt")


@pytest.mark.parametrize("target", ["ort:1.9", "tvm:1.0", "ort:9.9", "ort:1.18.x", ""])
def test_unknown_target(tmp_path: Path, target: str) -> None:
    with pytest.raises(UsageError):
        bnfold.deploy(net(tmp_path / "m.onnx"), tmp_path / "d", target=target)
    assert not (tmp_path / "d").exists()


def test_lowered_to_an_old_runtime(tmp_path: Path) -> None:
    """Opset 21 and IR 10 become what 1.16 takes, and what it does is the same."""
    model = net(tmp_path / "m.onnx", opset=21, ir=10)
    made = bnfold.deploy(model, tmp_path / "d", target="ort:1.16")
    stored = onnx.load(tmp_path / "d" / "model.onnx")
    assert stored.ir_version == 9
    assert stored.opset_import[0].version == 19
    assert made.verdict.ok


@pytest.mark.parametrize("target", ["ort:1.18", "ort:1.32"])
def test_what_onnx_stamps_today(tmp_path: Path, target: str) -> None:
    """IR 14 and opset 28, as onnx 1.23 writes by itself: older runtimes cannot even load it."""
    model = net(tmp_path / "m.onnx", opset=28, ir=14)
    bnfold.deploy(model, tmp_path / "d", target=target)
    assert bnfold.check(tmp_path / "d", runs=1).ok
    stored = onnx.load(tmp_path / "d" / "model.onnx")
    assert stored.opset_import[0].version <= 28
    assert target != "ort:1.18" or (stored.ir_version, stored.opset_import[0].version) == (10, 21)


def test_a_target_too_old_names_the_operator(tmp_path: Path) -> None:
    """Gelu came with opset 20; nothing before has it."""
    path = saved(
        [node("Gelu", ["x"], "y", approximate="tanh")], [], tmp_path / "m.onnx", opset=20, ir=9
    )
    (tmp_path / "d").mkdir()
    with pytest.raises(CheckFailed, match=r"Gelu \(opset 20\)"):
        bnfold.deploy(path, tmp_path / "d", target="ort:1.16")
    assert list((tmp_path / "d").iterdir()) == []


def test_only_a_deployment_is_replaced(tmp_path: Path, deployed: Path) -> None:
    before = (deployed / "manifest.json").read_bytes()
    other = tmp_path / "site"
    other.mkdir()
    (other / "manifest.json").write_text('{"name": "a web page"}')
    with pytest.raises(UsageError):
        bnfold.deploy(net(tmp_path / "m.onnx"), other)
    assert files(other) == ["manifest.json"]
    bad = saved([node("Gelu", ["x"], "y")], [], tmp_path / "g.onnx", opset=20, ir=9)
    with pytest.raises(CheckFailed):
        bnfold.deploy(bad, deployed, target="ort:1.16")
    assert (deployed / "manifest.json").read_bytes() == before
    bnfold.deploy(net(tmp_path / "m.onnx"), deployed, target="ort:1.18")
    assert json.loads((deployed / "manifest.json").read_text())["runtime"]["target"] == "1.18"


def test_open_sizes_are_tried_as_verify_tries_them(tmp_path: Path) -> None:
    """A Conv that takes no fewer samples than its 300 taps."""
    w = np.random.default_rng(1).normal(size=(2, 1, 300)).astype(np.float32)
    ports = [value("x", ["n", 1, "samples"])], [value("y", ["n", 2, "k"])]
    model = make_model([node("Conv", ["x", "w"], "y")], *ports, [tensor("w", w)], ir=8)
    onnx.save(model, tmp_path / "m.onnx")
    bnfold.deploy(tmp_path / "m.onnx", tmp_path / "d", batches=(1,))
    assert np.load(tmp_path / "d" / "golden.npz")["case0_input0"].shape == (1, 1, 512)
