"""The first comparison: log densities of the compiled program against the interpreter, at random points."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
from densities import SAMPLED
from interpreter import Shape, evaluate, sites
from scipy import special

from ppl.diagnostics import Diagnostics
from ppl.syntax import ast, parse

A = np.ndarray
TOLERANCE = 1e-8
# Compiling takes most of the time, and the programs are small: hardly optimised code is fast enough.
HARDLY_OPTIMISED: tuple[tuple[str, int | bool], ...] = (("xla_backend_optimization_level", 1),)
if jax.__version_info__ < (0, 11):  # later ones have no such option
    HARDLY_OPTIMISED += (("xla_cpu_use_fusion_emitters", False),)


@dataclass(frozen=True)
class Guide:
    """Parameters of a mean-field guide: Gaussian, and probabilities (as `logits`) of discrete latents."""

    loc: dict[str, A]
    log_scale: dict[str, A]
    logits: dict[str, A] = field(default_factory=dict)
    binary: frozenset[str] = frozenset()

    def log_probabilities(self, site: str) -> A:
        """Of the outcomes, last axis. `logits` are the log odds of outcome 1 where there are two, else unnormalised."""
        x = self.logits[site]
        x = np.stack([np.zeros_like(x), x], axis=-1) if site in self.binary else x
        return x - special.logsumexp(x, axis=-1, keepdims=True)


def read(text: str) -> ast.Module:
    sink = Diagnostics()
    module = parse(text, "model.ppl", sink)
    sink.raise_if_errors()
    return module


def random_guide(shapes: dict[str, Shape], seed: int) -> Guide:
    rng = np.random.default_rng([seed, 7])
    latents = {k: s.coordinates for k, s in shapes.items() if not s.noise and not s.outcomes}
    loc = {k: np.asarray(rng.uniform(-0.6, 0.8, d)) for k, d in latents.items()}
    log_scale = {k: np.asarray(rng.uniform(-0.9, 0.15, d)) for k, d in latents.items()}
    discrete = {k: s for k, s in shapes.items() if s.outcomes}
    logits = {k: np.asarray(rng.normal(0, 0.8, s.dims if s.outcomes == 2 else (*s.dims, s.outcomes)))
              for k, s in discrete.items()}  # fmt: skip
    return Guide(loc, log_scale, logits, frozenset(k for k, s in discrete.items() if s.outcomes == 2))


def normals(shapes: dict[str, Shape], n: int, rng: np.random.Generator) -> dict[str, A]:
    return {k: rng.standard_normal((n, *s.coordinates)) for k, s in shapes.items()}


def as_u(shapes: dict[str, Shape], guide: Guide, eps: dict[str, A]) -> dict[str, A]:
    """Unconstrained values from standard normal draws; noise as the interpreter takes it."""
    out: dict[str, A] = {}
    for k, s in shapes.items():
        if s.outcomes:
            passed = np.cumsum(np.exp(guide.log_probabilities(k)), axis=-1)[..., :-1]
            out[k] = np.sum(special.ndtr(eps[k])[..., None] > passed, axis=-1).astype(np.int64)
        else:
            out[k] = eps[k] if s.noise else guide.loc[k] + np.exp(guide.log_scale[k]) * eps[k]
    return out


def density_faults(
    module: ast.Module, data: dict[str, Any], problem: Any, guide: Guide, seed: int, n: int = 64
) -> list[str]:
    """Where log_joint, log_density, constrain or unconstrain disagree with the interpreter."""
    shapes = sites(module, data)
    u = as_u(shapes, guide, normals(shapes, n, np.random.default_rng([seed, 11])))
    for k, s in shapes.items():
        if s.noise and s.distribution in SAMPLED:
            u[k] = np.exp(0.3 * u[k]) if s.distribution in ("Gamma", "InverseGamma") else 1 / (1 + np.exp(-u[k]))
    want = evaluate(module, data, u, n)
    absent = {k: s.lowest if s.outcomes else 0.3 for k, s in shapes.items()}
    there = {k: x if shapes[k].free is None else x[:, 0].reshape(n, *(1,) * len(shapes[k].dims))
             for k, x in want.exists.items()}  # fmt: skip
    z = {k: np.where(there[k], want.z[k], absent[k]) for k in shapes}
    z = {k: x.astype(np.int64) if shapes[k].outcomes else x for k, x in z.items()}
    with jax.enable_x64(True):
        run = jax.jit(jax.vmap(lambda u, z: (problem.log_joint(z), problem.log_density(u), problem.constrain(u),
                                             problem.unconstrain(z))))  # fmt: skip
        got = run.lower(u, z).compile(compiler_options=dict(HARDLY_OPTIMISED))(u, z)
        joint, density, constrained, back = jax.tree.map(lambda x: np.asarray(x, float), got)
    pseudo = np.zeros(n)
    for k, s in shapes.items():
        if s.outcomes:  # an absent one has equal probabilities
            pseudo -= np.where(want.exists[k], 0.0, np.log(s.outcomes)).reshape(n, -1).sum(axis=1)
            continue
        base = -0.5 * u[k] ** 2 - 0.5 * np.log(2 * np.pi)
        counted = (s.distribution not in SAMPLED) if s.noise else ~want.exists[k]
        pseudo += np.where(counted, base, 0.0).reshape(n, -1).sum(axis=1)
    faults = [*differ("log_joint", joint, want.log_joint)]
    faults += differ("log_density", density, want.log_joint + want.log_jacobian + want.noise_density + pseudo)
    for k, s in shapes.items():
        faults += differ(f"constrain {k}", np.where(there[k], constrained[k], absent[k]), z[k])
        if not s.noise:
            faults += differ(f"unconstrain {k}", back[k], np.where(want.exists[k], u[k], 0.0))
    return faults


def differ(what: str, got: A, want: A) -> list[str]:
    bad = ~(np.abs(got - want) <= TOLERANCE * (1 + np.abs(want))) & ~(np.isnan(got) & np.isnan(want)) & (got != want)
    if not np.any(bad):
        return []
    k = int(np.argmax(bad.reshape(len(bad), -1).any(axis=1)))
    return [f"{what}: got {np.ravel(got[k])}, interpreter {np.ravel(want[k])} ({bad.sum()} of {bad.size} differ)"]
