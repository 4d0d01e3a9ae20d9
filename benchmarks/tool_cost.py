"""Time and memory of `bnfold fold` as a whole process, beside onnx alone and beside the rivals.

Without a model it makes a ResNet-50 (102 MB, seeded weights).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import processes
import rivals

RIVALS = str(Path(rivals.__file__).resolve())


def commands(
    model: str, folder: Path, rivals_python: str | None, tools: Sequence[str]
) -> dict[str, list[str]]:
    """Name -> command; each writes a file of its own into `folder`."""
    bnfold = str(Path(sys.executable).with_name("bnfold"))
    found = {
        "onnx load, check, save": [sys.executable, RIVALS, "copy", model, f"{folder}/copy.onnx"],
        "bnfold fold": [bnfold, "fold", model, "-o", f"{folder}/bnfold.onnx"],
        "import onnx": [sys.executable, "-c", "import onnx"],
    }
    if rivals_python:
        for tool in tools:
            found[tool] = [rivals_python, RIVALS, tool, model, f"{folder}/{tool}.onnx"]
    return found


def main() -> None:
    """Prints a Markdown table a model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", help="ONNX files (default: a ResNet-50 made here)")
    parser.add_argument("--rivals", metavar="PYTHON", help="the rivals' environment")
    parser.add_argument("--tools", nargs="+", default=list(rivals.OPTIMISERS), help="of the rivals")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", help="write every run to this file (of the last model)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bnfold-cost-") as name:
        folder = Path(name)
        for model in given.models or [_resnet50(folder)]:
            costs = processes.interleaved(
                commands(model, folder, given.rivals, given.tools), given.rounds
            )
            size = Path(model).stat().st_size / 1e6
            print(
                f"{Path(model).name}, {size:.1f} MB; {processes.machine()}; "
                f"{given.rounds} interleaved rounds\n"
            )
            print(processes.table(costs_in_order(costs), "onnx load, check, save") + "\n")
            processes.save(given.json, costs)


def costs_in_order(costs: dict[str, list[processes.Cost]]) -> dict[str, list[processes.Cost]]:
    """The commands by name of tool: ours and onnx first."""
    first = [n for n in ("onnx load, check, save", "bnfold fold", "import onnx") if n in costs]
    return {name: costs[name] for name in [*first, *sorted(set(costs) - set(first))]}


def _resnet50(folder: Path) -> str:
    """In a process of its own: this one stays small, for the children's peak memory."""
    path = folder / "resnet50.onnx"
    maker = Path(__file__).with_name("resnet50.py")
    subprocess.run([sys.executable, str(maker), str(path)], check=True)
    return str(path)


if __name__ == "__main__":
    main()
