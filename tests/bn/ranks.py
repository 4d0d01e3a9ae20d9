"""Two processes over gloo: what each rank returned, in order."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def _one(rank: int, world: int, folder: str, work: Callable[..., Any], args: Any) -> None:
    torch.set_num_threads(1)
    os.environ |= {"GLOO_SOCKET_IFNAME": "lo"}
    store = f"file://{folder}/store"
    dist.init_process_group(
        "gloo", init_method=store, rank=rank, world_size=world, timeout=timedelta(seconds=60)
    )
    try:
        torch.save(work(rank, *args), f"{folder}/{rank}")
    finally:
        dist.destroy_process_group()


def on_ranks(world: int, work: Callable[..., Any], *args: Any) -> list[Any]:
    """`work(rank, *args)` in processes of one group."""
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(_one, (world, folder, work, args), nprocs=world)
        files = [Path(folder) / str(rank) for rank in range(world)]
        return [torch.load(file, weights_only=False) for file in files]
