"""Simulation-based calibration of the samplers and fits on three branching models, and ``docs/calibration.md``.

``python benchmarks/calibration.py run [NAMES]`` draws latents from the prior of the programs in
``benchmarks/calibration/`` and data given these, finds the posterior by NUTS and by a fit with default options, and
keeps the rank of every latent among posterior draws in ``docs/calibration.json``. A run continues where the last one
stopped. NUTS takes about a tenth of a second per data set and a fit two, on one core.
``python benchmarks/calibration.py page`` writes the tables of the page from that file.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rank_statistics import bars, coverage, shift, shift_p, symmetric_p, uniform_p
from reference_posteriors import ROOT, compact

PAGE, RESULTS, PROGRAMS = ROOT / "docs" / "calibration.md", ROOT / "docs" / "calibration.json", "benchmarks/calibration"
SEED = 20180418
DRAWS = 99  # behind each rank: 100 ranks, in 20 bins
WARMUP, THIN = 1000, 20  # of NUTS, one chain per data set
BATCH = 50  # chains side by side
KEPT = 10  # fits between two writes
LIKELIHOOD = "log likelihood"
BLOCK = re.compile(r"(<!-- (\w+) (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


@dataclass(frozen=True)
class Study:
    """A program, what is given to it, and the field that it observes, with its size."""

    name: str
    given: dict[str, Any]
    field: str
    size: int

    def problem(self) -> Any:
        """Bound to zeros in the place of data, which no result depends on."""
        import ppl

        model = ppl.load(ROOT / PROGRAMS / f"{self.name}.ppl")
        kind = float if self.name == "thermostat" else int
        return model.bind({**self.given, self.field: np.zeros(self.size, kind)})


def studies() -> dict[str, Study]:
    east, north = (x.ravel() for x in np.meshgrid(np.linspace(-2, 2, 5), np.linspace(-2, 2, 5)))
    found = [
        Study("switch", {"n": 20}, "count", 20),
        Study("disc", {"n": 25, "east": east, "north": north}, "count", 25),
        Study("thermostat", {"T": 10}, "reading", 10),
    ]
    return {s.name: s for s in found}


# ---- simulation and posteriors ---------------------------------------------------------------------------------------


def key_of(k: int) -> Any:
    """Of data set `k`: every method sees the same ones, however many there are."""
    import jax

    return jax.random.fold_in(jax.random.key(SEED), k)


def simulate(problem: Any, field: str, key: Any) -> tuple[Any, Any]:
    """A draw of all latents from the prior, unconstrained, and data under it. Pure."""
    import jax

    k_prior, k_data, _ = jax.random.split(key, 3)
    u = jax.tree.map(lambda x: x[0], problem.prior_draws(k_prior, 1))
    data = problem.replay(u, k_data).observations[field].replicate
    return u, data.astype(np.asarray(problem.data[field]).dtype)


def quantities(problem: Any, field: str, u: Any) -> dict[str, Any]:
    """What is ranked: latents, reports, and the log likelihood of the data. The last one sees posteriors that ignore
    the data, which no latent does: the prior is calibrated (Modrak et al. 2023).
    """
    replay = problem.replay(u)
    likelihood = replay.observations[field].log_likelihood.sum()
    return {**replay.latents, **replay.reports, LIKELIHOOD: likelihood}


def flat(values: dict[str, Any]) -> dict[str, np.ndarray]:
    """Arrays with a leading axis of draws, element by element."""
    out: dict[str, np.ndarray] = {}
    for name, v in values.items():
        x = np.asarray(v)
        if x.ndim == 1:
            out[name] = x
        else:
            out |= {f"{name}[{i}]": x[:, i] for i in range(x.shape[1])}
    return out


def ranks_of(truth: dict[str, Any], draws: dict[str, Any], k: int) -> dict[str, int]:
    from rank_statistics import rank_of

    rng = np.random.default_rng((SEED, k))
    true = {name: x[0] for name, x in flat({n: np.asarray(v)[None] for n, v in truth.items()}).items()}
    found = flat(draws)
    return {name: rank_of(true[name], found[name], rng) for name in found}


def by_nuts(problem: Any, field: str) -> Callable[[list[int]], list[dict[str, Any]]]:
    """Records of the data sets of these numbers, side by side in one compiled program."""
    import jax
    from arviz_stats.base.array import array_stats

    from ppl.sample.samplers import nuts_chain
    from ppl.sample.target import Target

    def one(key: Any) -> Any:
        u, data = simulate(problem, field, key)
        posterior = problem.observing({field: data})
        target = Target.of(posterior)
        k_start, k_chain = jax.random.split(jax.random.split(key, 3)[2])
        start, _ = target.start(k_start)
        chain = nuts_chain(target.log_density, WARMUP, DRAWS * THIN, target.jumps)
        (positions, _), _ = chain(k_chain, start)
        thinned = jax.tree.map(lambda x: x[THIN - 1 :: THIN], positions)
        ranked = jax.vmap(lambda at: quantities(posterior, field, at))(thinned)
        return quantities(posterior, field, u), ranked, positions

    run = jax.jit(jax.vmap(one))

    def records(numbers: list[int]) -> list[dict[str, Any]]:
        wanted = [*numbers, *[numbers[-1]] * (BATCH - len(numbers))]  # one compiled size
        truth, draws, positions = jax.tree.map(np.asarray, run(jax.numpy.stack([key_of(k) for k in wanted])))
        out: list[dict[str, Any]] = []
        for i, k in enumerate(numbers):
            chains = [x for v in positions.values() for x in v[i].reshape(DRAWS * THIN, -1).T]
            ess = min(float(array_stats.ess(x[None], chain_axis=0, draw_axis=1, method="bulk")) for x in chains)
            ranks = ranks_of(*(jax.tree.map(lambda x, i=i: x[i], v) for v in (truth, draws)), k)
            out.append({"ranks": ranks, "ess": round(ess)})
        return out

    return records


def by_fits(problem: Any, field: str) -> Callable[[list[int]], list[dict[str, Any]]]:
    """Records of these data sets, each fitted as `pplc infer` fits it."""
    import jax

    from ppl.infer import fit

    draw = jax.jit(lambda key: simulate(problem, field, key))

    @jax.jit
    def ranked(data: Any, u: Any) -> Any:
        return jax.vmap(lambda at: quantities(problem.observing({field: data}), field, at))(u)

    def record(k: int) -> dict[str, Any]:
        u, data = draw(key_of(k))
        found = fit(problem.observing({field: data}), seed=k, draws=DRAWS)
        truth = jax.tree.map(lambda x: x[0], ranked(data, jax.tree.map(lambda x: x[None], u)))
        ranks = ranks_of(truth, ranked(data, found.posterior.unconstrained), k)
        return {"ranks": ranks, "converged": int(found.converged)}

    return lambda numbers: [record(k) for k in numbers]


METHODS = {"nuts": (by_nuts, BATCH), "fit": (by_fits, KEPT)}


def run(study: Study, method: str, count: int, out: Path) -> None:
    """Brings the records of one program and method to `count`."""
    make, size = METHODS[method]
    stored = json.loads(out.read_text()) if out.exists() else {}
    begun = stored.get(study.name, {}).get(method, {})
    done = len(begun.get("ranks", {}).get(LIKELIHOOD, ()))
    if done >= count:
        return
    problem = study.problem()
    order = [*(site.name for site in problem.sites), *problem.reports, LIKELIHOOD]
    records = make(problem, study.field)
    for first in range(done, count, size):
        new = records(list(range(first, min(first + size, count))))
        stored = json.loads(out.read_text()) if out.exists() else {}
        stored.setdefault(study.name, {})[method] = begun = joined(begun, new)
        begun["ranks"] = dict(sorted(begun["ranks"].items(), key=lambda item: order.index(item[0].split("[")[0])))
        out.write_text(compact({n: stored[n] for n in studies() if n in stored}))
        print(study.name, method, first + len(new), flush=True)


def joined(stored: dict[str, Any], new: list[dict[str, Any]]) -> dict[str, Any]:
    """Lists by name with the new records at their ends."""
    if not new:
        return stored
    out = {"ranks": {k: [*stored.get("ranks", {}).get(k, []), *[r["ranks"][k] for r in new]] for k in new[0]["ranks"]}}
    return out | {k: [*stored.get(k, []), *[r[k] for r in new]] for k in new[0] if k != "ranks"}


# ---- the page --------------------------------------------------------------------------------------------------------


def shown(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else f"{p:.1g}"


def uniformity(found: dict[str, Any]) -> Iterator[str]:
    theirs = ("fit ranks", "p, symmetric", "mean rank less 50%", "less that of NUTS", "90% intervals hold")
    heads = ("", "NUTS ranks", "p, uniform", "p, mean", "90% intervals hold", *theirs)
    yield "| " + " | ".join(heads) + " |"
    yield "|---" * len(heads) + "|"
    exact, fitted = found["nuts"]["ranks"], found.get("fit", {}).get("ranks", {})
    for name, ranks in exact.items():
        row = [f"`{bars(ranks, DRAWS)}`", shown(uniform_p(ranks, DRAWS)), shown(shift_p(ranks, DRAWS)),
               f"{coverage(ranks, DRAWS):.1%}"]  # fmt: skip
        if name in fitted:
            theirs = fitted[name]
            mean, error = shift(theirs, DRAWS)
            row += [f"`{bars(theirs, DRAWS)}`", shown(symmetric_p(theirs, DRAWS)), f"{mean:+.1%} ± {error:.1%}",
                    beside(theirs, ranks), f"{coverage(theirs, DRAWS):.1%}"]  # fmt: skip
        else:
            row += ["not measured", *[""] * 4]
        yield f"| `{name}` | " + " | ".join(row) + " |"
    yield ""
    yield from remarks(found, exact, fitted)


def beside(fitted: list[int], exact: list[int]) -> str:
    """The mean difference of ranks on the same data sets, with its standard error: most of the luck is in both."""
    share = (np.array(fitted) - np.array(exact[: len(fitted)])) / (DRAWS + 1)
    return f"{np.mean(share):+.1%} ± {np.std(share, ddof=1) / np.sqrt(share.size):.1%}"


def remarks(found: dict[str, Any], exact: dict[str, Any], fitted: dict[str, Any]) -> Iterator[str]:
    count = len(found["nuts"]["ess"])
    low = min(uniform_p(r, DRAWS) for r in exact.values())
    ess = np.quantile(found["nuts"]["ess"], [0.05, 0.5])
    text = (f"NUTS: {count} data sets; the smallest p of {len(exact)} is {shown(low)}, times their number "
            f"{shown(min(1.0, low * len(exact)))}. Effective draws of the slowest latent, of {DRAWS * THIN}: "
            f"{ess[1]:.0f} in the median data set, {ess[0]:.0f} in one of 20.")  # fmt: skip
    if fitted:
        latents = {k: r for k, r in fitted.items() if k != LIKELIHOOD}
        low = min(shift_p(r, DRAWS) for r in latents.values())
        settled = found["fit"]["converged"]
        text += (f" Fits: {len(settled)} data sets, {sum(settled)} converged; the smallest p of {len(latents)} mean "
                 f"ranks, log likelihood apart, is {shown(low)}, times their number "
                 f"{shown(min(1.0, low * len(latents)))}.")  # fmt: skip
    yield text


def render(text: str) -> str:
    """`text` with its programs and tables written anew."""
    found = json.loads(RESULTS.read_text())

    def block(m: re.Match[str]) -> str:
        if m[2] == "program":
            source = (ROOT / PROGRAMS / f"{m[3]}.ppl").read_text()
            return f"{m[1]}\n```ppl\n{source}```\n\n{m[4]}"
        return m[1] + "\n" + "\n".join(uniformity(found[m[3]])) + "\n\n" + m[4]

    return BLOCK.sub(block, text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["run", "page"])
    parser.add_argument("names", nargs="*", metavar="NAME", help="one of " + ", ".join(studies()))
    parser.add_argument("--nuts", type=int, default=1000, help="data sets for NUTS")
    parser.add_argument("--fit", type=int, default=100, help="data sets for fits")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where ranks are kept")
    args = parser.parse_intermixed_args()
    if unknown := set(args.names) - set(studies()):
        parser.error(f"no such program: {', '.join(sorted(unknown))}")
    if args.what == "page":
        PAGE.write_text(render(PAGE.read_text()))
        return
    import jax

    jax.config.update("jax_enable_x64", True)
    with tempfile.TemporaryDirectory() as cache:  # fits are traced each and compiled once
        jax.config.update("jax_compilation_cache_dir", cache)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        for method in METHODS:
            for name in args.names or studies():
                run(studies()[name], method, getattr(args, method), args.out)


if __name__ == "__main__":
    main()
