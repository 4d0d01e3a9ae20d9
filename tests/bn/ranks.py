"""Processes that work as ranks: what each returned, in order."""

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


def _one(rank: int, folder: str, work: Callable[..., Any], args: Any) -> None:
    torch.set_num_threads(1)
    os.environ |= {"GLOO_SOCKET_IFNAME": "lo"}
    torch.save(work(rank, *args), f"{folder}/{rank}")


def _in_group(rank: int, world: int, folder: str, work: Callable[..., Any], args: Any) -> Any:
    store = f"file://{folder}/store"
    dist.init_process_group(
        "gloo", init_method=store, rank=rank, world_size=world, timeout=timedelta(seconds=60)
    )
    try:
        return work(rank, *args)
    finally:
        dist.destroy_process_group()


def spawned(world: int, work: Callable[..., Any], *args: Any) -> list[Any]:
    """`work(rank, *args)` in processes that know nothing of each other yet."""
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(_one, (folder, work, args), nprocs=world)
        files = [Path(folder) / str(rank) for rank in range(world)]
        return [torch.load(file, weights_only=False) for file in files]


def on_ranks(world: int, work: Callable[..., Any], *args: Any) -> list[Any]:
    """`work(rank, *args)` in processes of one group."""
    with tempfile.TemporaryDirectory() as folder:
        return spawned(world, _in_group, world, folder, work, args)
