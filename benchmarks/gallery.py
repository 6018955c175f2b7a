"""Fits of the programs in ``programs/`` with default options, and the tables of ``docs/gallery.md``.

``python benchmarks/gallery.py fit [NAMES]`` runs `pplc infer` from five seeds, and once with the plain gradient of
automatic differentiation (``--estimator interior``), and keeps what they print in ``docs/gallery_fits.json``; programs
that are in there are only fitted again if named. It takes about a minute per program and seed on one core.
``python benchmarks/gallery.py page`` writes the tables of the page from that file and the reference posteriors.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from reference_posteriors import ROOT, compact, rounded

from ppl.infer.advice import near

PAGE, FITS, REFERENCE = (ROOT / "docs" / f for f in ("gallery.md", "gallery_fits.json", "reference_posteriors.json"))
SEEDS = range(5)
TIMEOUT = 3000  # seconds of one fit
BLOCK = re.compile(r"(<!-- table (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
SHOWN = 3  # elements of an array that get a row each
LEVELS = ("mean", "sd", "q5", "q95")


def run(name: str, cache: str, *options: str) -> dict[str, Any]:
    """What `pplc infer` prints, or why it did not."""
    command = [sys.executable, "-c", "import sys; from ppl.cli import main; sys.exit(main(sys.argv[1:]))"]
    command += ["infer", "-q", "--json", str(ROOT / "programs" / f"{name}.ppl"), *options]
    # Compiled code is kept from seed to seed; nothing else is shared.
    env = os.environ | {"JAX_COMPILATION_CACHE_DIR": cache, "PYTHONPATH": str(ROOT)}
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=env, timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        return {"failed": f"no result in {TIMEOUT} s"}
    if done.returncode:
        return {"failed": f"exit {done.returncode}: {done.stderr.strip().splitlines()[-1][:200]}"}
    return json.loads(done.stdout)


def brief(name: str, result: dict[str, Any]) -> dict[str, Any]:
    if "failed" in result:
        return result
    d = result["diagnostics"]
    return {k: result[k] for k in ("elbo", "elbo_se", "steps")} | {
        "khat": d["khat"],
        "converged": d["converged"],
        "starts_agree": near(d["starts"], result["elbo"]),
        "starts": len(d["starts"]),
        "multimodal": d["multimodal"],
        "believe": any(sentence.startswith("Believe") for sentence in d["advice"]),
        "weighing": d["weighing"],
        "off": off(name, result),
    }


def off(name: str, result: dict[str, Any]) -> dict[str, list[Any]]:
    """For each latent of at most `SHOWN` elements the distance of the means from those of the reference, in its
    standard deviations, and the ratio of the standard deviations; of the others the largest of each."""
    found: dict[str, list[Any]] = {}
    for site, exact in json.loads(REFERENCE.read_text())[name]["posterior"]["latents"].items():
        away, width = distances(exact, result["latents"][site])
        if away.size > SHOWN:
            away, width = np.nanmax(away, keepdims=True), width[[np.nanargmax(np.abs(np.log(width)))]]
        found[site] = [away.tolist(), width.tolist()]
    return found


def distances(exact: dict[str, Any], found: dict[str, Any]) -> tuple[Any, Any]:
    """Of every element: how far the mean is from that of the reference in standard deviations of it, and how wide the
    fitted marginal is beside it."""
    mean, sd = (np.ravel(np.asarray(exact[k], float)) for k in ("mean", "sd"))
    with np.errstate(invalid="ignore", divide="ignore"):
        away = np.abs(np.ravel(np.asarray(found["mean"], float)) - mean) / sd
        return away, np.ravel(np.asarray(found["sd"], float)) / sd


def worst(fits: list[dict[str, Any]]) -> tuple[float, float]:
    """The largest distance of a mean, and the largest factor between standard deviations, either way."""
    pairs = [pair for f in fits for pair in f["off"].values()]
    away, width = ([x for pair in pairs for x in pair[k] if x is not None and np.isfinite(x)] for k in (0, 1))
    return max(away), max(max(x, 1 / x) for x in width if x > 0)


def fit(name: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as cache:
        fits = [run(name, cache, "--seed", str(seed)) for seed in SEEDS]
        plain = run(name, cache, "--seed", "0", "--estimator", "interior")
    done = [f for f in fits if "failed" not in f]
    best = max(done, key=lambda f: f["elbo"], default={})
    return {
        "combined": [brief(name, f) for f in fits],
        "interior": brief(name, plain),
        "marginals": summaries(best),
        "interior_marginals": summaries(plain),
    }


def summaries(result: dict[str, Any]) -> dict[str, Any]:
    found = {**result.get("latents", {}), **result.get("reports", {})}
    return {site: {k: s[k] for k in LEVELS} for site, s in found.items()}


# ---- the page --------------------------------------------------------------------------------------------------------


def number(x: Any) -> str:
    return "" if x is None or not np.isfinite(x) else f"{float(x):.4g}"


def overview(fits: dict[str, Any], reference: dict[str, Any]) -> Iterator[str]:
    yield (
        "| program | log evidence | ELBO, best of 5 seeds | worst | starts that agree | multimodal | k-hat "
        "| ELBO, plain AD |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for name, r in reference.items():
        f = fits.get(name)
        evidence = r["posterior"].get("log_evidence")
        shown = "-" if evidence is None else f"{evidence:.2f}"
        if f is None:
            yield f"| `{name}` | {shown} | not measured | | | | | |"
            continue
        done = [x for x in f["combined"] if "failed" not in x]
        failed = len(f["combined"]) - len(done)
        elbos = [x["elbo"] for x in done]
        lowest = "-" if not elbos else f"{min(elbos):.2f}" + (f", {failed} failed" if failed else "")
        best = "-" if not elbos else f"{max(elbos):.2f}"
        agree = ", ".join(str(x["starts_agree"]) for x in done)
        khat = f"{min(x['khat'] for x in done):.2f} to {max(x['khat'] for x in done):.2f}" if done else "-"
        plain = f["interior"]
        plain_elbo = "failed" if "failed" in plain else f"{plain['elbo']:.2f}"
        known = [x["multimodal"] for x in done if "multimodal" in x]
        modes = count(known) if known else "-"
        yield f"| [`{name}`](#{name}) | {shown} | {best} | {lowest} | {agree} | {modes} | {khat} | {plain_elbo} |"


def trust(fits: dict[str, Any]) -> Iterator[str]:
    yield "| program | means off by, sd | sds off by a factor | by the weights: mean | sd | others' share | believe |"
    yield "|---|---|---|---|---|---|---|"
    for name, f in fits.items():
        done = [x for x in f["combined"] if "off" in x]
        if not done:
            continue
        away, width = worst(done)
        weighed = [x["weighing"] for x in done]
        shift = between([w["shift"] for w in weighed])
        stretch = between([max(w["stretch"], 1 / w["stretch"]) for w in weighed])
        middle = float(np.median([w["share"] for w in weighed]))
        share = "-" if not any(w["others"] for w in weighed) else f"{middle:.1g}" if middle >= 0.001 else "< 0.001"
        believe = count(x["believe"] for x in done)
        yield f"| [`{name}`](#{name}) | {away:.2f} | {width:.2f} | {shift} | {stretch} | {share} | {believe} |"


def count(which: Iterable[bool]) -> str:
    found = list(which)
    return "all" if all(found) else f"{sum(found)} of {len(found)}" if any(found) else "no"


def between(values: list[float]) -> str:
    return f"{min(values):.2f} to {max(values):.2f}"


def details(name: str, fits: dict[str, Any], reference: dict[str, Any]) -> Iterator[str]:
    posterior = reference[name]["posterior"]
    found = fits.get(name, {})
    fitted, plain = (found.get(k, {}) for k in ("marginals", "interior_marginals"))
    seeds = [x["off"] for x in found.get("combined", []) if "off" in x]
    yield (
        "| | reference mean | sd | 5% | 95% | fitted mean | sd | 5% | 95% | 5 seeds: mean off by, sd | sd of reference "
        "| plain AD mean | sd |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|---|---|---|"
    for site, exact in {**posterior["latents"], **posterior["reports"]}.items():
        ours, theirs = fitted.get(site), plain.get(site)
        size = np.size(exact["mean"])
        if size > SHOWN:
            yield many(site, exact, ours, theirs, [x[site] for x in seeds if site in x])
            continue
        for k in range(size):
            cells = [np.ravel(exact[q])[k] for q in LEVELS]
            cells += [np.ravel(np.asarray(ours[q], float))[k] if ours else None for q in LEVELS]
            plain_cells = [np.ravel(np.asarray(theirs[q], float))[k] if theirs else None for q in LEVELS[:2]]
            label = f"{site}[{k}]" if isinstance(exact["mean"], list) else site
            shown = [number(x) for x in cells] + over_seeds(
                [[x[site][q][k] for q in (0, 1)] for x in seeds if site in x]
            )
            yield f"| `{label}` | " + " | ".join(shown + [number(x) for x in plain_cells]) + " |"
    best = reference[name].get("meanfield")
    yield ""
    gap = "" if best is None else f" Best mean-field ELBO, by exact formula: {best['elbo']:.4f}."
    yield f"Reference: {posterior['method']}.{gap}"


def over_seeds(pairs: list[list[float | None]]) -> list[str]:
    """The range over seeds of both distances of an element; "" where they are not known."""
    known = [[x for pair in pairs if (x := pair[k]) is not None] for k in (0, 1)]
    return [between(values) if values else "" for values in known]


def many(
    site: str, exact: dict[str, Any], ours: dict[str, Any] | None, theirs: dict[str, Any] | None, seeds: list[Any]
) -> str:
    """One row for an array: distances in standard deviations of the reference."""
    size = np.size(exact["mean"])

    def distance(found: dict[str, Any] | None) -> tuple[str, str]:
        if not found:
            return "", ""
        away, width = distances(exact, found)
        off = f"off by {np.nanmedian(away):.2f} sd, at most {np.nanmax(away):.2f}"
        return off, f"{np.nanmin(width):.2f} to {np.nanmax(width):.2f} of it"

    (a, b), (c, d) = distance(ours), distance(theirs)
    furthest, widest = over_seeds([[pair[0][0], pair[1][0]] for pair in seeds])
    cells = [f"at most {furthest}" if furthest else "", f"furthest {widest}" if widest else ""]
    return f"| `{site}` ({size} elements) | | | | | {a} | {b} | | | {' | '.join(cells)} | {c} | {d} |"


def render(text: str) -> str:
    """`text` with its tables written anew."""
    fits = json.loads(FITS.read_text()) if FITS.exists() else {}
    reference = json.loads(REFERENCE.read_text())

    def block(m: re.Match[str]) -> str:
        if m[2] in ("overview", "trust"):
            rows = overview(fits, reference) if m[2] == "overview" else trust(fits)
        else:
            rows = details(m[2], fits, reference)
        return m[1] + "\n" + "\n".join(rows) + "\n\n" + m[3]

    return BLOCK.sub(block, text)


def main() -> None:
    reference = json.loads(REFERENCE.read_text())
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["fit", "page"])
    parser.add_argument("names", nargs="*", metavar="NAME", help="one of " + ", ".join(reference))
    parser.add_argument("--out", type=Path, default=FITS, help="where fits are kept")
    args = parser.parse_intermixed_args()
    if unknown := set(args.names) - set(reference):
        parser.error(f"no such program: {', '.join(sorted(unknown))}")
    if args.what == "page":
        PAGE.write_text(render(PAGE.read_text()))
        return
    for name in args.names or reference:
        fits = json.loads(args.out.read_text()) if args.out.exists() else {}
        if name in fits and name not in args.names:
            continue
        fits[name] = rounded(fit(name), 5)
        args.out.write_text(compact({n: fits[n] for n in reference if n in fits}))
        print(name, [x.get("elbo", x) for x in fits[name]["combined"]], flush=True)


if __name__ == "__main__":
    main()
