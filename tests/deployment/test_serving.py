"""examples/serve_ray.py under load; `RAY_PYTHON` names a Python with ray[serve] and onnxruntime."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import bnfold
from tests.deployment.nets import net

pytestmark = pytest.mark.slow
EXAMPLE = Path(__file__).parents[2] / "examples" / "serve_ray.py"
REQUESTS, TRIES, START_S = 1000, 20, 300
Answer = tuple[int, bytes]
PATIENT = {  # Ray ends a healthy proxy that is slow, where two cores have other work
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "60",
    "RAY_SERVE_QUEUE_LENGTH_RESPONSE_DEADLINE_S": "2",
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    """A deployed folder, and the port where it is served by two replicas."""
    python = os.environ.get("RAY_PYTHON")
    if not python:
        pytest.skip(
            "RAY_PYTHON names no Python with ray[serve]: it wants an environment of its own"
        )
    folder = tmp_path_factory.mktemp("served")
    bnfold.deploy(net(folder / "m.onnx"), folder / "d")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as short:
        log = folder / "log"
        process = subprocess.Popen(
            [python, str(EXAMPLE), str(folder / "d"), "--replicas", "2", "--port", str(port)],
            stdout=log.open("w"),
            stderr=subprocess.STDOUT,
            env={**clean, **PATIENT, "RAY_TMPDIR": short, "RAY_USAGE_STATS_ENABLED": "0"},
        )
        try:
            _wait(process, log)
            yield folder / "d", port
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def _wait(process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_S
    while "serving" not in log.read_text():
        assert process.poll() is None, log.read_text()[-2000:]
        assert time.monotonic() < end, log.read_text()[-2000:]
        time.sleep(0.5)


async def _once(port: int, method: str, body: bytes) -> Answer:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = (f"{method} / HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", "Connection: close")
    head = "\r\n".join(lines) + "\r\n\r\n"
    try:
        writer.write(head.encode() + body)
        await writer.drain()
        answer = await reader.read()
    finally:
        writer.close()
    head_bytes, _, content = answer.partition(b"\r\n\r\n")
    if b"chunked" in head_bytes.lower():
        content = _unchunked(content)
    return int(head_bytes.split()[1]), content


def _unchunked(content: bytes) -> bytes:
    found = b""
    while content:
        size, _, rest = content.partition(b"\r\n")
        length = int(size, 16)
        found, content = found + rest[:length], rest[length + 2 :]
        if not length:
            break
    return found


async def _asked(port: int, body: bytes) -> tuple[Answer, int]:
    """Tried again where the replica died under it, as any client of HTTP does; with the tries."""
    for tries in range(1, TRIES + 1):
        try:
            answer = await asyncio.wait_for(_once(port, "POST", body), 60)
        except (TimeoutError, OSError, IndexError, ValueError):
            answer = (0, b"")
        if answer[0] == 200 or answer[0] == 400:
            return answer, tries
        await asyncio.sleep(0.2 * tries)
    return (0, b""), TRIES


async def _storm(port: int, body: bytes, kill: int | None) -> list[tuple[Answer, int]]:
    jobs = [asyncio.create_task(_asked(port, body)) for _ in range(REQUESTS)]
    if kill is not None:
        await asyncio.wait(jobs[: REQUESTS // 10], return_when=asyncio.FIRST_COMPLETED)
        os.kill(kill, signal.SIGKILL)
    return await asyncio.gather(*jobs)


@pytest.mark.parametrize("killed", [False, True], ids=["quiet", "a-replica-killed"])
def test_a_thousand_at_once(served: tuple[Path, int], killed: bool) -> None:
    """None is lost, and each answer is the golden one."""
    folder, port = served
    case = json.loads((folder / "manifest.json").read_text())["golden"]["cases"][0]
    stored = np.load(folder / "golden.npz")
    body = io.BytesIO()
    np.savez(body, **{one["name"]: stored[one["key"]] for one in case["inputs"]})
    victim = int(asyncio.run(_once(port, "GET", b""))[1]) if killed else None
    answers = asyncio.run(_storm(port, body.getvalue(), victim))
    assert [answer[0] for answer, _ in answers] == [200] * REQUESTS
    golden, bound = stored[case["outputs"][0]["key"]], case["outputs"][0]["rms"]
    for (_, content), _ in answers:
        got = np.load(io.BytesIO(content))["y"]
        assert np.sqrt(np.mean((got - golden) ** 2)) <= bound
    again = sum(tries > 1 for _, tries in answers)
    print(f"{REQUESTS} answered, {again} of them asked again")


def test_what_does_not_fit_is_400(served: tuple[Path, int]) -> None:
    _, port = served
    assert asyncio.run(_once(port, "POST", b"no archive"))[0] == 400
