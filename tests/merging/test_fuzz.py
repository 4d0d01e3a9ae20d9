"""Random graphs of linear branches: equivalent, idempotent, no dearer. More by `-m slow`."""

from __future__ import annotations

import pytest

from tests.merging.fuzz import fails, fails_wide


@pytest.mark.parametrize("tens", range(4))
def test_ten_random_graphs(tens: int) -> None:
    flaws = {seed: fails(seed) for seed in range(10 * tens, 10 * tens + 10)}
    assert not any(flaws.values()), {k: v for k, v in flaws.items() if v}


@pytest.mark.slow
@pytest.mark.parametrize("hundreds", range(100))
def test_hundred_random_graphs(hundreds: int) -> None:
    first = 1000 + 100 * hundreds
    flaws = {seed: fails_wide(seed) for seed in range(first, first + 100)}
    assert not any(flaws.values()), {k: v for k, v in flaws.items() if v}
