"""Numbers drawn here are those of jax.random, bit for bit."""

import jax
import numpy as np
import pytest

from ppl.problem.noise import normals
from ppl.runtime import threefry

KEYS = [jax.random.key(0), jax.random.fold_in(jax.random.key(7), 2**31 + 5)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("key", KEYS, ids=["plain", "folded"])
def test_numbers_are_those_of_jax(key, dtype):
    with jax.enable_x64(dtype == "float64"):
        for shape in ((), (1,), (3, 5), (4097,), (2, 0)):
            drawn = jax.jit(threefry.normal, static_argnums=(1, 2))(key, shape, dtype)
            np.testing.assert_array_equal(drawn, jax.random.normal(key, shape, dtype))
            assert drawn.dtype == dtype
        one = jax.jit(threefry.uniform, static_argnums=1)(key, dtype)
        np.testing.assert_array_equal(one, jax.random.uniform(key, (), dtype))


@pytest.mark.parametrize("count", [3, threefry.FEW // 2, threefry.FEW + 5])
def test_mirrored_numbers_are_the_same_with_both_signs(count):
    both = jax.jit(threefry.mirrored, static_argnums=(1, 2))(KEYS[1], (count, 2), "float32")
    numbers = jax.random.normal(KEYS[1], (count, 2), "float32")
    np.testing.assert_array_equal(both, np.stack([numbers, -numbers]))


def test_keys_are_those_of_jax():
    for key in KEYS:
        np.testing.assert_array_equal(data(threefry.split(key, 7)), data(jax.random.split(key, 7)))
        for number in (0, 5, 2**31 - 1, np.uint32(2**32 - 1)):
            np.testing.assert_array_equal(data(threefry.fold_in(key, number)), data(jax.random.fold_in(key, number)))


@pytest.mark.parametrize("seed", [0, 7, 2**32 - 1])
def test_keys_outside_of_compiled_functions_are_those_of_jax(seed):
    key, expected = threefry.seeded(seed), jax.random.key(np.uint32(seed))
    np.testing.assert_array_equal(key, data(expected))
    np.testing.assert_array_equal(threefry.parted(key, 7), data(jax.random.split(expected, 7)))
    for number in (0, 5, 2**32 - 1):
        np.testing.assert_array_equal(threefry.folded(key, number), data(jax.random.fold_in(expected, number)))


@pytest.mark.parametrize(("dtype", "count", "loops"), [("float64", 5000, 2), ("float64", 50, 1), ("float32", 5000, 1)])
def test_many_wide_numbers_have_their_words_first(dtype, count, loops):
    with jax.enable_x64(True):
        jaxpr = jax.make_jaxpr(lambda key: threefry.normal(key, (count,), dtype))(KEYS[0])
    assert sum(e.primitive.name == "scan" for e in jaxpr.eqns) == loops


def test_the_keys_that_jax_makes_now_are_ours_or_not():
    assert threefry.is_default()
    with jax.default_prng_impl("rbg"):
        assert not threefry.is_default()
    with jax.threefry_partitionable(False):
        assert not threefry.is_default()


def test_the_rounds_are_traced_once_for_each_shape():
    jaxpr = jax.make_jaxpr(lambda k: [threefry.split(threefry.fold_in(k, n), 3) for n in range(5)])(KEYS[0])
    rounds = [e.params["jaxpr"] for e in jaxpr.eqns if e.primitive.name == "jit"]
    assert len(rounds) == 10 and len({id(r) for r in rounds}) == 2


def test_other_keys_are_drawn_from_by_jax():
    for key in (jax.random.key(3, impl="rbg"), jax.random.PRNGKey(3)):
        np.testing.assert_array_equal(threefry.normal(key, (5,), "float32"), jax.random.normal(key, (5,), "float32"))
        assert threefry.split(key, 2).shape[0] == 2


def test_lanes_of_keys_draw_as_each_alone():
    keys = jax.random.split(KEYS[0], 4)
    together = jax.vmap(lambda k: threefry.mirrored(k, (9,), "float32"))(keys)
    np.testing.assert_array_equal(together, np.stack([threefry.mirrored(k, (9,), "float32") for k in keys]))


@pytest.mark.parametrize("n", [1, 2, 7, 8])
def test_pairs_are_opposite_and_the_last_of_an_odd_number_is_alone(n):
    draws = normals(KEYS[0], n, {"x": (), "y": (3,)}, "float32", "antithetic")
    half = n - n // 2
    for x in draws.values():
        assert len(x) == n
        np.testing.assert_array_equal(x[half:], -x[: n // 2])


def data(key):
    return np.asarray(jax.random.key_data(key))
