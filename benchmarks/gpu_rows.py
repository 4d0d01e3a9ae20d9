"""`python gpu_rows.py OPTIONS_JSON ORIGINAL FOLDED`: bench on CUDA, batch 1 and 32, as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from open_sizes import open_sizes

from bnfold.latency import bench

if __name__ == "__main__":
    options, *models = sys.argv[1:]
    report = bench(
        models,
        batches=(1, 32),
        shapes=open_sizes(Path(models[0])),
        provider="cuda",
        provider_options=json.loads(options),
        quick=True,
    )
    print(json.dumps(report.to_dict()))
