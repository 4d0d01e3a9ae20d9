"""Writers killed at a random moment: `python -m tests.onnxfile.killed file|pair|folder ROUNDS DIR`.

A process of its own writes one of two contents after the other, over and over, until SIGKILL ends
it; then what stands there is read. Prints how many rounds left it unreadable, how many left a
temporary file, and how many contents were seen.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bnfold import onnxfile
from bnfold.deployment.smoke.seal import check_files, read_manifest, sealed, sha256_of_file
from bnfold.deployment.smoke.words import MANIFEST, SCHEMA
from bnfold_cli.main import run
from tests.onnxfile.small import conv_norm

Write = Callable[[int], None]
Read = Callable[[], str]
LONGEST_S = 0.5


def folding(place: Path, *, external: bool) -> tuple[Write, Read]:
    """`fold` of two models to one place."""
    for k in range(2):
        model = conv_norm(2000 + k)
        onnxfile.write(model, place / f"in{k}.onnx", external=external)
    target = place / "out.onnx"

    def write(k: int) -> None:
        code = run(["-q", "fold", str(place / f"in{k}.onnx"), "-o", str(target)])
        assert code == 0, code

    def read() -> str:
        return str(onnxfile.read(target).model.graph.initializer[0].dims[0])

    return write, read


def deploying(place: Path) -> tuple[Write, Read]:
    """A folder with a sealed manifest, as `deploy` leaves it, in place of another."""
    for k in range(2):
        made = place / f"in{k}"
        made.mkdir()
        for name in ("model.onnx", "golden.npz"):
            (made / name).write_bytes(bytes([k]) * 300_000)
        files = {
            path.name: {"bytes": path.stat().st_size, "sha256": sha256_of_file(str(path))}
            for path in made.iterdir()
        }
        told = {"schema": SCHEMA, "seal": "0" * 64, "files": files, "number": k}
        (made / MANIFEST).write_bytes(sealed(json.dumps(told)))
    target = place / "out"

    def write(k: int) -> None:
        with onnxfile.replacing_folder(target, mark=MANIFEST) as fresh:
            shutil.copytree(place / f"in{k}", fresh, dirs_exist_ok=True)

    def read() -> str:
        manifest = read_manifest(str(target))
        assert all(finding.ok for finding in check_files(str(target), manifest))
        assert len(list(target.iterdir())) == 3
        return str(manifest["number"])

    return write, read


def one_round(write: Write, seconds: float) -> None:
    """A process that writes until it is killed."""
    pid = os.fork()
    if pid == 0:
        while True:
            for k in range(2):
                write(k)
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def main(kind: str, rounds: int, place: Path) -> None:
    """All rounds of one kind."""
    place.mkdir(parents=True, exist_ok=True)
    write, read = deploying(place) if kind == "folder" else folding(place, external=kind == "pair")
    write(0)
    rng, seen = random.Random(0), set()
    unreadable = leaving = 0
    for _ in range(rounds):
        one_round(write, rng.uniform(0, LONGEST_S))
        try:
            seen.add(read())
        except Exception as error:
            print(repr(error), file=sys.stderr)
            unreadable += 1
        left = list(place.glob(".*.tmp"))
        leaving += bool(left)
        for path in left:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    told = {"rounds": rounds, "unreadable": unreadable, "left a temporary": leaving}
    print(json.dumps({**told, "contents seen": len(seen)}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
