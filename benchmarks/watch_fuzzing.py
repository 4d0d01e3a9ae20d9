"""Runs of `fuzz_files.py` one after the other, each under a limit on memory, each end explained.

    python benchmarks/watch_fuzzing.py --findings DIR --seconds 3600 SEEDS

A run that a signal or native code ends says nothing itself. So the input under way lies in
`DIR/last.onnx`; here its end is printed as one JSON object a run (status or signal, peak memory,
time), and where it was neither the time that ran out nor a finding of libFuzzer's own, that input
is kept as `DIR/ended-STATUS-*.onnx`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

FUZZER = Path(__file__).with_name("fuzz_files.py")
TOLD = {0, 70, 71, 77}  # libFuzzer's: done, time-out, out of memory, crash; each has its file


def run(findings: Path, seeds: Sequence[str], seconds: int, seed: int, memory: int) -> int:
    """One run, to its end."""
    theirs = [f"-max_total_time={seconds}", f"-seed={seed}", f"-artifact_prefix={findings}/"]
    theirs += ["-timeout=60", f"-rss_limit_mb={memory << 9}", "-max_len=400000"]
    words = [sys.executable, str(FUZZER), "--findings", str(findings), *seeds, "--", *theirs]
    began = time.monotonic()
    with (findings / f"run-{seed}.log").open("wb") as log:
        process = subprocess.Popen(
            words,
            stdout=log,
            stderr=log,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (memory << 30, memory << 30)),
        )
        _, status, used = os.wait4(process.pid, 0)
    code = os.waitstatus_to_exitcode(status)
    peak, took = used.ru_maxrss >> 10, round(time.monotonic() - began)
    told = {"seed": seed, "status": code, "peak_rss_mb": peak, "seconds": took}
    last = findings / "last.onnx"
    if code not in TOLD and last.exists():
        data = last.read_bytes()
        kept = findings / f"ended-{code}-{hashlib.sha256(data).hexdigest()[:8]}.onnx"
        kept.write_bytes(data)
        told["input"] = kept.name
    print(json.dumps(told), flush=True)
    return code


def main() -> None:
    """Runs until the time is up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--findings", type=Path, required=True)
    parser.add_argument("--seconds", type=int, default=3600)
    parser.add_argument("--memory", type=int, default=8, help="GiB of address space")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("seeds", nargs="+")
    asked = parser.parse_args()
    asked.findings.mkdir(parents=True, exist_ok=True)
    end, seed = time.monotonic() + asked.seconds, asked.seed
    while (left := int(end - time.monotonic())) > 10:
        seed += 1
        run(asked.findings, asked.seeds, left, seed, asked.memory)


if __name__ == "__main__":
    main()
