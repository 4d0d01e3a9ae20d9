"""An image folder (train/CLASS/x.jpg, val/CLASS/x.jpg) as tar shards in WebDataset's layout.

    python examples/pack_shards.py data/imagenet shards/imagenet [--per-shard 10000] [--seed 0]
    bnfold train --preset imagenet --data shards:shards/imagenet --out runs/imagenet

The same files give the same bytes. Errors end as `bnfold`'s do.
"""

from __future__ import annotations

import argparse
import sys

from bnfold.errors import BnfoldError
from bnfold.training.packing import pack


def main() -> int:
    """Pack, and say what was written."""
    parser = argparse.ArgumentParser(description="pack an image folder into tar shards")
    parser.add_argument("folder")
    parser.add_argument("out")
    parser.add_argument("--per-shard", type=int, default=10_000, help="images")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    try:
        written = pack(options.folder, options.out, per_shard=options.per_shard, seed=options.seed)
    except BnfoldError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"wrote {len(written)} shards, the last is {written[-1]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
