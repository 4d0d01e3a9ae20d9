"""What an extra brings is asked for in one line."""

from __future__ import annotations

import sys

import pytest

from bnfold.errors import EnvironmentLacks
from bnfold.extras import require


def test_present():
    assert require("json", "train").__name__ == "json"


def test_absent():
    with pytest.raises(EnvironmentLacks) as caught:
        require("no_such_package.inner", "train")
    assert caught.value.message == "no_such_package is not installed"
    assert caught.value.hint == "pip install 'bnfold[train]'"


def test_absent_behind_one_of_ours(monkeypatch):
    for name in [n for n in sys.modules if n.startswith("bnfold.training")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(EnvironmentLacks) as caught:
        require("bnfold.training", "train")
    assert caught.value.message == "torch is not installed"


def test_a_broken_library(monkeypatch, tmp_path):
    (tmp_path / "broken_extra.py").write_text("raise OSError('libcudart.so.13: cannot open')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(EnvironmentLacks, match="broken_extra does not load: libcudart"):
        require("broken_extra", "train")


def test_a_bug_of_ours_is_no_missing_extra():
    with pytest.raises(ImportError) as caught:
        require("bnfold.no_such_room", "train")
    assert not isinstance(caught.value, EnvironmentLacks)
