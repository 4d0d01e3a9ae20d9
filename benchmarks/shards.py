"""Images a second out of tar shards, beside the same images in a plain folder.

    python benchmarks/shards.py [--images 2000] [--size 224] [--rounds 5] [--folder DIR]

Both go through the trainer's own reading, batch by batch with the next one expected, in the order
that each has by default: the folder all mixed, the shards through their buffer. Without --folder
random JPEGs of 500x375 are made. Rounds alternate; what is told is the median of the ratios.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from bnfold.training import TrainConfig, load_data
from bnfold.training.order import epoch_order
from bnfold.training.packing import pack

BATCH = 64


def made(root: Path, count: int) -> Path:
    """Smooth random pictures: noise would decode far slower than photographs do."""
    rng = np.random.default_rng(0)
    for number in range(count + 8):
        part = "train" if number < count else "val"
        folder = root / part / f"class{number % 10}"
        folder.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 256, (24, 32, 3), np.uint8))
        picture = coarse.resize((500, 375), Image.Resampling.BICUBIC)
        picture.save(folder / f"{number}.jpg", quality=90)
    return root


def rate(images, epoch: int) -> float:
    """Images a second over one epoch of random crops."""
    order = epoch_order(TrainConfig(), images.shards, epoch)
    batches = order.split(BATCH)
    seeds = [[int(i) for i in chosen] for chosen in batches]
    start = time.perf_counter()
    for here, chosen in enumerate(batches):
        if here + 1 < len(batches):
            images.expect(batches[here + 1], seeds[here + 1])
        images.take(chosen, seeds[here])
    return len(order) / (time.perf_counter() - start)


def main() -> None:
    """Print both rates and their ratio."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--per-shard", type=int, default=500)
    parser.add_argument("--folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        made_in = Path(scratch) / "folder"
        folder = Path(options.folder) if options.folder else made(made_in, options.images)
        pack(folder, Path(scratch) / "shards", per_shard=options.per_shard)
        plain = load_data(str(folder), size=options.size).train
        shards = load_data(f"shards:{scratch}/shards", size=options.size).train
        rates = [(rate(plain, n), rate(shards, n)) for n in range(options.rounds + 1)][1:]
    ratios = [packed / loose for loose, packed in rates]
    print(
        f"{len(plain)} images at {options.size}: folder "
        f"{statistics.median(r[0] for r in rates):.0f} images/s, shards "
        f"{statistics.median(r[1] for r in rates):.0f} images/s, shards / folder "
        f"{statistics.median(ratios):.3f} [{min(ratios):.3f}, {max(ratios):.3f}], "
        f"{options.rounds} rounds"
    )


if __name__ == "__main__":
    main()
