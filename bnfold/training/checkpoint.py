"""Checkpoints: weights as safetensors, the training state beside them, a manifest with SHA-256.

A checkpoint is a folder `step-N`, filled under another name and then renamed; `last` and `best`
are small text files that name a step. Nothing in a checkpoint can run code when it is loaded.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import nn

from bnfold.errors import DataError, UsageError
from bnfold.onnxfile import read_json, read_plain, replacing_folder, write_text
from bnfold.training import facts as facts_of
from bnfold.training.networks import build

SCHEMA = "bnfold.checkpoint/1"
WEIGHTS, STATE, MANIFEST = "weights.safetensors", "state.pt", "manifest.json"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A verified checkpoint: its folder, its manifest, and its network on the CPU in eval mode."""

    path: Path
    manifest: Mapping[str, Any]
    model: nn.Module

    @property
    def step(self) -> int:
        """Optimiser steps behind the weights."""
        return int(self.manifest["step"])

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one input."""
        channels, height, width = self.manifest["data"]["shape"]
        return channels, height, width

    @property
    def run(self) -> Path | None:
        """The run folder it lies in, if it lies in one."""
        folder = self.path.parent.parent
        return folder if (folder / "config.json").is_file() else None

    def state(self) -> dict[str, Any]:
        """The optimiser's and the generators' state.

        Raises:
            DataError: the file is missing, or holds anything but plain containers and tensors.
        """
        path = self.path / STATE
        try:
            with warnings.catch_warnings(action="ignore"):
                loaded = torch.load(
                    io.BytesIO(read_plain(path)), map_location="cpu", weights_only=True
                )
        except Exception as cause:  # unpickling damaged bytes raises what it likes
            raise DataError("training state does not load safely", where=str(path)) from cause
        if not isinstance(loaded, dict):
            raise DataError("training state is not a dictionary", where=str(path))
        return loaded


def save(
    root: Path,
    step: int,
    model: nn.Module,
    state: Mapping[str, Any],
    facts: Mapping[str, Any],
    *,
    name: str = "",
) -> Path:
    """Write `root/step-N` (or `name`) whole or not at all; an older one is replaced.

    Raises:
        DataError: it cannot be written.
    """
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    weights = {
        name: t.detach().cpu().contiguous().clone() for name, t in model.state_dict().items()
    }
    files = {WEIGHTS: save_safetensors(weights), STATE: buffer.getvalue()}
    manifest = {
        "schema": SCHEMA,
        "step": step,
        **facts,
        "files": {
            name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
            for name, data in files.items()
        },
    }
    target = root / (name or f"step-{step}")
    try:
        return _write_folder(target, files, json.dumps(manifest, indent=1, sort_keys=True) + "\n")
    except OSError as cause:
        raise DataError(f"cannot write checkpoint: {cause.strerror}", where=str(target)) from cause


def load(path: str | os.PathLike[str]) -> Checkpoint:
    """The checkpoint in a run folder (its last one) or a checkpoint folder, verified.

    Raises:
        UsageError: there is no such folder.
        DataError: it is no checkpoint, is damaged, or its weights fit another network.
    """
    folder = locate(Path(path))
    manifest = _read_manifest(folder)
    weights = _verified(folder, manifest)
    try:
        name, data = manifest["model"]["name"], manifest["data"]
        channels, height, width = data["shape"]
        tensors = load_safetensors(weights)
        if data["classes"] > max((one.numel() for one in tensors.values()), default=0):
            raise ValueError(f"weights for fewer than {data['classes']} classes")
        model = build(name, classes=data["classes"], channels=channels, size=(height, width))
    except (KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as cause:
        raise DataError(f"not a usable checkpoint: {cause!r}", where=str(folder)) from cause
    fit_weights(model, tensors, str(folder / WEIGHTS))
    return Checkpoint(folder, manifest, model.eval())


def fit_weights(model: nn.Module, tensors: Mapping[str, torch.Tensor], where: str) -> None:
    """Load the tensors, every one where it belongs.

    Raises:
        DataError: naming the first tensor that is missing, left over, or of another shape.
    """
    own = model.state_dict()
    for name in [*own, *tensors]:
        if name not in tensors:
            cause = f"no tensor '{name}'"
        elif name not in own:
            cause = f"tensor '{name}' belongs to another model"
        elif own[name].shape != tensors[name].shape:
            cause = f"'{name}' is {tuple(tensors[name].shape)}, not {tuple(own[name].shape)}"
        else:
            continue
        raise DataError(f"weights do not fit {type(model).__name__}: {cause}", where=where)
    model.load_state_dict(dict(tensors))


def locate(path: Path) -> Path:
    """The checkpoint folder that a run folder or a checkpoint folder means.

    Raises:
        UsageError: no such folder.
        DataError: it holds no checkpoint.
    """
    if not path.is_dir():
        raise UsageError("no such run or checkpoint folder", where=str(path))
    if (path / MANIFEST).is_file():
        return path
    root = path / "checkpoints"
    last = pointed(root, "last")
    if last is None:
        raise DataError("no checkpoint here", where=str(path), hint="bnfold train --out makes one")
    return last


def pointed(root: Path, name: str) -> Path | None:
    """The checkpoint that `last` or `best` names, if there is one.

    Raises:
        DataError: the file names something else than a step that is there.
    """
    file = root / name
    if not file.is_file():
        return None
    step = file.read_text("utf-8", errors="replace").strip()
    folder = root / step
    if not step.removeprefix("step-").isdecimal():
        raise DataError("does not name a step", where=str(file))
    aside = root / f".{step}.old"
    if not folder.is_dir() and aside.is_dir():  # cut off between the two renames of `save`
        return aside
    if not folder.is_dir():
        raise DataError(f"names {step}, which is not there", where=str(file))
    return folder


def point(root: Path, name: str, step: int) -> None:
    """Let `last` or `best` name a step.

    Raises:
        DataError: it cannot be written.
    """
    write_text(root / name, f"step-{step}\n")


def prune(root: Path, keep: int) -> None:
    """Remove all but the `keep` latest checkpoints and what `last` and `best` name."""
    steps = sorted(int(p.name[5:]) for p in root.glob("step-*") if p.name[5:].isdecimal())
    named = {pointed(root, "last"), pointed(root, "best")}
    for step in steps[:-keep]:
        if root / f"step-{step}" not in named:
            shutil.rmtree(root / f"step-{step}", ignore_errors=True)


def _write_folder(target: Path, files: Mapping[str, bytes], manifest: str) -> Path:
    """All files and the manifest, which marks the folder as one of ours."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing_folder(target, mark=MANIFEST) as fresh:
        for name, data in files.items():
            (fresh / name).write_bytes(data)
        write_text(fresh / MANIFEST, manifest)
    return target


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        manifest = read_json(path)
    except (OSError, ValueError) as cause:
        raise DataError("checkpoint manifest cannot be read", where=str(path)) from cause
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        raise DataError(f"not a {SCHEMA} manifest", where=str(path))
    facts_of.check(manifest, str(path))
    return manifest


def _verified(folder: Path, manifest: Mapping[str, Any]) -> bytes:
    """The weights' bytes, once every file has the SHA-256 that the manifest gives."""
    contents: dict[str, bytes] = {}
    for name in (WEIGHTS, STATE):
        path = folder / name
        try:
            contents[name] = read_plain(path)
            wanted = manifest["files"][name]["sha256"]
        except OSError as cause:
            raise DataError(f"damaged checkpoint: {cause.strerror}", where=str(path)) from cause
        except (KeyError, TypeError) as cause:
            raise DataError(f"manifest names no {name}", where=str(folder / MANIFEST)) from cause
        if hashlib.sha256(contents[name]).hexdigest() != wanted:
            raise DataError("damaged checkpoint: SHA-256 differs from manifest", where=str(path))
    return contents[WEIGHTS]
