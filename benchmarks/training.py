"""Training throughput on fake data: a bare torch loop beside bnfold's, as images/s and of a floor.

The floor is what this device could do at best: the multiplications at the rate of its own matmul,
the bytes that every operator reads and writes at the rate of its own copy, one of them hiding the
other (`eager`); and with every elementwise operator fused away (`fused`). Both loops take turns.
`python benchmarks/training.py [--smoke] [--models resnet50,timm:mobilenetv2_100]`
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any, get_args, get_type_hints

import processes
import torch
import training_floor
from resnet50_torch import resnet50
from torch import nn

from bnfold.training import TrainConfig
from bnfold.training.dataset import Dataset, Split
from bnfold.training.loop import fit
from bnfold.training.state import begin
from bnfold_models import create

CLASSES = 1000
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
OURS_TAKES = get_args(get_type_hints(TrainConfig)["precision"])


@dataclass(frozen=True)
class Setting:
    """One line of the table."""

    model: str
    mode: str  # eager, compiled
    precision: str
    layout: str  # contiguous, channels_last
    batch: int
    size: int
    device: str


@dataclass(frozen=True)
class Row:
    """Images a second of both loops, the median of their paired ratios, the floors."""

    setting: Setting
    bare: float
    ours: float | None
    ratio: float | None
    floor_eager: float
    floor_fused: float


def network(name: str, size: int) -> nn.Module:
    """`resnet50` from here, `timm:NAME`, or one of bnfold's."""
    if name == "resnet50":
        return resnet50(CLASSES)
    if name.startswith("timm:"):
        import timm

        made: nn.Module = timm.create_model(name.removeprefix("timm:"), num_classes=CLASSES)
        return made
    return create(name, classes=CLASSES, channels=3, size=(size, size))


def prepared(setting: Setting) -> nn.Module:
    """On its device, in its layout, compiled where asked for; the same weights every time."""
    torch.manual_seed(0)
    last = setting.layout == "channels_last"
    layout = torch.channels_last if last else torch.contiguous_format
    made = network(setting.model, setting.size).to(setting.device, memory_format=layout).train()
    return torch.compile(made) if setting.mode == "compiled" else made


def bare(setting: Setting) -> Callable[[int], None]:
    """Forward, backward, update, and nothing else: so many steps a call."""
    model = prepared(setting)
    images = torch.randn(setting.batch, 3, setting.size, setting.size, device=setting.device)
    if setting.layout == "channels_last":
        images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.randint(CLASSES, (setting.batch,), device=setting.device)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, nesterov=True)
    scaler = torch.amp.GradScaler(setting.device, enabled=setting.precision == "float16")
    dtype = DTYPES[setting.precision]

    def steps(count: int) -> None:
        for _ in range(count):
            with torch.autocast(setting.device, dtype, enabled=dtype != torch.float32):
                loss = nn.functional.cross_entropy(model(images).float(), labels)
            optimizer.zero_grad(set_to_none=True)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()

    return steps


def ours(setting: Setting) -> Callable[[int], None] | None:
    """The loop of bnfold with its records, on a data set of noise that lies on the device."""
    if setting.precision not in OURS_TAKES:
        return None
    config = TrainConfig(
        device=setting.device, batch=setting.batch, precision=setting.precision,
        layout=setting.layout, steps=1, schedule="constant", warmup=0.0, lr=1e-3,
        log_every=10, save_every=10**9,
    )  # fmt: skip
    shape = (2 * setting.batch, 3, setting.size, setting.size)
    images = torch.randint(256, shape, dtype=torch.uint8)
    split = Split(images, torch.randint(CLASSES, (len(images),)))
    test = Split(images[:1], split.labels[:1])
    data = Dataset("noise", split, test, CLASSES, 255, (0.5,), (0.25,))
    training = begin(config, prepared(setting), data.to(torch.device(setting.device)))

    def steps(count: int) -> None:
        training.steps = training.step + count
        fit(
            training,
            on_record=lambda _: None,
            on_save=lambda _, __: None,
            stopped=lambda: False,
        )

    return steps


def seconds(steps: Callable[[int], None], count: int, device: str) -> float:
    """Of `count` steps, the device waited for."""
    start = time.perf_counter()
    steps(count)
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def measured(setting: Setting, given: argparse.Namespace) -> Row:
    """Both loops by turns, window for window, in swapped order."""
    loops = {"bare": bare(setting), "ours": ours(setting)}
    alive = {name: loop for name, loop in loops.items() if loop}
    for loop in alive.values():
        seconds(loop, given.warm_up, setting.device)
    taken: dict[str, list[float]] = {name: [] for name in alive}
    for number in range(given.windows):
        for name in sorted(alive, reverse=bool(number % 2)):
            taken[name].append(seconds(alive[name], given.steps, setting.device))
    images = setting.batch * given.steps
    ratios = [b / o for b, o in zip(taken["bare"], taken.get("ours", []), strict=False)]
    cost = training_floor.cost(network(setting.model, setting.size), setting.size)
    rates = training_floor.rates(setting.device, DTYPES[setting.precision])
    return Row(
        setting,
        images / statistics.median(taken["bare"]),
        images / statistics.median(taken["ours"]) if "ours" in taken else None,
        statistics.median(ratios) if ratios else None,
        floor_eager=1 / training_floor.seconds(cost.flops, cost.eager, rates),
        floor_fused=1 / training_floor.seconds(cost.flops, cost.fused, rates),
    )


def settings(given: argparse.Namespace) -> Iterator[Setting]:
    """The grid: compiled and eager, every precision, both layouts."""
    grid = product(given.models, given.modes, given.precisions, given.layouts)
    for model, mode, precision, layout in grid:
        yield Setting(model, mode, precision, layout, given.batch, given.size, given.device)


def table(rows: list[Row]) -> str:
    """Markdown."""
    heads = "| model | mode | precision | layout | bare images/s | bnfold images/s | bnfold / bare "
    heads += "| of the eager floor | of the fused floor |"
    lines = [heads, "| --- | --- | --- | --- |" + " ---: |" * 5]
    for row in rows:
        s, best = row.setting, max(row.bare, row.ours or 0)
        cells = [s.model, s.mode, s.precision, s.layout, f"{row.bare:.1f}"]
        cells += ["-", "-"] if row.ours is None else [f"{row.ours:.1f}", f"{row.ratio:.3f}"]
        cells += [f"{best / row.floor_eager:.0%}", f"{best / row.floor_fused:.0%}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    """The command line; `--smoke` shrinks what was not given."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    cuda = torch.cuda.is_available()
    words = {"type": lambda text: text.split(",")}
    parser.add_argument("--smoke", action="store_true", help="seconds on a CPU: does it all run")
    parser.add_argument("--device", default="cuda" if cuda else "cpu")
    parser.add_argument("--models", **words)
    parser.add_argument("--modes", default=["eager", "compiled"], **words)
    parser.add_argument("--precisions", default=["bfloat16", "float16"], **words)
    parser.add_argument("--layouts", default=["channels_last"] if cuda else ["contiguous"], **words)
    for name, full, _smoke in SIZES:
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, help=f"default {full}")
    parser.add_argument("--json", type=Path, help="write the rows here; rows there are kept")
    given = parser.parse_args()
    given.models = given.models or (["resnet20"] if given.smoke else ["resnet50", "preact8"])
    if given.smoke:
        given.modes, given.precisions = ["eager"], ["float32", "bfloat16"]
    for name, full, smoke in SIZES:
        if getattr(given, name) is None:
            setattr(given, name, smoke if given.smoke else full)
    return given


SIZES = (
    ("batch", 256, 8),
    ("size", 224, 32),
    ("steps", 10, 1),
    ("windows", 6, 2),
    ("warm_up", 10, 1),
)


def main() -> None:
    """Prints a Markdown table; goes on where its JSON ends."""
    given = arguments()
    done: list[dict[str, Any]] = []
    if given.json and given.json.exists():
        done = json.loads(given.json.read_text())
    rows = [Row(**{**told, "setting": Setting(**told["setting"])}) for told in done]
    for setting in settings(given):
        if any(row.setting == setting for row in rows):
            continue
        try:
            rows.append(measured(setting, given))
        except Exception as error:  # one setting may not end the table
            print(f"{setting}: {type(error).__name__}: {error}", file=sys.stderr)
            continue
        if given.json:
            told = [asdict(row) for row in rows]
            given.json.write_text(json.dumps(told, indent=1) + "\n")
    name = torch.cuda.get_device_name() if given.device == "cuda" else processes.machine()
    print(f"{name}, torch {torch.__version__}, batch {given.batch}, {given.size} pixels\n")
    print(table(rows))


if __name__ == "__main__":
    main()
