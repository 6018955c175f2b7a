"""Data as arrays of jax."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ppl

TEXT = """
data k: int
data m: int
data n: int
data x: real[k]
data count: int[m]
data hit: bool[n]
a ~ Normal(0, 1)
for i in 0..length(x) { observe x[i] ~ Normal(a, 1) }
for i in 0..length(count) { observe count[i] ~ Poisson(exp(a)) }
for i in 0..length(hit) { observe hit[i] ~ Bernoulli(inv_logit(a)) }
"""
DATA = {"k": 2, "m": 3, "n": 4, "x": [0.5, 1.5], "count": [3, 1, 2], "hit": [True, False, True, True]}


@pytest.mark.parametrize("wide", [False, True])
def test_tracing_compiles_nothing_for_them(wide: bool) -> None:
    compiled: list[str] = []

    def hear(event: str, _: float, **__: Any) -> None:
        if event.endswith("backend_compile_duration"):
            compiled.append(event)

    with jax.enable_x64(wide):
        problem, u = ppl.compile(TEXT).bind(DATA), {"a": np.float32(0.3)}
        jax.monitoring.register_event_duration_secs_listener(hear)
        try:
            traced = jax.make_jaxpr(problem.log_density)(u)
        finally:
            jax.monitoring.unregister_event_duration_listener(hear)
    assert not compiled
    kinds = {x.dtype for x in traced.consts if x.ndim}
    assert jnp.dtype("float32") in kinds and jnp.dtype("int64" if wide else "int32") in kinds
