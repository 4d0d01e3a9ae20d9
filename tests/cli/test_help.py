"""Help comes at once, and shows one real example of each command."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version

import pytest

from bnfold_cli.main import COMMANDS
from tests.cli.conftest import Answer

HEAVY = ("numpy", "onnx", "torch", "onnxruntime", "matplotlib", "rich")


def modules_after(*arguments: str) -> set[str]:
    """What a call of the command has imported."""
    code = (
        "import sys, json, io, contextlib\n"
        "from bnfold_cli.main import run\n"
        "with contextlib.redirect_stdout(io.StringIO()): run(sys.argv[1:])\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], *([c, "--help"] for c in COMMANDS)]
)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    assert not modules_after(*arguments) & set(HEAVY)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(bnfold: Callable[..., Answer], command: str) -> None:
    answer = bnfold(command, "--help")
    assert answer.code == 0
    assert f"Example: bnfold {command}" in " ".join(answer.out.split())


def test_every_command_is_listed(bnfold: Callable[..., Answer]) -> None:
    out = bnfold("--help").out
    assert all(f"\n  {command} " in out for command in COMMANDS)
    assert "..." not in out.split("Commands:")[1]


def test_version(bnfold: Callable[..., Answer]) -> None:
    assert bnfold("--version").out == f"bnfold {version('bnfold')}\n"


def test_no_command_is_a_usage_error(bnfold: Callable[..., Answer]) -> None:
    answer = bnfold()
    assert answer.code == 2
    assert answer.out == ""
    assert "Commands:" in answer.err
