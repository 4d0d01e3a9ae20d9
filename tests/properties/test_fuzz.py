"""Random graphs: equivalent, idempotent, checked, no dearer. More by `-m slow` or the script.

What they once found stands as rows in `tests/folding/cases/found.py`.
"""

from __future__ import annotations

import os

import pytest

from tests.properties.dress import DRESSES
from tests.properties.fuzz import fails

SMALL = int(os.environ.get("BNFOLD_FUZZ_SEEDS", "250"))


@pytest.mark.parametrize("tens", range(SMALL // 10))
def test_ten_random_graphs(tens: int) -> None:
    flaws = {seed: fails(seed) for seed in range(10 * tens, 10 * tens + 10)}
    assert not any(flaws.values()), {k: v for k, v in flaws.items() if v}


@pytest.mark.parametrize("dress", [name for name in DRESSES if name != "plain"])
def test_dressed_graphs(dress: str) -> None:
    flaws = {seed: fails(seed, dress=dress) for seed in range(SMALL // 10)}
    assert not any(flaws.values()), {k: v for k, v in flaws.items() if v}


@pytest.mark.slow
@pytest.mark.parametrize("hundreds", range(100))
def test_hundred_random_graphs(hundreds: int) -> None:
    flaws = {
        seed: fails(seed) for seed in range(100_000 + 100 * hundreds, 100_100 + 100 * hundreds)
    }
    assert not any(flaws.values()), {k: v for k, v in flaws.items() if v}
