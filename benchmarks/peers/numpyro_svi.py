"""textmsg and influenza as a NumPyro user writes them, with AutoNormal and Adam (the natural code; biased)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro.contrib.control_flow import scan
from numpyro.infer import SVI, Trace_ELBO
from numpyro.infer.autoguide import AutoNormal

from peers.models import Model


def textmsg(data: dict[str, Any]) -> None:
    count, cut = jnp.asarray(data["count"]), jnp.asarray(data["cut"])
    x0 = numpyro.sample("x0", dist.Normal(2.6362, 0.8326))
    x1 = numpyro.sample("x1", dist.Normal(2.6362, 0.8326))
    z = numpyro.sample("z", dist.Normal(0, 1))
    numpyro.sample("count", dist.Poisson(jnp.where(z > cut, jnp.exp(x0), jnp.exp(x1))), obs=count)


def influenza(data: dict[str, Any]) -> None:
    y = jnp.asarray(data["mortality"])
    first = numpyro.sample("f0", dist.Normal(0, 1))

    def month(state: tuple[Any, ...], value: Any) -> tuple[tuple[Any, ...], None]:
        a, b, c, f = state
        v = numpyro.sample("v", dist.Normal(0, 0.023))
        w = numpyro.sample("w", dist.Normal(0, 0.112))
        a, b = 1.406 * a - 0.622 * b + v, a
        c = -0.312 * c + 0.210 + w
        f = numpyro.sample("f", dist.Normal(jnp.where(f > 0, 0.67, -0.67), 1))
        numpyro.sample("y", dist.Normal(jnp.where(f > 0, a, a + c), 0.002), obs=value)
        return (a, b, c, f), None

    scan(month, (jnp.zeros(()), jnp.zeros(()), jnp.zeros(()), first), y)


PROGRAMS: dict[str, Callable[[dict[str, Any]], None]] = {"textmsg37": textmsg, "influenza12": influenza}


def steps(model: Model, particles: int, lr: float) -> tuple[Any, Callable[[Any, int], Any]]:
    """The first state, and ``run(state, n)``: `n` Adam steps in one compiled loop."""
    svi = SVI(PROGRAMS[model.name], AutoNormal(PROGRAMS[model.name]), numpyro.optim.Adam(lr),
              Trace_ELBO(num_particles=particles, vectorize_particles=True))  # fmt: skip
    state = svi.init(jax.random.key(0), model.data)

    def run(state: Any, n: int) -> Any:
        return jax.lax.fori_loop(0, n, lambda i, s: svi.update(s, model.data)[0], state)

    return state, jax.jit(run, static_argnums=1)
