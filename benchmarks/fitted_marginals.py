"""Fits every shipped program with default options from three seeds and writes docs/fits.md.

    python benchmarks/fitted_marginals.py [PROGRAM ...] [--out FILE]

Beside each fit stand the exact or long-run posterior and the best mean-field ELBO of docs/reference_posteriors.json,
which were made without this compiler.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np

import ppl

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = ("one_if", "textmsg", "coal", "temperature", "influenza")
SEEDS = (0, 1, 2)
HEAD = """# Fits of the shipped programs

`python benchmarks/fitted_marginals.py` writes this page: `pplc infer` with default options, from three seeds, beside
the reference of [programs.md](programs.md). A mean-field guide cannot match a correlated or lopsided posterior; the
distance of its ELBO to the best mean-field ELBO says how well it was fitted, the distance of the marginals what the
family costs.
"""


def fit(name: str, seed: int) -> ppl.Fit:
    model = ppl.load(ROOT / "programs" / f"{name}.ppl")
    data = ROOT / "programs" / f"{name}.data.json"
    return model.infer(data if data.exists() else None, seed=seed)


def marginals(found: dict[str, Any], exact: dict[str, Any]) -> list[str]:
    """Rows of a table for scalars; for an array one row with its largest distances in posterior sds."""
    rows: list[str] = []
    for name, r in exact.items():
        f = found[name]
        mean, sd, q5, q95 = (np.asarray(r[k], dtype=float) for k in ("mean", "sd", "q5", "q95"))
        if mean.ndim == 0:
            ours = " | ".join(f"{float(f[k]):.4g}" for k in ("mean", "sd", "q5", "q95"))
            rows.append(f"| `{name}` | {mean:.4g} | {sd:.4g} | {q5:.4g} | {q95:.4g} | {ours} |")
            continue
        gap = np.abs(np.asarray(f["mean"], dtype=float) - mean) / sd
        width = np.asarray(f["sd"], dtype=float) / sd
        rows.append(
            f"| `{name}` ({mean.size} elements) | | | | | mean off by at most {np.nanmax(gap):.2f} sd, "
            f"median {np.nanmedian(gap):.2f} | sd {np.nanmin(width):.2f} to {np.nanmax(width):.2f} of the exact | | |"
        )
    return rows


def section(name: str, reference: dict[str, Any]) -> list[str]:
    fits = [fit(name, seed) for seed in SEEDS]
    best = reference["meanfield"]["elbo"]
    out = [f"## `{name}`", "", f"Best mean-field ELBO: {best:.4f}.", ""]
    out += ["| seed | ELBO | its error | steps | k-hat | why it stopped |", "|---|---|---|---|---|---|"]
    for seed, f in zip(SEEDS, fits, strict=True):
        out.append(f"| {seed} | {f.elbo:.4f} | {f.elbo_se:.4f} | {f.steps} | {f.khat:.2f} | {f.stop_reason} |")
    head = "exact mean | sd | 5% | 95% | fitted mean | sd | 5% | 95%"
    out += ["", f"| | {head} |", "|---|---|---|---|---|---|---|---|---|"]
    posterior, summary = reference["posterior"], fits[0].summary()
    out += marginals({**summary["latents"], **summary["reports"]}, {**posterior["latents"], **posterior["reports"]})
    return [*out, ""]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("programs", nargs="*", default=PROGRAMS)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "fits.md")
    args = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    reference = json.loads((ROOT / "docs" / "reference_posteriors.json").read_text())
    lines = [HEAD]
    for name in args.programs:
        lines += section(name, reference[name])
        args.out.write_text("\n".join(lines))
        print(f"{name} done", flush=True)


if __name__ == "__main__":
    main()
