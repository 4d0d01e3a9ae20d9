"""What the pages promise is there: commands, options, codes, links."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from bnfold.folding.reasons import Reason
from bnfold_cli.main import COMMANDS, LazyGroup, bnfold

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "benchmarks" / "README.md"]


def group() -> LazyGroup:
    assert isinstance(bnfold, LazyGroup)
    return bnfold


def parses(line: str) -> None:
    """The command line is one that click takes; nothing is run."""
    words = shlex.split(line, comments=True)
    assert words[0] == "bnfold"
    command = group().get_command(click.Context(group()), words[1])
    assert command, line
    command.make_context(words[1], words[2:])


def test_the_first_two_blocks_are_the_two_commands() -> None:
    blocks = re.findall(r"```(\w*)\n(.*?)\n```", README, re.DOTALL)
    assert blocks[0] == ("sh", 'pip install -c constraints.txt ".[train,gpu]" && bnfold quickstart')
    assert blocks[1] == ("sh", 'pip install -c constraints.txt -e ".[dev]" && pytest')


def test_every_command_has_an_example_that_parses() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \|.*\| `(bnfold [^`]+)` \|$", README, re.MULTILINE))
    assert rows.keys() == set(COMMANDS)
    for name, line in rows.items():
        assert line.split()[1] == name
        parses(line)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_example_in_the_help_parses(name: str) -> None:
    command = group().get_command(click.Context(group()), name)
    assert command
    assert command.help
    parses(" ".join(command.help.split("Example: ")[1].split()))


def test_every_reason_has_its_page_entry() -> None:
    page = (ROOT / "docs" / "reasons.md").read_text("utf-8")
    assert re.findall(r"^## (\S+)$", page, re.MULTILINE) == [reason.code for reason in Reason]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text("utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def test_constraints_name_every_dependency() -> None:
    """What pyproject asks for of base, train, gpu and dev is pinned, and nothing is twice."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    asked = project["dependencies"] + [
        line
        for extra in ("gpu", "train", "dev")
        for line in project["optional-dependencies"][extra]
    ]
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pinned = [line.split("==")[0] for line in lines if line and not line.startswith("#")]
    names = {re.split(r"[\[>;=]", line)[0].strip().lower().replace("_", "-") for line in asked}
    assert names - set(pinned) <= {"bnfold", "onnxruntime"}  # the latter on macOS only
    assert len(pinned) == len(set(pinned))
