"""Who may import whom: a room imports only from the rooms below it (docs/architecture.md)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BASE = {"errors", "show", "extras", "child", "leftovers", "version"}
FILES = BASE | {"onnxfile"}
FOLDING = FILES | {"ops64", "graph", "folding", "merging"}
JUDGING = FOLDING | {"verification", "latency"}
LEARNING = FILES | {"bn", "bnfold_models", "training"}
ALL = JUDGING | LEARNING | {"exporting", "deployment", "pages", "reproduction"}

# room -> what it may import, beside itself
ALLOWED = {
    "errors": set(),
    "show": set(),
    "version": set(),
    "extras": {"errors"},
    "child": set(),
    "leftovers": {"show"},
    "onnxfile": BASE,
    "ops64": BASE,
    "graph": FILES | {"ops64"},
    "folding": FILES | {"ops64", "graph"},
    "merging": FOLDING,
    "verification": FOLDING | {"pages"},
    "latency": FILES | {"graph", "pages"},
    "deployment": JUDGING,
    "bn": BASE,
    "bnfold_models": {"errors"},
    "training": LEARNING,
    "exporting": LEARNING | FOLDING | {"verification"},
    "reproduction": LEARNING | JUDGING | {"exporting", "pages"},
    "pages": BASE,
    "testing": JUDGING,
    "road": ALL,
    "environment": ALL,
    "accuracy": ALL,
    "tour": ALL | {"accuracy", "road"},
    "bnfold": BASE,
    "bnfold_cli": {"bnfold", "child", "leftovers", "errors", "show", "version", "bnfold_models"},
}

# where a heavy package may be imported at the top of a module
AT_THE_TOP = {
    "torch": {"bn", "training", "exporting", "reproduction", "bnfold_models"},
    "onnxruntime": {"verification", "latency", "deployment"},
    "matplotlib": {"reproduction", "pages"},
    "sklearn": set(),
    "torchvision": set(),
    "timm": set(),
}
LIGHT = {
    "errors",
    "show",
    "extras",
    "child",
    "leftovers",
    "version",
    "bnfold",
    "bnfold_cli",
}  # neither numpy nor onnx
MODULES = [
    *sorted((ROOT / "bnfold").rglob("*.py")),
    *sorted((ROOT / "cli" / "bnfold_cli").rglob("*.py")),
    *sorted((ROOT / "models" / "bnfold_models").rglob("*.py")),
]


def room_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    if parts[0] != "bnfold":
        return parts[1]
    return "bnfold" if parts[1] == "__init__" else parts[1]


def imports(tree: ast.AST) -> Iterator[str]:
    """Dotted names, `from a import b` as `a.b` too: b may be a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def rooms_imported(tree: ast.AST) -> set[str]:
    rooms = set()
    for name in imports(tree):
        first, *rest = name.split(".")
        if first in ("bnfold_cli", "bnfold_models"):
            rooms.add(first)
        elif first == "bnfold":
            place = ROOT / "bnfold" / (rest[0] if rest else "")
            inside = rest and (place.is_dir() or place.with_suffix(".py").is_file())
            rooms.add(rest[0] if inside else "bnfold")
    return rooms


def without_type_checking(tree: ast.Module) -> ast.Module:
    """The module as it runs: `if TYPE_CHECKING:` blocks are gone."""
    body = [
        node
        for node in tree.body
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    ]
    return ast.Module(body, tree.type_ignores)


def top_level(tree: ast.Module) -> Iterator[str]:
    """Packages imported when the module is."""
    inside = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom) and id(node) not in inside:
            yield from (name.split(".")[0] for name in imports(node))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_floor(path: Path) -> None:
    room = room_of(path)
    tree = without_type_checking(ast.parse(path.read_text("utf-8")))
    assert room in ALLOWED, f"a new room {room}: give it its floor here"
    upward = rooms_imported(tree) - ALLOWED[room] - {room}
    assert not upward, f"{room} may not import {upward}"
    heavy = {name for name in top_level(tree) if room not in AT_THE_TOP.get(name, {room})}
    assert not heavy, f"{room} imports {heavy} at its top: do it inside a function"
    if room in LIGHT and path.name != "tables.py":  # which commands import when they print
        assert not {"numpy", "onnx", "rich"} & set(top_level(tree))


def test_only_the_command_line_prints() -> None:
    for path in MODULES:
        if room_of(path) == "bnfold_cli":
            continue
        calls = (n for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, ast.Call))
        names = {call.func.id for call in calls if isinstance(call.func, ast.Name)}
        assert not names & {"print", "breakpoint", "input", "exit"}, path


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_size(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= 300
