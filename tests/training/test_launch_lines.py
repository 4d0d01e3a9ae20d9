"""The launch lines of docs/distributed.md, as far as one machine can check them."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import click
import pytest

from bnfold_cli.train import command

PAGE = (Path(__file__).parents[2] / "docs" / "distributed.md").read_text("utf-8")
SHELL = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
(MANIFEST,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


def lines() -> list[list[str]]:
    """The words of every torchrun, without what stands before it."""
    shell = [shlex.split(block.replace("\\\n", " "), comments=True) for block in SHELL]
    listed = re.search(r"command:\n((?: +- .*\n)+)", MANIFEST)
    assert listed
    found = [*shell, re.findall(r"^ +- (.*)$", listed[1], re.MULTILINE)]
    return [words[words.index("torchrun") + 1 :] for words in found]


def test_the_pages_lines_are_found() -> None:
    assert (len(SHELL), len(lines())) == (2, 3)


@pytest.mark.parametrize("words", lines(), ids=["one node", "Slurm", "Kubernetes"])
def test_torchrun_and_train_take_every_word(words: list[str]) -> None:
    parser = pytest.importorskip("torch.distributed.run", exc_type=ImportError).get_args_parser()
    taken, left = parser.parse_known_args([w.replace("$SLURM_NNODES", "4") for w in words])
    assert left == []
    assert (taken.module, taken.training_script) == (True, "bnfold_cli")
    name, *ours = taken.training_script_args
    assert name == "train"
    found = command.make_context(name, ours, parent=click.Context(command)).params
    assert found["resume"]  # what torchrun starts again has to go on


@pytest.mark.parametrize("block", SHELL, ids=["one node", "Slurm"])
def test_bash_takes_it(block: str) -> None:
    told = subprocess.run(["bash", "-n"], input=block, text=True, capture_output=True, check=False)
    assert (told.returncode, told.stderr) == (0, "")
