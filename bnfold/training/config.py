"""What a run is asked to do: one frozen record, and KEY=VALUE overrides."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from bnfold.errors import UsageError

SCHEMA = "bnfold.config/1"
Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """A training run. `steps` > 0 sets the length instead of `epochs`; `lr` is the peak rate."""

    model: str = "digits"  # a name of bnfold_models, or package.module:callable
    data: str = "digits"  # a name, or a folder of idx files
    out: str | None = None  # the run folder; default runs/MODEL-DATA
    seed: int = 0
    device: Device = "auto"
    threads: int = 0  # of torch on the CPU; 0 is torch's own choice
    epochs: int = 20
    steps: int = 0
    batch: int = 64
    lr: float = 0.1
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4
    decay_norms: bool = False  # L2 on gamma, beta and biases too
    schedule: Literal["cosine", "exponential", "step", "constant"] = "cosine"
    warmup: float = 0.1  # the share of all steps in which the rate climbs to its peak
    decay: float = 0.94  # exponential and step: the factor ...
    decay_epochs: float = 1.0  # ... and how often it applies
    label_smoothing: float = 0.0
    accumulate: int = 1  # micro-batches a step; BatchNorm normalises over each by itself
    ema: float = 0.0  # decay of averaged weights, which the last checkpoint then holds; 0 is off
    weights: str | None = None  # a file, run or checkpoint to start from
    freeze_bn: bool = False  # statistics, gamma and beta stay as they are
    shift: int = 0  # augmentation: each image moved by up to so many pixels
    flip: bool = False  # augmentation: each image mirrored or not
    jitter: float = 0.0  # augmentation: brightness and contrast times up to 1 +- this
    # of all images, of tar shards through a buffer, of whole shards, or of batches composed once;
    # auto: the first, and the second for several shards
    shuffle: Literal["auto", "all", "within-shard", "shards", "batches"] = "auto"
    shuffle_buffer: int = 10_000  # images that within-shard draws from
    crop: Literal["random", "centre"] = "random"  # of image folders and shards, in training
    size: int = 224  # of images from image folders and shards
    binarize: bool = False  # pixels thresholded at one half (paper, 4.1)
    # of products and sums in convolutions and matrices; BatchNorm's parameters stay in float32
    precision: Literal["float32", "tf32", "bfloat16", "float16"] = "float32"
    layout: Literal["auto", "channels_last", "contiguous"] = "auto"  # auto: channels last on CUDA
    compile: bool = False  # by torch.compile
    deterministic: bool = False  # of two ways the one that gives the same bits each time
    estimator: Literal["pooled", "paper", "moving"] = "pooled"
    calibration_batches: int = 100
    sync_bn: bool = False  # several ranks: BatchNorm over the images of all
    elastic: bool = False  # resume with another number of ranks
    timeout: int = 300  # seconds that a rank waits for the others
    log_every: int = 10
    save_every: int = 5  # epochs between checkpoints and held-out accuracies
    keep: int = 2  # checkpoints kept beside the best
    tensorboard: bool = False  # the records as TensorBoard events too

    def folder(self) -> Path:
        """The run folder, given or by default."""
        data = Path(self.data).name or "data"
        return (
            Path(self.out) if self.out else Path("runs") / f"{self.model}-{data}".replace(":", "-")
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data, as config.json holds it."""
        return {"schema": SCHEMA, **asdict(self)}


_TYPES = get_type_hints(TrainConfig)
KEYS: tuple[str, ...] = tuple(f.name for f in fields(TrainConfig))


def override(config: TrainConfig, settings: Iterable[str]) -> TrainConfig:
    """The config with KEY=VALUE settings applied; every bad one is reported at once.

    Raises:
        UsageError: a setting is not KEY=VALUE, or a key or value is not right.
    """
    wrong: list[str] = []
    values: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            wrong.append(f"'{setting}' is not KEY=VALUE")
        elif key not in _TYPES:
            wrong.append(f"unknown key '{key}' ({nearest(key, KEYS)})")
        else:
            try:
                values[key] = _parse(_TYPES[key], text)
            except ValueError as cause:
                wrong.append(f"{key}={text}: {cause}")
    if wrong:
        raise UsageError("; ".join(wrong), hint=f"keys: {', '.join(KEYS)}")
    return validated(replace(config, **values))


def validated(config: TrainConfig) -> TrainConfig:
    """The config itself, if every number lies where it must.

    Raises:
        UsageError: naming every value that does not.
    """
    rules = {
        "epochs or steps must be positive": config.epochs > 0 or config.steps > 0,
        "batch must be at least 2": config.batch >= 2,
        "lr must be positive": config.lr > 0,
        "momentum must lie in [0, 1)": 0 <= config.momentum < 1,
        "nesterov needs momentum": not config.nesterov or config.momentum > 0,
        "weight_decay must not be negative": config.weight_decay >= 0,
        "warmup must lie in [0, 1)": 0 <= config.warmup < 1,
        "decay must lie in (0, 1]": 0 < config.decay <= 1,
        "decay_epochs must be positive": config.decay_epochs > 0,
        "label_smoothing must lie in [0, 1)": 0 <= config.label_smoothing < 1,
        "accumulate must divide batch into at least 2 images": config.accumulate > 0
        and config.batch % config.accumulate == 0
        and config.batch // config.accumulate >= 2,
        "ema must lie in [0, 1)": 0 <= config.ema < 1,
        "freeze_bn needs weights": not config.freeze_bn or bool(config.weights),
        "size must lie in 8..2048": 8 <= config.size <= 2048,
        "jitter must lie in [0, 1)": 0 <= config.jitter < 1,
        "shift must not be negative": config.shift >= 0,
        "steps, seed, threads must not be negative": min(
            config.steps, config.seed, config.threads
        ) >= 0,
        "calibration_batches, log_every, save_every, keep, timeout must be positive": min(
            config.calibration_batches, config.log_every, config.save_every, config.keep,
            config.timeout,
        ) > 0,
        "shuffle_buffer must be positive": config.shuffle_buffer > 0,
    }  # fmt: skip
    for key, kind in _TYPES.items():
        if get_origin(kind) is Literal:
            allowed = get_args(kind)
            rules[f"{key} must be one of {', '.join(allowed)}"] = getattr(config, key) in allowed
    wrong = [rule for rule, holds in rules.items() if not holds]
    if wrong:
        raise UsageError("; ".join(wrong))
    return config


def from_dict(data: Mapping[str, Any]) -> TrainConfig:
    """The config that `to_dict` wrote.

    Raises:
        ValueError: it is of another schema, or has other keys.
    """
    if data.get("schema") != SCHEMA:
        raise ValueError(f"schema {data.get('schema')!r} is not {SCHEMA!r}")
    values = {key: value for key, value in data.items() if key != "schema"}
    try:
        return validated(TrainConfig(**values))
    except (TypeError, UsageError) as cause:
        raise ValueError(str(cause)) from cause


def _parse(kind: Any, text: str) -> Any:
    """The text as a value of the field's type."""
    if get_origin(kind) is Literal:
        if text not in get_args(kind):
            raise ValueError(f"not one of {', '.join(get_args(kind))}")
        return text
    if kind is bool:
        answers = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        if text.lower() not in answers:
            raise ValueError("not true or false")
        return answers[text.lower()]
    if kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            raise ValueError(f"not {'a whole' if kind is int else 'a'} number") from None
    return None if NoneType in get_args(kind) and text == "" else text


def nearest(name: str, known: Iterable[str]) -> str:
    """The names most like `name`, for a hint, or all of them."""
    known = tuple(known)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return f"did you mean {', '.join(near)}?" if near else f"one of {', '.join(known)}"
