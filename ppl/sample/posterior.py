# jax leaves some of its types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false
"""`sample`: from a bound problem to :class:`~ppl.sample.result.Samples`."""

from __future__ import annotations

import time
from importlib.util import find_spec

import jax
import numpy as np

from ppl.diagnostics import Diagnostic, InferenceError, PplError
from ppl.problem import Problem
from ppl.sample import samplers
from ppl.sample.result import Samples
from ppl.sample.target import Target

METHODS = ("nuts", "smc")
CHAINS, WARMUP, DRAWS = 4, 1000, 1000


class MissingSamplers(ImportError):
    """BlackJAX is not installed."""


def sample(
    problem: Problem, method: str = "nuts", *, seed: int = 0, chains: int = CHAINS, warmup: int = WARMUP,
    draws: int = DRAWS,
) -> Samples:  # fmt: skip
    """Posterior draws by a sampler of BlackJAX on ``problem.log_density``, `chains` of them side by side.

    ``nuts``: the no-U-turn sampler, `warmup` steps of window adaptation and then `draws` per chain. It is valid where
    the density jumps, with more rejections, and it will not pass between modes that lie far apart. ``smc``: tempered
    sequential Monte Carlo with `draws` particles per chain, which finds several modes, and the log evidence.
    Discrete latents are summed out, up to 256 combinations, and drawn afterwards. Noise is sampled too, given the data.

    Raises MissingSamplers without BlackJAX, ValueError for arguments that make no sense, PplError if something random
    can be neither moved nor summed out, InferenceError where a chain cannot start or never moves.
    """
    if method not in METHODS:
        raise ValueError(f"no method {method!r}: one of {', '.join(METHODS)}")
    if min(chains, draws) < 1 or warmup < 0:
        raise ValueError("chains and draws must be at least 1, and warmup not negative")
    if all(site.noise for site in problem.sites):
        raise PplError([Diagnostic("PPL805", "the program has no latents: there is nothing to infer")])
    if find_spec("blackjax") is None:
        raise MissingSamplers("this needs BlackJAX: pip install 'pplc[samplers]'")
    began = time.perf_counter()
    target = Target.of(problem)
    k_run, k_discrete = jax.random.split(jax.random.key(seed))
    if not target.real:
        raise PplError([Diagnostic("PPL821", "every latent is discrete: there is nothing for a sampler to move")],
                       problem.sources)  # fmt: skip
    if method == "nuts":
        run = samplers.nuts(target, k_run, chains, warmup, draws)
    else:
        run = samplers.smc(target, k_run, chains, draws)
    flat = {k: v.reshape(chains * draws, *v.shape[2:]) for k, v in run.positions.items()}
    _moved(problem, run.stats["lp"], flat)
    empty = any(0 in s.shape for s in problem.sites)  # which jax cannot map over in batches
    batch = None if empty else min(256, draws)
    whole = jax.jit(lambda x, keys: jax.lax.map(lambda a: target.complete(*a), (x, keys), batch_size=batch))(
        flat, jax.random.split(k_discrete, chains * draws)
    )
    replay = problem.replays(whole, chains * draws)

    def split(values: dict[str, jax.Array]) -> dict[str, np.ndarray]:
        return {k: np.asarray(v).reshape(chains, draws, *v.shape[1:]) for k, v in values.items()}

    latents = tuple(s.name for s in problem.sites if not s.noise)
    return Samples(
        name=problem.name,
        method=method,
        seed=seed,
        warmup=warmup if method == "nuts" else 0,
        latents=latents,
        values=split({k: replay.latents[k] for k in latents}),
        report_values=split({k: replay.reports[k] for k in problem.reports}),
        unconstrained=split(whole),
        stats=run.stats,
        log_evidence=() if run.log_evidence is None else tuple(run.log_evidence.tolist()),
        seconds=time.perf_counter() - began,
        observed=dict(problem.data),
        problem=problem,
    )


def _moved(problem: Problem, lp: np.ndarray, positions: dict[str, jax.Array]) -> None:
    """Chains that never accepted a step are no sample of anything."""
    if not np.all(np.isfinite(lp)):
        text = "the log density is not finite where a chain went"
        raise InferenceError([Diagnostic("PPL822", text)], problem.sources)
    if (
        lp.shape[1] > 1
        and np.any(np.ptp(lp, axis=1) == 0)
        and any(np.ptp(np.asarray(v)) > 0 for v in positions.values())
    ):
        text = f"{int(np.sum(np.ptp(lp, axis=1) == 0))} of {lp.shape[0]} chains never moved"
        raise InferenceError([Diagnostic("PPL822", text, None, "a longer warmup may help")], problem.sources)
