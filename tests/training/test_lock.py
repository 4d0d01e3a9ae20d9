"""The lock of a run folder: who holds it is told, also on another host, and it is given back."""

from __future__ import annotations

import errno
import fcntl

import pytest

from bnfold.errors import DataError
from bnfold.training.lock import locked


def test_another_host_is_named(tmp_path):
    with locked(tmp_path):
        (tmp_path / ".lock").write_text("process 12 on otherhost\n")  # as it writes it there
        with pytest.raises(DataError, match="locked") as caught, locked(tmp_path):
            pass
    assert "process 12 on otherhost" in (caught.value.hint or "")


def test_it_is_given_back(tmp_path, caplog):
    for _ in range(2):
        with locked(tmp_path):
            assert "process" in (tmp_path / ".lock").read_text()
    assert (tmp_path / ".lock").read_text() == ""
    assert not caplog.text


def test_a_lock_left_on_another_host_is_told(tmp_path, caplog):
    """Killed there, or alive where its locks do not reach: the run goes on, with a word."""
    (tmp_path / ".lock").write_text("process 12 on otherhost\n")
    with locked(tmp_path):
        pass
    assert "process 12 on otherhost" in caplog.text


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks(tmp_path, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, "no locks here")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(DataError, match="cannot be locked") as caught, locked(tmp_path):
        pass
    assert "flock" in (caught.value.hint or "")
