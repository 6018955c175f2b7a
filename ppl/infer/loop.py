# jax leaves some of its types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false
"""The optimisation loop as one compiled function: Adam ascent on the ELBO of several starts at once.

The function runs a *chunk* of steps whose number is an argument, so a fit compiles it once. A step is a pure function
of the state and of its own index (the key of step t is ``fold_in(key, t)``), so a run that is cut anywhere and
continued later takes exactly the steps an uninterrupted one takes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax  # pyright: ignore[reportMissingTypeStubs]

Params = Any  # a pytree of arrays; inside the loop every leaf has a leading axis of starts
ElboAndGrad = Callable[[Params, jax.Array], tuple[jax.Array, Params]]

CHUNK = 250  # steps between two looks at the run, and the unit of the stop rule's statistics
B1, B2 = 0.9, 0.99
CLIP = 10.0  # a gradient entry counts at most this many times its own running root mean square


class LoopState(NamedTuple):
    """Everything a step reads and writes. `mean` and `m2` are Welford sums of the `seen` iterates of this chunk."""

    params: Params
    adam: Any
    mean: Params
    m2: Params
    seen: jax.Array
    skipped: jax.Array


def adam() -> optax.GradientTransformation:
    # b2 is below the usual 0.999: gradients at a start drawn from the prior can be 1e10 times those near the
    # optimum, and the running square has to forget them within hundreds of steps, not tens of thousands.
    return optax.scale_by_adam(b1=B1, b2=B2)


def initial_state(params: Params) -> LoopState:
    starts = jax.tree.leaves(params)[0].shape[0]
    zeros = jax.tree.map(jnp.zeros_like, params)
    return LoopState(
        params=params,
        adam=jax.vmap(adam().init)(params),
        mean=zeros,
        m2=zeros,
        seen=jnp.zeros((), jnp.int32),
        skipped=jnp.zeros(starts, jnp.int32),
    )


def new_chunk(state: LoopState) -> LoopState:
    zeros = jax.tree.map(jnp.zeros_like, state.params)
    return state._replace(mean=zeros, m2=zeros, seen=jnp.zeros_like(state.seen))


def make_chunk(fn: ElboAndGrad, unit: Params, starts: int) -> Callable[..., tuple[LoopState, jax.Array]]:
    """``chunk(state, key, first, steps, lr) -> (state, elbo)``; `elbo` is (CHUNK, starts), rows past `steps` NaN.

    `unit` has the structure of one start's params: the length that counts as one in each direction, so that a step
    moves every parameter by about ``lr`` units.
    """
    step_starts = jax.vmap(partial(_step, fn, unit), (0, 0, 0, None))

    def chunk(
        state: LoopState, key: jax.Array, first: jax.Array, steps: jax.Array, lr: jax.Array
    ) -> tuple[LoopState, jax.Array]:
        def body(i: jax.Array, carry: tuple[LoopState, jax.Array]) -> tuple[LoopState, jax.Array]:
            state, trace = carry
            keys = jax.random.split(jax.random.fold_in(key, first + i), starts)
            params, adam_state, elbo, ok = step_starts(state.params, state.adam, keys, lr)
            seen = state.seen + 1
            mean = jax.tree.map(lambda m, x: m + (x - m) / seen, state.mean, params)
            m2 = jax.tree.map(lambda s, x, old, new: s + (x - old) * (x - new), state.m2, params, state.mean, mean)
            state = LoopState(params, adam_state, mean, m2, seen, state.skipped + ~ok)
            return state, trace.at[i].set(elbo)

        dtype = jax.eval_shape(fn, jax.tree.map(lambda x: x[0], state.params), key)[0].dtype
        return jax.lax.fori_loop(0, steps, body, (state, jnp.full((CHUNK, starts), jnp.nan, dtype)))

    return chunk


def _step(
    fn: ElboAndGrad, unit: Params, params: Params, adam_state: Any, key: jax.Array, lr: jax.Array
) -> tuple[Params, Any, jax.Array, jax.Array]:
    """One Adam step of one start; a step that is not finite changes nothing and is counted by the caller."""
    elbo, grad = fn(params, key)
    finite = [jnp.all(jnp.isfinite(g)) for g in jax.tree.leaves(grad)]
    ok = jnp.isfinite(elbo) & jnp.all(jnp.stack(finite))
    grad = jax.tree.map(lambda g: jnp.where(ok, g, 0.0), grad)
    direction, moved = adam().update(_clip(grad, adam_state), adam_state)
    stepped = jax.tree.map(lambda p, d, u: (p + lr * u * d).astype(p.dtype), params, direction, unit)
    keep = lambda new, old: jax.tree.map(lambda a, b: jnp.where(ok, a, b), new, old)  # noqa: E731
    return keep(stepped, params), keep(moved, adam_state), elbo, ok


def _clip(grad: Params, adam_state: Any) -> Params:
    """Entries beyond CLIP running root mean squares are cut to that: a rare flip of a boundary with a jump of 1e6 must
    neither throw the iterate nor blind Adam to the steps after it. A lasting change of scale passes within steps."""
    seen = 1.0 - B2 ** adam_state.count.astype(jnp.result_type(float))

    def cut(g: jax.Array, nu: jax.Array) -> jax.Array:
        limit = jnp.where(adam_state.count > 0, CLIP * jnp.sqrt(nu / jnp.maximum(seen, 1.0 - B2)), jnp.inf)
        limit = jnp.where(limit > 0, limit, jnp.inf)  # an entry that never moved has no scale yet
        return jnp.clip(g, -limit, limit).astype(g.dtype)

    return jax.tree.map(cut, grad, adam_state.nu)
