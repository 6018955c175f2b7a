# jax leaves some of its types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Compiling a function with the arrays it closes over as arguments.

jax makes an array that a jitted function closes over a constant of the compiled program: its text and its compile time
then grow with the data, and XLA spends its time folding densities of observations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun


def compiled(fn: Callable[..., Any], *args: Any) -> Callable[..., Any]:
    """`fn`, compiled for arguments like `args`; what it closes over is handed to it at each call."""
    closed, shape = jax.make_jaxpr(fn, return_shape=True)(*args)
    out_tree = jax.tree.structure(shape)

    def body(consts: list[Any], *flat: Any) -> Any:
        return jax.tree.unflatten(out_tree, jaxpr_as_fun(ClosedJaxpr(closed.jaxpr, consts))(*flat))

    run = jax.jit(body).lower(closed.consts, *jax.tree.leaves(args)).compile()
    return lambda *given: run(closed.consts, *jax.tree.leaves(given))
