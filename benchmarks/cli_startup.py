"""How long `bnfold --help` takes, beside `python -c "import onnx"` on the same machine."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import processes


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", help="write every run to this file")
    given = parser.parse_args()
    bnfold = str(Path(sys.executable).with_name("bnfold"))
    commands = {
        "import onnx": [sys.executable, "-c", "import onnx"],
        "bnfold --help": [bnfold, "--help"],
        "bnfold --version": [bnfold, "--version"],
        "bnfold fold --help": [bnfold, "fold", "--help"],
        "import bnfold": [sys.executable, "-c", "import bnfold"],
        "nothing": [sys.executable, "-c", "pass"],
    }
    costs = processes.interleaved(commands, given.rounds)
    print(processes.machine() + f", {given.rounds} interleaved rounds\n")
    print(processes.table({name: costs[name] for name in commands if name in costs}, "import onnx"))
    processes.save(given.json, costs)


if __name__ == "__main__":
    main()
