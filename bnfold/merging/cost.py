"""What operators cost: multiply-adds, parameters, bytes moved, launches. It decides over a merge.

A merge must start fewer nodes and may not grow multiply-adds or bytes. A chain may not grow
parameters either: what was factored on purpose stays factored.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from onnx import helper

from bnfold.folding.report import Cost
from bnfold.merging.geometry import Axis, Geometry, Layout, Size

NOMINAL = 32  # what a size counts as that is not known before run time
NOTHING = Cost(0, 0, 0, 0)


def added(*costs: Cost) -> Cost:
    """The sum."""
    return Cost(
        sum(c.multiply_adds for c in costs),
        sum(c.parameters for c in costs),
        sum(c.bytes for c in costs),
        sum(c.launches for c in costs),
    )


def pays(before: Cost, after: Cost) -> bool:
    """Fewer launches, and nothing that is moved or computed grows."""
    return (
        after.launches < before.launches
        and after.multiply_adds <= before.multiply_adds
        and after.bytes <= before.bytes
    )


def read_by(geometry: Geometry, sizes: Sequence[Size]) -> int:
    """Elements of the tensor that an operator is a function of, for its spatial sizes."""
    return geometry.inputs * _positions((Axis(),) * len(geometry.axes), geometry.layout, sizes)


def made_by(geometry: Geometry, sizes: Sequence[Size]) -> int:
    """Elements of an operator's output."""
    return geometry.outputs * _positions(geometry.axes, geometry.layout, sizes)


def _positions(axes: Sequence[Axis], layout: Layout, sizes: Sequence[Size]) -> int:
    """Positions behind some axes; rows of a product of matrices count as NOMINAL."""
    if layout is Layout.LAST:
        return NOMINAL
    known = [NOMINAL if n is None else n for n in sizes]
    return prod(max(1, axis.count(n)) for axis, n in zip(axes, known, strict=True))


def of_operator(geometry: Geometry, read: int, made: int, parameters: int, width: int) -> Cost:
    """A node from the elements that it reads, makes and holds; `width` bytes an element."""
    spread = geometry.layout is Layout.TRANSPOSED  # every input position meets every tap
    positions = read // geometry.inputs if spread else made // geometry.outputs
    work = positions * geometry.weights
    return Cost(work, parameters, width * (read + made + parameters), 1)


def of_sum(operands: int, size: int, width: int) -> Cost:
    """An Add of so many tensors."""
    return Cost((operands - 1) * size, 0, width * (operands + 1) * size, 1)


def of_copy(size: int, width: int) -> Cost:
    """A Concat: all is read and written once."""
    return Cost(0, 0, width * 2 * size, 1)


def width_of(elem_type: int) -> int:
    """Bytes of an element."""
    return int(helper.tensor_dtype_to_np_dtype(elem_type).itemsize) if elem_type else 4
