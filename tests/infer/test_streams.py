"""The keys of a run: those of jax, with or without a compiled function."""

from typing import Any

import jax
import numpy as np
import pytest

from ppl.infer import streams
from ppl.infer.streams import streams_of


def raw(found: streams.Streams) -> list[Any]:
    return [np.asarray(jax.random.key_data(k)) for k in jax.tree.leaves(found)]


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize(("seed", "lanes", "number"), [(0, 1, 0), (2**32 - 1, 3, 70_000)])
def test_they_are_those_that_jax_splits_off_a_seed(
    seed: int, lanes: int, number: int, wide: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with jax.enable_x64(wide):
        found = raw(streams_of(seed, lanes, number))
        monkeypatch.setattr(streams.threefry, "is_default", lambda: False)
        expected = raw(streams_of(seed, lanes, number))
    assert len(found) == 5 + streams.COMPARED
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_nothing_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Any:
        raise AssertionError("compiled")

    monkeypatch.setattr(streams, "_traced", refuse)
    streams_of(3, 2, 1)


def test_other_keys_are_split_by_jax() -> None:
    with jax.default_prng_impl("rbg"):
        found = streams_of(3, 2, 1)
        assert jax.random.key_impl(found.steps) == "rbg"
        expected = jax.random.fold_in(jax.random.key(3), streams.STEPS)
        np.testing.assert_array_equal(jax.random.key_data(found.steps), jax.random.key_data(expected))
