"""`bnfold reproduce`: a smoke of seconds, and what it refuses."""

from __future__ import annotations

import pytest


def test_smoke(bnfold, tmp_path):
    done = bnfold(
        "--quiet", "reproduce", "mnist", "--smoke", "--seeds", "7", "--out", tmp_path / "r"
    )
    assert done.code == 0, done.err
    assert (tmp_path / "r" / "figure1.png").is_file()
    again = bnfold("reproduce", "mnist", "--smoke", "--seeds", "7", "--out", tmp_path / "r",
                   "--resume", "--json")  # fmt: skip
    assert {c["piece"]["seed"] for c in again.json["full"]} == {7}
    assert again.json["schema"] == "bnfold.reproduce/1"
    assert bnfold("reproduce", "mnist", "--smoke", "--out", tmp_path / "r").code == 2


@pytest.mark.parametrize(("arguments", "code"), [
    (["minst"], 2), (["mnist", "--seeds", "1,1"], 2), (["mnist", "--seeds", "x"], 2),
    (["mnist", "--data", "digitz"], 2), (["mnist", "--data", "./no/such"], 6),
    (["mnist", "--set", "steps=3"], 2), (["mnist", "--scale", "imagenet"], 2),
    (["inception", "--set", "depth=3"], 2), (["inception", "--data", "./no/such"], 6),
    (["inception", "--data", "digits"], 6), (["ensemble", "--data", "digits"], 6),
    (["ensemble", "--set", "nets=7"], 2), (["ensemble", "--data", "./no/such"], 6),
], ids=str)  # fmt: skip
def test_refused(bnfold, tmp_path, arguments, code):
    assert bnfold("reproduce", *arguments, "--out", tmp_path / "r").code == code
