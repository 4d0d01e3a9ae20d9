"""Inputs that users bring: images, archives of many cases, and the way back from --save-inputs."""

from __future__ import annotations

import numpy as np
import pytest

from bnfold import errors
from bnfold.verification import verify
from bnfold.verification.brought import brought
from bnfold.verification.cases import generated
from bnfold.verification.images import DEVIATION, MEAN
from bnfold.verification.subject import Port
from tests.verification import nets

Image = pytest.importorskip("PIL.Image")
FLOAT, BYTES = 1, 2


def port(*dims, elem_type=FLOAT):
    return [Port("x", elem_type, dims)]


@pytest.fixture
def folder(tmp_path):
    """A wide image, red on the left and blue on the right, and a grey one in a class's folder."""
    wide = np.zeros((20, 40, 3), np.uint8)
    wide[:, :20, 0] = 255
    wide[:, 20:, 2] = 255
    Image.fromarray(wide).save(tmp_path / "a.png")
    (tmp_path / "cat").mkdir()
    Image.fromarray(np.full((30, 30), 51, np.uint8)).save(tmp_path / "cat" / "b.jpg")
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


def test_images_are_cut_from_the_centre_and_normalised(folder):
    first, second = brought(folder, port("n", 3, 10, 10))
    assert (first.name, second.name) == ("a.png", "cat/b.jpg")
    x = first.feeds["x"]
    assert x.shape == (1, 3, 10, 10)
    assert x.dtype == np.float32
    red = (np.array([1.0, 0.0, 0.0]) - MEAN) / DEVIATION
    np.testing.assert_allclose(x[0, :, 5, 1], red, rtol=1e-5)
    grey = (0.2 - np.array(MEAN)) / DEVIATION
    np.testing.assert_allclose(second.feeds["x"][0, :, 5, 5], grey, atol=0.02)


@pytest.mark.parametrize(
    ("ports", "shape", "dtype"),
    [
        (port(1, 8, 6, 3), (1, 8, 6, 3), np.float32),
        (port("n", 1, 8, 6), (1, 1, 8, 6), np.float32),
        (port("n", 3, "h", "w", elem_type=BYTES), (1, 3, 224, 224), np.uint8),
    ],
)
def test_layouts(folder, ports, shape, dtype):
    x = brought(folder, ports)[0].feeds["x"]
    assert x.shape == shape
    assert x.dtype == dtype


def test_images_for_what_takes_none(folder):
    with pytest.raises(errors.DataError, match="takes no batch of one image"):
        brought(folder, port("n", 7))


def test_a_damaged_image(folder):
    (folder / "broken.png").write_bytes((folder / "a.png").read_bytes()[:40])
    with pytest.raises(errors.DataError, match=r"not a readable image.*broken\.png"):
        brought(folder, port("n", 3, 10, 10))


def test_many_images_are_thinned_evenly(tmp_path):
    for k in range(130):
        Image.fromarray(np.zeros((2, 2), np.uint8)).save(tmp_path / f"{k:03}.png")
    names = [case.name for case in brought(tmp_path, port("n", 1, 2, 2))]
    assert len(names) == 64
    assert (names[0], names[-1]) == ("000.png", "127.png")


def test_saved_inputs_ask_the_same_question(tmp_path):
    pair = nets.pair()
    models = nets.model(pair.original, norms=True), nets.model(pair.folded, norms=False)
    file = tmp_path / "in.npz"
    first = verify(*models, batches=(1,), save_inputs=file)
    again = verify(*models, inputs=file)
    assert again.inputs == first.inputs
    assert again.outputs == first.outputs
    cases = generated(port("n", 3, 16, 16), (1,), None, 0)
    with np.load(file) as stored:
        np.testing.assert_array_equal(stored["border x1/x"], cases[2].feeds["x"])


def test_an_input_whose_name_holds_slashes(tmp_path):
    np.savez(tmp_path / "in.npz", **{"model/x": np.zeros((1, 4), np.float32)})
    (case,) = brought(tmp_path / "in.npz", [Port("model/x", FLOAT, ("n", 4))])
    assert case.name == "in.npz"
