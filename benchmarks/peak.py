"""Peak memory of a command with all its processes at one time; no claim of its own.

`python benchmarks/peak.py [--limit GIB] -- bnfold deploy large.onnx --to out --batch 1` samples the
anonymous memory of the command and its children (Linux; what maps a file costs nothing that the
system could not take back), ends them all above the limit, and prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

EVERY_S = 0.5


def tree(pid: int) -> Iterator[int]:
    """A process and all below it."""
    yield pid
    with suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split():
                yield from tree(int(child))


def anonymous(pid: int) -> float:
    """GiB that only this process holds; 0 where it has ended."""
    with suppress(OSError):
        found = re.search(r"^RssAnon:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.M)
        return int(found.group(1)) / 2**20 if found else 0.0
    return 0.0


def measured(command: list[str], limit: float) -> dict[str, object]:
    """The peak of all processes together, and each one's share of it."""
    since, most = time.monotonic(), [0.0]
    with subprocess.Popen(command) as process:
        while process.poll() is None:
            pids = list(tree(process.pid))
            now = [anonymous(pid) for pid in pids]
            most = max(most, now, key=sum)
            if sum(now) > limit:
                for pid in pids:
                    with suppress(ProcessLookupError):
                        os.kill(pid, 9)
            time.sleep(EVERY_S)
    used = os.times()
    return {
        "status": process.returncode,
        "peak_gib": round(sum(most), 2),
        "processes_gib": [round(share, 2) for share in most],
        "cpu_s": round(used.children_user + used.children_system, 1),
        "wall_s": round(time.monotonic() - since, 1),
    }


def main() -> None:
    """Run, watch, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=float, default=12.0, help="GiB above which all is ended")
    parser.add_argument("command", nargs="+")
    args = parser.parse_args()
    print(json.dumps(measured(args.command, args.limit)))


if __name__ == "__main__":
    main()
