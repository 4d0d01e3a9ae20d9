"""The names that users import: one list, each loads, and importing bnfold itself is cheap."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import bnfold

SOURCE = ast.parse(Path(bnfold.__file__).read_text("utf-8"))
ERRORS = {"BnfoldError", *(cls.__name__ for cls in bnfold.BnfoldError.__subclasses__())}
ERRORS &= set(dir(bnfold.errors))


def for_type_checkers() -> set[str]:
    block = next(node for node in SOURCE.body if isinstance(node, ast.If))
    return {
        alias.name
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_one_list() -> None:
    lazy = {*bnfold._HOMES, *bnfold._ROOMS}
    assert lazy == for_type_checkers()
    assert set(bnfold.__all__) == lazy | ERRORS | {"__version__"}
    assert list(bnfold.__all__) == sorted(bnfold.__all__)
    assert set(bnfold.__all__) <= set(dir(bnfold))


@pytest.mark.parametrize("name", bnfold.__all__)
def test_loads_twice(name: str) -> None:
    """The second time it must be the same thing: a submodule must not hide a function."""
    first = getattr(bnfold, name)
    assert getattr(bnfold, name) is first
    home = bnfold._HOMES.get(name)
    if home:
        assert getattr(sys.modules[home[0]], name) is first
        assert first.__doc__


def test_no_such_name() -> None:
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        _ = bnfold.nothing_of_the_kind  # type: ignore[attr-defined]


def test_import_is_cheap() -> None:
    code = "import bnfold, sys; print([m for m in sys.modules if m in ('numpy', 'onnx', 'torch')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_version() -> None:
    from importlib.metadata import version

    assert bnfold.__version__ == version("bnfold")


def test_a_missing_extra_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without torch the names that need it say how to get it."""
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import bnfold\n"
        "try: bnfold.train\n"
        "except bnfold.EnvironmentLacks as e: print(e, '|', e.hint)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "torch" in done.stdout
    assert "bnfold[train]" in done.stdout
