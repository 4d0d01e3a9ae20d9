"""The laws of maps y = s*x + t, whatever their numbers and axes."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bnfold.folding.affine import Affine, joined

settings.register_profile("laws", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("laws")
SIZES = (2, 3, 4)  # of the tensors that the maps act on
NUMBERS = st.sampled_from([0.0, 1.0, -1.0, 0.5, -2.0, 3.0, 1e-3, 1e3, 0.25])


@st.composite
def maps(draw: st.DrawFn, sizes: tuple[int, ...] = SIZES) -> Affine:
    """A map on a tensor of these sizes, constant along any axes."""

    def part() -> np.ndarray:
        shape = tuple(draw(st.sampled_from([1, n])) for n in sizes)
        return draw(hnp.arrays(np.float64, shape, elements=NUMBERS))

    return Affine.of(part(), part())


def tensors(sizes: tuple[int, ...] = SIZES) -> st.SearchStrategy[np.ndarray]:
    return hnp.arrays(np.float64, sizes, elements=st.integers(-8, 8).map(float))


def apply(m: Affine, x: np.ndarray) -> np.ndarray:
    return m.scale * x + m.shift


def close(a: np.ndarray, b: np.ndarray) -> bool:
    return np.allclose(a, b, rtol=1e-12, atol=1e-9)


def same(a: Affine, b: Affine) -> bool:
    """The same function, but for rounding."""
    shape = np.broadcast_shapes(a.scale.shape, a.shift.shape, b.scale.shape, b.shift.shape)
    wide = [np.broadcast_to(v, shape) for v in (a.scale, b.scale, a.shift, b.shift)]
    return close(wide[0], wide[1]) and close(wide[2], wide[3])


@given(maps(), maps(), tensors())
def test_after_is_composition(outer: Affine, inner: Affine, x: np.ndarray) -> None:
    assert close(apply(outer.after(inner), x), apply(outer, apply(inner, x)))


@given(maps(), maps(), maps())
def test_composition_is_associative(a: Affine, b: Affine, c: Affine) -> None:
    assert same(a.after(b).after(c), a.after(b.after(c)))


@given(maps())
def test_identity_is_neutral(m: Affine) -> None:
    one = Affine.identity(m.rank)
    assert m.after(one) == m == one.after(m)
    assert one.is_identity
    assert m.is_identity == (m == one)


@given(maps())
def test_normal_form_is_unique_and_smallest(m: Affine) -> None:
    """The same values written at full size make the same map; equality is of functions."""
    full = [np.broadcast_to(v, SIZES).copy() for v in (m.scale, m.shift)]
    assert Affine.of(*full) == m
    for part in (m.scale, m.shift):
        for axis, n in enumerate(part.shape):
            assert n == 1 or not (part == part.take([0], axis)).all()


@given(maps())
def test_map_is_its_shift_after_its_scale(m: Affine) -> None:
    assert m.shift_part().after(m.scale_part()) == m
    assert m.scale_part().is_scale_only
    assert m.shift_part().is_shift_only


@given(maps(), tensors(), st.permutations(range(len(SIZES))))
def test_transpose_commutes(m: Affine, x: np.ndarray, perm: list[int]) -> None:
    assert np.array_equal(apply(m.transposed(perm), x.transpose(perm)), apply(m, x).transpose(perm))


@given(maps(), tensors(), st.integers(0, 2), st.data())
def test_take_commutes(m: Affine, x: np.ndarray, axis: int, data: st.DataObject) -> None:
    where = data.draw(st.lists(st.integers(0, SIZES[axis] - 1), min_size=1, max_size=6))
    assert np.array_equal(
        apply(m.take(axis, where), x.take(where, axis)), apply(m, x).take(where, axis)
    )


@given(maps(), tensors(), st.sets(st.integers(0, 4), min_size=2, max_size=2))
def test_new_axes_come_and_go(m: Affine, x: np.ndarray, axes: set[int]) -> None:
    at = sorted(axes)
    wider = m.with_axes(at)
    assert np.array_equal(apply(wider, np.expand_dims(x, at)), np.expand_dims(apply(m, x), at))
    assert wider.without_axes(at) == m


@given(st.integers(0, 2), st.data())
def test_join_of_pieces_acts_piece_by_piece(axis: int, data: st.DataObject) -> None:
    lengths = data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    sizes = [tuple(n if i == axis else s for i, s in enumerate(SIZES)) for n in lengths]
    parts = [data.draw(maps(s)) for s in sizes]
    xs = [data.draw(tensors(s)) for s in sizes]
    whole = joined(parts, lengths, axis)
    want = np.concatenate([apply(m, x) for m, x in zip(parts, xs, strict=True)], axis)
    assert np.array_equal(apply(whole, np.concatenate(xs, axis)), want)


@given(maps(), tensors())
@settings(max_examples=50)
def test_predicates_mean_what_they_say(m: Affine, x: np.ndarray) -> None:
    assert m.nonnegative == bool((m.scale >= 0).all())
    assert m.invertible == bool((m.scale != 0).all())
    if m.is_uniform:
        assert len(np.unique(m.scale)) == len(np.unique(m.shift)) == 1
    assert m.axes == tuple(i for i in range(3) if max(m.scale.shape[i], m.shift.shape[i]) > 1)
    assert m.is_finite
    assert not Affine.of(m.scale * np.nan, m.shift).nonnegative
    assert not Affine.of(m.scale, m.shift + np.inf).is_finite
