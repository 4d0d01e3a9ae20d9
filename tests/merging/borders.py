"""Random sums in which a branch writes its own padding, right or nearly right."""

from __future__ import annotations

import numpy as np

from tests.build import ints, randn, tensor
from tests.merging.grow import Branches, Dims

BATCH = 2  # a border of constants is made for a known size


def framed_sum(net: Branches, x: str, shape: Dims) -> tuple[str, Dims]:
    """A Conv beside a 1x1 Conv within a border of constants, which another Conv reads."""
    rng = net.rng
    inside = int(rng.choice([2, 4, 8]))
    bias = randn(rng, inside)
    weight = net.constant(randn(rng, inside, shape[0], *[1] * net.rank))
    inner = net.add("Conv", [x, weight, net.constant(bias)])
    widths = rng.integers(0, 3, (2, net.rank))
    framed, made = _framed(net, inner, (inside, *shape[1:]), widths, bias)
    outputs = int(rng.choice([shape[0], 2]))
    if rng.random() < 0.7:  # a kernel that takes the border up, as those blocks have it
        kernel = net.constant(randn(rng, outputs, inside, *(int(w) + 1 for w in widths.sum(0))))
        term, target = net.add("Conv", [framed, kernel]), (outputs, *shape[1:])
    else:
        term, target = net.conv(framed, made, outputs)
    beside, other = net.conv(x, shape, target[0], target)
    if rng.random() < 0.5:
        term = net.norm(term, target)
    return (net.add("Add", [term, beside]), target) if other == target else (term, target)


def _framed(
    net: Branches, x: str, shape: Dims, widths: np.ndarray, bias: np.ndarray
) -> tuple[str, Dims]:
    rng = net.rng
    spans = [(int(a), int(a) + n) for a, n in zip(widths[0], shape[1:], strict=True)]
    made = (
        shape[0],
        *(n + int(w) for n, w in zip(shape[1:], widths.sum(axis=0), strict=True)),
    )
    edge = np.ones((BATCH, *made), bool)
    edge[(slice(None), slice(None), *(slice(*span) for span in spans))] = False
    value = np.broadcast_to(bias.reshape(-1, *[1] * net.rank), edge.shape).copy()
    if rng.random() < 0.2:  # nearly: one value is another one's, or the mask has a hole or a patch
        at = tuple(int(rng.integers(0, n)) for n in edge.shape)
        if rng.random() < 0.5:
            value[at] += 1
        else:
            edge[at] = not edge[at]
    name = f"c{len(net.constants)}"
    net.constants.append(ints(name, 0, 0, *map(int, widths[0]), 0, 0, *map(int, widths[1])))
    padded = net.add("Pad", [x, name])
    if rng.random() < 0.5:
        mask = tensor(f"c{len(net.constants)}", edge)
        net.constants.append(mask)
        return net.add("Where", [mask.name, net.constant(value), padded]), made
    where = tensor(f"c{len(net.constants)}", np.argwhere(edge))
    net.constants.append(where)
    return net.add("ScatterND", [padded, where.name, net.constant(value[edge])]), made
