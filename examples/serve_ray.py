"""Serve a deployed folder with Ray Serve: replicas are processes, and one that dies comes back.

    pip install "ray[serve]" onnxruntime
    python examples/serve_ray.py FOLDER [--replicas 2] [--port 8000]

POST the bytes of an .npz with the model's inputs; the answer is an .npz with its outputs.
GET tells the process of a replica.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import io
import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
from ray import serve
from starlette.requests import Request
from starlette.responses import Response

PROVIDERS_BEHIND = ("CUDAExecutionProvider", "CPUExecutionProvider")


# a replica that died is noticed by itself; one that is slow to answer under load is not dead
@serve.deployment(max_ongoing_requests=64, health_check_period_s=2, health_check_timeout_s=60)
class Model:
    """One replica: one session, checked before it takes a request."""

    def __init__(self, folder: str, threads: int) -> None:
        import onnxruntime as ort

        place = Path(folder)
        manifest = json.loads((place / "manifest.json").read_text("utf-8"))
        _smoke_test(place)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        wanted = manifest["runtime"]["provider"]
        behind = [name for name in PROVIDERS_BEHIND if name != wanted]
        available = ort.get_available_providers()
        providers = [name for name in (wanted, *behind) if name in available]
        path = str(place / manifest["model"]["file"])
        self._session = ort.InferenceSession(path, options, providers=providers)
        if self._session.get_providers()[0] != wanted:
            raise RuntimeError(f"ONNX Runtime fell back from {wanted}")
        self._names = [output.name for output in self._session.get_outputs()]

    async def __call__(self, request: Request) -> Response:
        """An .npz in, an .npz out."""
        if request.method == "GET":
            return Response(str(os.getpid()))
        try:
            with np.load(io.BytesIO(await request.body()), allow_pickle=False) as given:
                feeds = {name: given[name] for name in given.files}
            # the session lets go of the interpreter: other requests are read meanwhile
            got = await asyncio.to_thread(self._session.run, None, feeds)
        except Exception as error:
            return Response(f"{type(error).__name__}: {error}"[:500], status_code=400)
        body = io.BytesIO()
        np.savez(body, **dict(zip(self._names, got, strict=True)))
        return Response(body.getvalue(), media_type="application/octet-stream")


def _smoke_test(place: Path) -> None:
    """The folder's own check, in this process: a replica that fails it never starts."""
    spec = importlib.util.spec_from_file_location("bnfold_check", place / "check.py")
    assert spec is not None
    assert spec.loader is not None
    check: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(check)
    report = check.check(str(place), runs=1)
    if not report.ok:
        raise RuntimeError(report.sentence)


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--replicas", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1, help="of a replica's session")
    parser.add_argument("--port", type=int, default=8000)
    asked = parser.parse_args()
    serve.start(http_options={"host": "127.0.0.1", "port": asked.port})
    model = Model.options(num_replicas=asked.replicas, ray_actor_options={"num_cpus": 0.5})
    serve.run(model.bind(os.path.abspath(asked.folder), asked.threads), name="model")
    print(f"serving {asked.folder} on port {asked.port}", flush=True)
    try:
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
    finally:
        serve.shutdown()


if __name__ == "__main__":
    main()
