"""Zeros along a line: of smooth functions, and of functions in pieces, where a jump may lie close to a zero."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

from ppl.runtime import lines, roots

U = Callable[[Array, Array], Array]


def zeros(f: Any, most: int = 12, *, pieces: bool = False) -> np.ndarray:
    with jax.enable_x64(True):
        value = (lambda s: f(s)[0]) if pieces else f
        at = lines.cells(value, lines.sample(f, jnp.float64, pieces=pieces))
        found = roots.isolated(value, at, most)
        return np.sort(np.asarray(found.s)[np.asarray(found.ok)])


def test_all_zeros_of_a_smooth_function() -> None:
    found = zeros(lambda s: jnp.sin(2 * s) - 0.5)
    k = np.arange(-7, 7)
    want = np.concatenate([np.pi / 12 + np.pi * k, 5 * np.pi / 12 + np.pi * k])
    want = np.sort(want[np.abs(want) < 9])
    np.testing.assert_allclose(found, want[: len(found)] if len(want) > 12 else want, atol=1e-9)


def test_a_pair_of_zeros_in_one_cell() -> None:
    np.testing.assert_allclose(zeros(lambda s: (s - 0.4) ** 2 - 1e-6), [0.399, 0.401], atol=1e-9)


@pytest.mark.parametrize("gap", [0.2, 0.03, 1e-4, 1e-5])
@pytest.mark.parametrize("height", [-2.0, 2.0])
def test_a_zero_close_to_a_jump(gap: float, height: float) -> None:
    """The value changes its sign at 0.1 and jumps back, or on, at 0.1 + gap: only the former is a zero."""

    def f(s: Array) -> tuple[Array, Array]:
        beyond = s > 0.1 + gap
        return s - 0.1 + jnp.where(beyond, height, 0.0), beyond.astype(jnp.uint32)

    want = [0.1] if height > 0 else [0.1, 2.1]
    np.testing.assert_allclose(zeros(f, pieces=True), want, atol=1e-9)


def test_several_pieces_in_one_cell() -> None:
    ends = jnp.array([0.11, 0.13, 0.17, 0.2, 0.22])

    def f(s: Array) -> tuple[Array, Array]:
        k = jnp.sum(s > ends)
        return jnp.array([1.0, -1.0, 1.0, 0.0, -1.0, 1.0])[k] + jnp.where(k == 3, s - 0.19, 0.0), k.astype(jnp.uint32)

    np.testing.assert_allclose(zeros(f, pieces=True), [0.19], atol=1e-9)


def test_too_many_zeros_are_thinned_without_bias() -> None:
    with jax.enable_x64(True):
        at = lines.cells(lambda s: jnp.sin(4 * s), lines.sample(lambda s: jnp.sin(4 * s), jnp.float64))

        def total(chance: Array) -> Array:
            found = roots.isolated(lambda s: jnp.sin(4 * s), at, 12, chance)
            return jnp.sum(jnp.where(found.ok, found.weight * jnp.exp(-0.5 * found.s**2), 0.0))

        totals = np.asarray(jax.vmap(total)(jnp.linspace(0, 1, 2001)[:-1] + 1 / 4000))
        want = np.exp(-0.5 * (np.pi / 4 * np.arange(-11, 12)) ** 2).sum()
        np.testing.assert_allclose(totals.mean(), want, rtol=2e-3)
        assert totals.std() > 0


def of_lines(f: U, y: np.ndarray) -> list[np.ndarray]:
    """The zeros of the lines ``s -> f(s, y)``, and their weights."""

    def of_line(y: Array, chance: Array) -> tuple[Array, Array]:
        at = lines.cells(lambda s: f(s, y), lines.sample(lambda s: f(s, y), chance.dtype), chance)
        found = roots.isolated(lambda s: f(s, y), at, 12, chance)
        return found.s, jnp.where(found.ok, found.weight, 0.0)

    chance = np.random.default_rng(1).uniform(size=len(y)).astype(y.dtype)
    lowered = jax.jit(jax.vmap(of_line)).lower(y, chance)
    quickly = lowered.compile(compiler_options={"xla_backend_optimization_level": 0})
    return [np.asarray(x) for x in quickly(y, chance)]


@pytest.mark.parametrize(("dtype", "thinnest"), [(np.float64, 1e-4), (np.float32, 0.05)])
def test_both_sides_of_a_thin_strip(dtype: type, thinnest: float) -> None:
    """From a width of one cell down to what docs/language.md says."""
    rng = np.random.default_rng(0)
    widths = 2 * lines.reach(dtype) / lines.CELLS * np.geomspace(thinnest, 1, 8)
    place, width = (np.ravel(x) for x in np.broadcast_arrays(rng.uniform(-2, 2, (50, 8)), widths))

    def f(s: Array, y: Array) -> Array:
        x = (s - y[0]) / y[1]
        return jnp.exp(-2.8 * x * x) + 0.1 * jnp.sin(s) - 0.5

    with jax.enable_x64(dtype is np.float64):
        _, weight = of_lines(f, np.stack([place, width], axis=1).astype(dtype))
    np.testing.assert_array_equal(np.sum(weight, axis=1), 2)


def test_more_thin_strips_than_are_looked_at_are_without_bias() -> None:
    """25 of them, of which a random few are looked at."""
    with jax.enable_x64(True):
        s, weight = of_lines(lambda s, _: jnp.exp(-4000 * jnp.sin(6 * s) ** 2) - 0.5, np.zeros(2000))
        totals = np.sum(weight * np.exp(-0.5 * s**2), axis=1)
    want = 2 * np.exp(-0.5 * (np.pi / 6 * np.arange(-12, 13)) ** 2).sum()
    error = totals.std() / np.sqrt(len(totals))
    assert 0 < error < 0.02 * want
    assert abs(totals.mean() - want) < 4 * error + 1e-3 * want


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_zeros_that_crowd_in_a_tail(dtype: type) -> None:
    """``sin(2.8 x) = 0.8`` under a wide log-normal: thousands of zeros, up to hundreds in one cell of the grid."""

    def f(s: Array) -> Array:
        return jnp.sin(2.8 * jnp.exp(0.7 + 1.2 * s)) - 0.8

    def total(chance: Array) -> Array:
        at = lines.cells(f, lines.sample(f, chance.dtype), chance)
        found = roots.isolated(f, at, 12, chance)
        return jnp.sum(jnp.where(found.ok, found.weight * jnp.exp(-0.5 * found.s**2), 0.0))

    turns = 2 * np.pi * np.arange(100_000)
    angles = np.concatenate([turns + np.arcsin(0.8), turns + np.pi - np.arcsin(0.8)])
    want = np.exp(-0.5 * ((np.log(angles / 2.8) - 0.7) / 1.2) ** 2).sum()
    with jax.enable_x64(dtype is np.float64):
        chances = (jnp.arange(4000) + 0.5).astype(dtype) / 4000
        totals = np.asarray(jax.jit(jax.vmap(total))(chances))
    error = totals.std() / np.sqrt(len(totals))
    assert error < 0.006 * want
    lost = 0.002 if dtype is np.float64 else 0.02  # zeros closer together than float32 tells apart
    assert abs(totals.mean() - want) < 4 * error + lost * want


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_rounding_at_the_end_does_not_lose_a_zero(dtype: type) -> None:
    """Hardly optimised code rounds such that Newton's steps leave the bracket by a unit in the last place."""
    rng = np.random.default_rng(0)
    slope, rest = rng.uniform(0.2, 1.5, 4000).astype(dtype), rng.normal(size=4000).astype(dtype)
    zero = rng.uniform(-3, 3, 4000).astype(dtype)

    def f(s: jax.Array, slope: jax.Array, rest: jax.Array) -> jax.Array:
        return jnp.tanh(0.2) + (0.3 + slope * s) * 1.7 + rest

    def search(slope: jax.Array, rest: jax.Array, level: jax.Array, zero: jax.Array) -> roots.Zero:
        return roots.refine(lambda s: f(s, slope, rest) - level, zero - 0.13, zero + 0.15, 14)

    with jax.enable_x64(dtype is np.float64):
        arguments = slope, rest, np.asarray(f(zero, slope, rest)), zero
        lowered = jax.jit(jax.vmap(search)).lower(*arguments)
        s, ok, *_ = lowered.compile(compiler_options={"xla_backend_optimization_level": 0})(*arguments)
    assert ok.all()
    np.testing.assert_allclose(s, zero, atol=100 * np.finfo(dtype).eps)


FLAT: dict[str, U] = {
    "cubic": lambda x, y: (x - y) ** 3,
    "seventh power": lambda x, y: (x - y) ** 7,
    "times a curve": lambda x, y: (x - y) ** 3 * (1 + x * x),
    "sine": lambda x, y: (x - y) - jnp.sin(x - y),
    "function of it": lambda x, y: jax.nn.log_sigmoid((x - y) ** 3) + np.log(2.0),
    "multiplied out": lambda x, y: x**3 - 3 * x * x * y + 3 * x * y * y - y**3,
    "exponentials": lambda x, y: jnp.exp(3 * x - 3 * y) - 3 * jnp.exp(2 * x - 2 * y) + 3 * jnp.exp(x - y) - 1,
}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("width", [0.28, 18.0])
@pytest.mark.parametrize("name", FLAT)
def test_zeros_without_a_slope(name: str, width: float, dtype: type) -> None:
    """They are found, and derivatives beside them tell how they move: as y does, in units of the scale 0.8."""
    rng = np.random.default_rng(0)
    y = rng.uniform(-2, 2, 1000)
    zero = (y - 0.3) / 0.8
    start = zero - width * rng.uniform(0.01, 0.99, 1000)

    def value(s: Array, y: Array) -> Array:
        return FLAT[name](0.3 + 0.8 * s, y)

    def search(a: Array, b: Array, y: Array, side: Array) -> tuple[roots.Zero, Array]:
        found = roots.refine(lambda s: value(s, y), a, b, 60)
        at = found.s + jnp.where(found.side != 0, found.side, side) * found.away
        return found, -jax.grad(value, 1)(at, y) / jax.grad(value)(at, y)

    arguments = (start, start + width, y, np.where(rng.uniform(size=1000) < 0.5, -1, 1))
    with jax.enable_x64(dtype is np.float64):
        found, velocity = jax.jit(jax.vmap(search))(*(jnp.asarray(x, dtype) for x in arguments))
    s, ok, away, _ = map(np.asarray, found)
    rounded = name in ("multiplied out", "exponentials", "function of it")
    exact = dtype is np.float64
    # In single precision what is multiplied out may have one sign all over a narrow bracket.
    assert ok.mean() == 1 or (rounded and not exact and ok.mean() > 0.97)
    np.testing.assert_allclose(
        s[ok], zero[ok], atol=(3e-5 if rounded else 1e-7) if exact else (0.03 if rounded else 2e-3)
    )
    assert (away[ok] > 0).mean() > 0.9
    velocity = np.asarray(velocity)[ok]
    error = (1e-4 if rounded else 1e-5) if exact else 0.05
    assert np.quantile(np.abs(velocity * 0.8 - 1), 0.98) < error
    assert abs(np.mean(velocity) * 0.8 - 1) < (1e-5 if exact else 5e-3)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_what_only_touches_zero_has_none(dtype: type) -> None:
    """``-(x - y)^2`` multiplied out is positive here and there, by rounding; so is ``1 - (x - y)^2 - 1``."""
    y = np.random.default_rng(1).uniform(-3, 3, 4000)

    def candidates(f: U, y: Array) -> Array:
        def value(s: Array) -> Array:
            return f(0.3 + 0.8 * s, y)

        ends = jnp.stack([jnp.full_like(y, -6), (y - 0.3) / 0.8, jnp.full_like(y, 6)])
        return jnp.sum(roots.between(value, ends, 48, True).ok)

    with jax.enable_x64(dtype is np.float64):
        for f in (lambda x, y: 2 * x * y - x * x - y * y, lambda x, y: 1 - (x - y) ** 2 - 1):
            count = jax.jit(jax.vmap(lambda y, f=f: candidates(f, y)))(jnp.asarray(y, dtype))
            assert not count.any()


def test_zeros_stay_told_apart() -> None:
    """Two zeros close together, and three, in spite of bends that hide whether there is a slope."""
    for gap in (1e-1, 1e-3, 1e-5):
        pair = zeros(lambda s, gap=gap: (s - 0.1) ** 2 - gap**2 / 4)
        np.testing.assert_allclose(pair, [0.1 - gap / 2, 0.1 + gap / 2], atol=1e-9)

        def three(s: Array, gap: float = gap) -> Array:
            return (s - 0.1) * (s - 0.1 - gap) * (s - 0.1 + gap)

        with jax.enable_x64(True):
            ends = jnp.array([-9.0, 0.1 - gap / 2, 0.1 + gap / 2, 9.0])
            found = roots.between(three, ends, 60)
        assert found.ok.all() and not found.away.any()
        np.testing.assert_allclose(found.s, [0.1 - gap, 0.1, 0.1 + gap], atol=1e-9)


@pytest.mark.parametrize("height", [1e-4, 1e-2, 0.5])
def test_a_jump_at_a_zero_is_none(height: float) -> None:
    """However far off the places are by which a zero is told."""
    with jax.enable_x64(True):
        for f in (lambda s: s + height * (s > 0.1) - 0.1, lambda s: 0.2 * (s - 0.1) + height * jnp.sign(s - 0.1)):
            assert not roots.refine(f, jnp.asarray(-0.05), jnp.asarray(0.23), 40).ok
        assert roots.refine(lambda s: s - 0.1, jnp.asarray(-0.05), jnp.asarray(0.23), 40).ok


def test_a_level_that_is_kept_begins_where_it_is_reached() -> None:
    """``min(x, 1)`` has the floor 1 from 1 on, and ``max(x, 1)`` has it everywhere below 2."""
    with jax.enable_x64(True):
        a, b = jnp.asarray(-9.0), jnp.asarray(9.0)
        for steps in (40, 60):
            found = roots.refine(lambda s: jnp.minimum(s, 1.0) - 1.0, a, b, steps, True)
            assert found.ok and abs(float(found.s) - 1.0) < 1e-7 and found.side == -1
            assert not roots.refine(lambda s: jnp.maximum(s, 1.0) - 1.0, a, b, steps, True).ok
            assert roots.refine(lambda s: jnp.maximum(s, 1.0) - 1.0, a, b, steps).ok


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_a_search_does_not_go_to_and_fro_between_the_ends_of_its_bracket(dtype: type) -> None:
    """Beyond a turn, under a transform that levels off: from either end Newton's step leaves the bracket, by less than
    half of it."""
    with jax.enable_x64(True):
        loc, scale = jnp.asarray(0.648, dtype), jnp.asarray(1.065, dtype)
        edge = jnp.asarray(lines.reach(dtype), dtype)

        def z(s: jax.Array) -> jax.Array:
            return -1 + 2.4 * jax.nn.sigmoid(loc + scale * s)

        def s_of(z: jax.Array) -> jax.Array:
            return (jnp.log((z + 1) / (1.4 - z)) - loc) / scale

        places = jnp.stack([-edge, s_of(jnp.zeros((), dtype)), edge])
        c = jnp.linspace(1e-3, 0.3, 1000, dtype=dtype)
        found = jax.jit(jax.vmap(lambda c: roots.between(lambda s: z(s) ** 2 - c, places, 48)))(c)
        want = np.asarray(jnp.stack([s_of(-jnp.sqrt(c)), s_of(jnp.sqrt(c))], axis=1))
    assert np.all(np.asarray(found.ok))
    np.testing.assert_allclose(np.asarray(found.s), want, atol=1e-3 if dtype == jnp.float32 else 1e-10)


@pytest.mark.parametrize(("dtype", "scale"), [(jnp.float32, 4.0), (jnp.float64, 4.0), (jnp.float64, 12.0)])
def test_zeros_of_polynomials_of_a_value_that_ranges_over_many_powers_of_ten(dtype: type, scale: float) -> None:
    """Far out every step of Newton's is as long as the one before, on ``exp(scale * s)``, or much too short."""
    with jax.enable_x64(True):
        edge = jnp.asarray(lines.reach(dtype), dtype)
        s = jnp.sort(jax.random.uniform(jax.random.key(3), (300, 3), dtype, -4.0, 4.0) / scale, axis=1)
        s += jnp.array([-0.3, 0.0, 0.3], dtype) / scale
        x = jnp.exp(scale * s)  # (x - a) * (x - b) * (x - c)

        def find(x: Array) -> roots.Roots:
            a, b, c = x
            coefficients = (-a * b * c, a * b + b * c + a * c, -(a + b + c), jnp.ones((), dtype))
            places, ok = roots.turns(coefficients, jnp.exp(-scale * edge), jnp.exp(scale * edge))
            cut = jnp.sort(jnp.where(ok, jnp.log(places) / scale, edge))
            cut = jnp.concatenate([-edge[None], cut, edge[None]])

            def value(s: Array) -> Array:
                x = jnp.exp(scale * s)
                return (x - a) * (x - b) * (x - c)

            return roots.between(value, cut, 48)

        found = jax.jit(jax.vmap(find))(x)
    assert np.all(np.asarray(found.ok))
    np.testing.assert_allclose(np.asarray(found.s), np.asarray(s), atol=1e-4 if dtype == jnp.float32 else 1e-9)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_what_is_zero_on_one_side_moves_as_on_the_other(dtype: type) -> None:
    """``max(x, y) - x``: at its boundary, rounding decides whether it has a slope."""
    y = np.random.default_rng(2).normal(0.3, 0.8, 20_000)

    def search(y: Array) -> tuple[roots.Zero, Array]:
        def value(s: Array) -> Array:
            return jnp.max(jnp.stack([0.2 + 0.7 * s, y])) - (0.2 + 0.7 * s)

        found = roots.refine(value, jnp.asarray(-8, y.dtype), jnp.asarray(8, y.dtype), 60)
        return found, jax.grad(value)(found.s + found.side * found.away)

    with jax.enable_x64(dtype is np.float64):
        found, slope = jax.jit(jax.vmap(search))(jnp.asarray(y, dtype))
    assert np.all(found.ok) and np.all(np.asarray(found.side) == -1)
    np.testing.assert_allclose(slope, -0.7, rtol=1e-6)
