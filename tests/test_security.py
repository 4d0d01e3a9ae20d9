"""Rules that hold in every file: no code in data, no markup of rich, a content policy on pages."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = [
    path
    for folder in ("bnfold", "cli", "models", "benchmarks")
    for path in sorted((ROOT / folder).rglob("*.py"))
]


def calls(path: Path) -> list[tuple[str, ast.Call]]:
    tree = ast.parse(path.read_text("utf-8"))
    return [(ast.unparse(n.func), n) for n in ast.walk(tree) if isinstance(n, ast.Call)]


def keyword(call: ast.Call, name: str) -> object:
    found = [k.value for k in call.keywords if k.arg == name]
    return found[0].value if found and isinstance(found[0], ast.Constant) else None


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_loading_runs_no_code(path: Path) -> None:
    for name, call in calls(path):
        if name == "torch.load":
            assert keyword(call, "weights_only") is True, f"line {call.lineno}"
        if name in ("np.load", "numpy.load"):
            assert keyword(call, "allow_pickle") is False, f"line {call.lineno}"
        forbidden = {"pickle.load", "pickle.loads", "eval", "exec", "os.system", "yaml.load"}
        assert name not in forbidden, f"line {call.lineno}"
        assert keyword(call, "shell") is not True, f"line {call.lineno}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_pages_have_a_content_policy(path: Path) -> None:
    source = path.read_text("utf-8")
    if "<!doctype html>" in source.lower() and path.name != "build.py":
        assert "Content-Security-Policy" in source
