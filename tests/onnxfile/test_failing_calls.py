"""Each call of the system fails in turn: what stands afterwards is the old or the new, whole."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from bnfold import onnxfile
from bnfold.errors import DataError
from bnfold.onnxfile import folders
from tests.onnxfile.small import conv_norm

MARK = "manifest.json"
CALLS = ("fsync", "replace", "rename", "unlink", "rmdir", "fchmod", "chmod", "mkdir", "open")
REMOVALS = {"unlink", "rmdir", "open"}  # rmtree opens the folders that it empties
MADE_TEMPORARY = {"open", "mkdir"}  # within tempfile, where a signal may leave one


class How(Enum):
    """What becomes of the N-th call."""

    ERROR = "an error, once"
    FULL = "an error, and of every later call too"
    INTERRUPT = "a signal before it"
    LATE = "a signal after it"


class Faults:
    """Counts the calls that change the disk; those that `how` says go wrong from number `n` on."""

    def __init__(self, n: int, how: How) -> None:
        self.n, self.how, self.count = n, how, 0
        self.hit: list[str] = []

    def around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.count += 1
            if not (self.count == self.n or (self.how is How.FULL and self.count > self.n)):
                return call(*args, **kwargs)
            self.hit.append(name)
            if self.how in (How.ERROR, How.FULL):
                raise OSError(28, "No space left on device")
            if self.how is How.LATE and name not in MADE_TEMPORARY:
                call(*args, **kwargs)
            raise KeyboardInterrupt

        return counted

    def install(self, patch: pytest.MonkeyPatch) -> None:
        faults = self

        class Raw(io.FileIO):
            def write(self, data: Any, /) -> int:
                written: int = faults.around("write", super().write)(data)
                return written

        real = os.fdopen
        patch.setattr(
            os,
            "fdopen",
            lambda fd, mode: io.BufferedWriter(Raw(fd, mode)) if mode == "wb" else real(fd, mode),
        )
        for name in CALLS:
            patch.setattr(os, name, self.around(name, getattr(os, name)))
        patch.setattr(folders, "_exchange", self.around("exchange", folders._exchange))


def _model(place: Path, new: int) -> None:
    onnxfile.write(conv_norm(64 + new), place / "m.onnx")


def _pair(place: Path, new: int) -> None:
    onnxfile.write(conv_norm(64 + new), place / "m.onnx", external=True)


def _pair_after_a_model(place: Path, new: int) -> None:
    onnxfile.write(conv_norm(64 + new), place / "m.onnx", external=bool(new))


def _model_after_a_pair(place: Path, new: int) -> None:
    onnxfile.write(conv_norm(64 + new), place / "m.onnx", external=not new)


def _same_weights_again(place: Path, new: int) -> None:
    model = conv_norm(64)
    model.doc_string = str(new)
    onnxfile.write(model, place / "m.onnx", external=True)


def _folder(place: Path, new: int) -> None:
    with onnxfile.replacing_folder(place / "out", mark=MARK) as folder:
        for name in ("a", MARK):
            onnxfile.write_text(folder / name, str(new))


def _folder_by_two_renames(place: Path, new: int) -> None:
    exchange, folders._exchange = folders._exchange, _no_exchange
    try:
        _folder(place, new)
    finally:
        folders._exchange = exchange


def _no_exchange(*_: object) -> None:
    raise OSError(22, "not on this file system")


WRITES = (
    _model,
    _pair,
    _pair_after_a_model,
    _model_after_a_pair,
    _same_weights_again,
    _folder,
    _folder_by_two_renames,
)


def contents(place: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(place)): path.read_bytes()
        for path in place.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("how", How)
@pytest.mark.parametrize("write", WRITES, ids=lambda write: write.__name__.strip("_"))
@pytest.mark.parametrize("first", [False, True], ids=["over an old one", "the first"])
def test_old_or_new(
    tmp_path: Path, write: Callable[[Path, int], None], how: How, first: bool
) -> None:
    states = []
    for number in (0, 1):
        place = tmp_path / f"state{number}"
        place.mkdir()
        for step in range(number + 1):
            write(place, step)
        states.append({} if first and not number else contents(place))
    for n in range(1, 200):
        place = tmp_path / f"n{n}"
        place.mkdir()
        if not first:
            write(place, 0)
        faults = Faults(n, how)
        _assert_whole(place, states, faults, _ended(write, place, faults))
        if not faults.hit:
            return
    pytest.fail("no run came to its end")


def _ended(write: Callable[[Path, int], None], place: Path, faults: Faults) -> BaseException | None:
    with pytest.MonkeyPatch.context() as patch:
        faults.install(patch)
        try:
            write(place, 1)
        except (DataError, KeyboardInterrupt) as error:
            return error
    return None


def _assert_whole(
    place: Path, states: list[dict[str, bytes]], faults: Faults, error: BaseException | None
) -> None:
    found, (old, new) = contents(place), states
    told = f"{faults.how.value}: call {faults.n}, {faults.hit[:1]}, {error!r}, {sorted(found)}"
    if faults.how is How.FULL and faults.hit.count("rename") > 1:  # nor could it be put back
        assert {
            n.replace(".out.old/", "out/"): b for n, b in found.items() if ".tmp" not in n
        } == old
        return
    may_stay = bool(REMOVALS & set(faults.hit))
    leftovers = {name for name in found if name not in old and name not in new}
    seen = found if not may_stay else {k: v for k, v in found.items() if k not in leftovers}
    allowed = [new] if error is None else [old] if isinstance(error, DataError) else [old, new]
    if may_stay:  # the old data file, or the new one
        assert any(state.items() <= seen.items() for state in allowed), told
    else:
        assert seen in allowed, told
        assert not [name for name in os.listdir(place) if name.endswith((".tmp", ".old"))], told


def test_a_folder_left_aside_is_put_back_by_the_next_write(tmp_path: Path) -> None:
    """Killed between two renames, then a write that fails: the old folder stands again."""
    _folder(tmp_path, 0)
    old = contents(tmp_path)
    (tmp_path / "out").rename(tmp_path / ".out.old")
    with pytest.raises(ZeroDivisionError), onnxfile.replacing_folder(tmp_path / "out", mark=MARK):
        raise ZeroDivisionError
    assert contents(tmp_path) == old
