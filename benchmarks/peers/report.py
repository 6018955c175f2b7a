"""The page that shows a result of ``performance.py``."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(r) + " |" for r in rows)]) + "\n"


def short(x: float) -> str:
    if not math.isfinite(x):
        return "not finite"
    if x == 0:
        return "0"
    return f"{x:.1e}" if abs(x) >= 1e5 or abs(x) < 0.01 else f"{x:.3g}"


def _times(result: dict[str, Any]) -> str:
    models = result["models"]
    names = list(next(iter(models.values()))["time"]["f32"]["16"])
    rows: list[list[str]] = []
    for n in names:
        cells = [
            " / ".join(f"{m['time'][d][b][n]['us']:.3g}" for d in ("f32", "f64") for b in ("16", "256"))
            for m in models.values()
        ]
        rows.append([n, *cells])
    return table(["", *models], rows)


PRICES = (
    ("combined, plain", "interior, plain"), ("combined", "interior"), ("combined", "interior, plain"),
    ("interior, plain", "interior, by hand"), ("LYY18", "combined, plain"),
)  # fmt: skip


def _ratios(result: dict[str, Any]) -> str:
    models = result["models"]
    rows: list[list[str]] = []
    for a, b in PRICES:
        cells = [
            " / ".join(
                f"{m['time'][d][k][a]['us'] / m['time'][d][k][b]['us']:.2f}"
                for d in ("f32", "f64")
                for k in ("16", "256")
            )
            for m in models.values()
        ]
        rows.append([f"{a} over {b}", *cells])
    return table(["", *models], rows)


def _spread(result: dict[str, Any]) -> str:
    def cell(m: dict[str, Any], n: str) -> str:
        start, trained = (m["spread"][k][n]["variance"] for k in ("start", "trained"))
        return f"{short(start)}; {short(trained)} [{short(trained * m['time']['f32']['16'][n]['us'])}]"

    return _by_method(result, cell)


def _errors(result: dict[str, Any]) -> str:
    def cell(m: dict[str, Any], n: str) -> str:
        us, t = m["time"]["f32"]["16"][n]["us"], m["spread"]["trained"][n]
        return short((t["variance"] / 16 + t["bias2"]) * us)

    return _by_method(result, cell)


def _by_method(result: dict[str, Any], cell: Callable[[dict[str, Any], str], str]) -> str:
    """A row for each method, a column for each model."""
    models = result["models"]
    names = list(next(iter(models.values()))["spread"]["start"])
    return table(["", *models], [[n, *(cell(m, n) for m in models.values())] for n in names])


def _elbos(result: dict[str, Any]) -> str:
    models = result["models"]
    names = list(next(iter(models.values()))["trained"])
    rows: list[list[str]] = []
    for n in names:
        cells: list[str] = []
        for m in models.values():
            e = np.asarray(m["trained"][n]["elbos"])
            cells.append(f"{np.median(e):.6g} [{e.min():.6g}, {e.max():.6g}], {m['trained'][n]['seconds']:.1f} s")
        rows.append([n, *cells])
    return table(["", *models], rows)


def _scaling(result: dict[str, Any]) -> str:
    parts: list[str] = []
    for family, sizes in result["scaling"].items():
        rows: list[list[str]] = []
        for n, r in sizes.items():
            if "error" in r:
                rows.append([n, "failed", "", "", "", "", ""])
                continue
            microseconds = [f"{r[f'{e}_us']:.4g}" for e in ("interior", "combined")]
            seconds = [f"{r['bind_s']:.2f}", f"{r['combined_compile_s']:.1f}"]
            rows.append([n, *microseconds, *seconds, f"{r['peak_mb'] - r['base_mb']:.0f}", f"{r['lines']:.0f}"])
        head = [family, "interior, us", "combined, us", "bind, s", "compile, s", "memory above start-up, MB", "lines"]
        parts.append(table(head, rows))
    return "\n".join(parts)


def _compile(result: dict[str, Any]) -> str:
    models = result["models"]
    rows = [
        ["compile interior, s", *(f"{m['time']['f32']['16']['interior']['compile_s']:.1f}" for m in models.values())],
        ["compile combined, s", *(f"{m['time']['f32']['16']['combined']['compile_s']:.1f}" for m in models.values())],
        ["lines emitted", *(str(m["lines"]) for m in models.values())],
    ]
    return table(["", *models], rows)


def _numpyro(result: dict[str, Any]) -> str:
    rows = [
        [name, f"{r['NumPyro']:.3g}", f"{r['combined']:.3g}", f"{r['NumPyro'] / r['combined']:.2f}"]
        for name, r in result["numpyro"].items()
    ]
    return table(["model, draws", "NumPyro, us", "combined, us", "ratio"], rows)


def page(result: dict[str, Any]) -> str:
    """Markdown for a result of ``performance.measure`` and ``performance.scaling``."""
    return f"""# What an unbiased gradient costs

`python benchmarks/performance.py --out docs/performance` writes this page and `performance.json`.
Machine: {result["machine"]}. Everything is measured in one process on one core, in processor time, in interleaved
rounds of which the median counts. A gradient includes drawing its noise, and each moves the parameters a little, so
that nothing that depends on these alone is computed once for all. float32 has JAX's 64-bit mode off. The models are
those of the literature (`benchmarks/literature/`): text messages, influenza and the thermostat of Lee, Yu & Yang
(NeurIPS 2018), the walk and the randomised response of Wagner, Khajwal & Ong (AISTATS 2024).

*combined* and *interior* are ours with default options; *plain* means independent draws and every guard as a boundary,
nothing integrated out, as in the papers. *by hand* is the model in vectorised JAX (`benchmarks/peers/models.py`),
*LYY18* one random guard per gradient with the whole model evaluated on both sides, *smoothed* every branch blended by a
sigmoid at that temperature; *decaying* starts there and falls by the square root of the number of thousand steps.

## Microseconds per gradient

float32 with 16 draws / 256 draws / float64 with 16 / 256.

{_times(result)}
## Ratios of these

{_ratios(result)}
## Variance of one draw

Mean over parameters; at standard normal parameters; after 5000 Adam steps of *combined* [the latter times the
microseconds of a float32 gradient of 16 draws]. Of antithetic draws, the variance of the mean of 16 times 16. A method
that does not see the boundaries can have no variance and be wrong.

{_spread(result)}
## Mean squared error of a gradient of 16 draws, times its microseconds

At the trained parameters: variance and squared bias, the latter against *combined* with many draws.

{_errors(result)}
## ELBO after 50,000 Adam steps

Learning rate 0.0015, 16 draws, float32, 5 seeds, each with a start of its own, the same for all methods, drawn from the
standard normal: median [worst, best], seconds of one run.

{_elbos(result)}
## Size

{_scaling(result)}
{_compile(result)}
## A step of Adam, beside NumPyro

{_numpyro(result)}"""
