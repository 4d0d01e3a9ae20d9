"""The trainer against the bare loop of the same net and data: what its bookkeeping costs.

    python benchmarks/trainer_overhead.py [--model resnet8] [--data digits] [--rounds 40]

Both take the same batches from the same code and move copies of the same network with the same
optimiser; the bare loop does forward, loss, backward, update and nothing else. Rounds of both
alternate, in random order, and each pair gives one ratio; what is told is the median of the ratios
and its 95 % interval by bootstrap. Exit 4 where the interval lies above the limit of 3 %.
"""

from __future__ import annotations

import argparse
import copy
import random
import statistics
import sys
import time
from dataclasses import replace

import torch
from torch.nn.functional import cross_entropy

from bnfold.training import TrainConfig, load_data
from bnfold.training.loop import next_step
from bnfold.training.networks import build
from bnfold.training.state import Training, begin
from bnfold.training.window import closed, opened

LIMIT = 1.03


def trainer(training: Training, steps: int) -> None:
    """Steps as `fit` takes them, a record at the end."""
    window, rate = opened(training.device), 0.0
    for _ in range(steps):
        rate = next_step(training, window)
    closed(training, rate, window)(None, {})


def bare(training: Training, steps: int) -> None:
    """The loop that one writes down first."""
    model, optimizer = training.model, training.optimizer
    for _ in range(steps):
        inputs, labels = training.batch()
        loss = cross_entropy(model(inputs), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        training.step += 1


def timed(loop, training: Training, steps: int) -> float:
    """Seconds of the process: on a busy machine the wall says nothing."""
    if training.device.type == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter() if training.device.type == "cuda" else time.process_time()
    loop(training, steps)
    if training.device.type == "cuda":
        torch.cuda.synchronize()
        return time.perf_counter() - start
    return time.process_time() - start


def main() -> int:
    """Print the ratio and what it rests on."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="resnet8")
    parser.add_argument("--data", default="digits")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(1)
    device = torch.device(options.device)
    data = load_data(options.data).to(device)
    config = TrainConfig(model=options.model, data=options.data, batch=options.batch, epochs=10**6)
    channels, height, width = data.shape
    torch.manual_seed(0)
    model = build(options.model, classes=data.classes, channels=channels, size=(height, width))
    arms = {
        loop: begin(replace(config), copy.deepcopy(model).to(device).train(), data)
        for loop in (trainer, bare)
    }
    order, ratios, more = random.Random(0), [], []
    for index in range(options.rounds + 2):
        pair = [trainer, bare]
        order.shuffle(pair)
        seconds = {loop: timed(loop, arms[loop], options.steps) for loop in pair}
        if index >= 2:  # the first rounds warm up
            ratios.append(seconds[trainer] / seconds[bare])
            more.append((seconds[trainer] - seconds[bare]) / options.steps)
    draws = sorted(statistics.median(order.choices(ratios, k=len(ratios))) for _ in range(2000))
    low, high = draws[50], draws[1949]
    print(
        f"{options.model} on {options.data}, batch {options.batch}, {device}: the trainer takes "
        f"{statistics.median(ratios):.4f} [{low:.4f}, {high:.4f}] of the bare loop, "
        f"{1e6 * statistics.median(more):.0f} us a step more, "
        f"{options.rounds} pairs of {options.steps} steps, torch {torch.__version__}"
    )
    return 4 if low > LIMIT else 0


if __name__ == "__main__":
    sys.exit(main())
