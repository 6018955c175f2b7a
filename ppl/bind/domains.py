"""Arguments of distributions inside their domains, observed values inside the support; as far as they are data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ppl.bind.blame import Findings, place
from ppl.bind.evaluate import Evaluator, Mask, Space, both
from ppl.bind.functions import Array
from ppl.bind.ranges import Ranges
from ppl.core import ir
from ppl.core.show import show
from ppl.language.distributions import Distribution, Param, named

WANTED = {
    "positive": "above 0 and finite",
    "unit": "in [0, 1]",
    "int_nonnegative": "0 or more",
    "int_positive": "1 or more",
    "real": "finite",
    "simplex": "0 or more in all elements, which sum to 1",
}
# Below which there is nothing of a domain, and whether that itself is inside.
LEAST = {"positive": (0, False), "unit": (0, True), "int_nonnegative": (0, True), "int_positive": (1, True)}
ABOVE = ("LogNormal", "InverseGamma")  # whose density is 0 at the end of the support
BY_SHAPE = ("Gamma", "Weibull")  # whose density is 0 or infinite there, unless the shape is 1
SIMPLEX_TOLERANCE = 1e-6


def arguments(
    s: ir.Sample | ir.Term, ev: Evaluator, active: Mask, findings: Findings, ranges: Ranges
) -> list[Array | None]:
    """Reports arguments outside their domain: data, and what latents decide if none of its values is inside, where no
    latent decides whether it is read. The values of those that are data."""
    assert s.distribution is not None
    d = named(s.distribution)
    values: list[Array | None] = []
    for p, a in zip(d.params, s.args, strict=True):
        values.append(ev.value(a, active))
        for part, v, where in parts(a, ev.quiet(), active, set()):
            if not isinstance(part, ir.Lit) or part is not a:
                _argument(s, d, p, part, v, ev, where, findings)
        if a.random and p.domain in LEAST and not a.type.dims and not (s.mask is not None and s.mask.random):
            x, (least, itself) = ranges.of(a, ev.quiet()), LEAST[p.domain]
            found = worst((x.lo <= x.hi) & ((x.hi < least) | ((x.hi == least) & (not itself))), active)
            if found is not None:
                message = f"`{p.name}` of `{d.written}`{place(ev.space, found[0])} is never above {number(x.hi, found)}"
                text = f"{message}, it must be {WANTED[p.domain]}"
                findings.add("PPL301", text, s.span, (a,), key=(p.name, show(a)))
    ends(s, d, values, ev, active, findings)
    return values


def ends(
    s: ir.Sample | ir.Term, d: Distribution, values: Sequence[Array | None], ev: Evaluator, active: Mask,
    findings: Findings,
) -> None:  # fmt: skip
    """Reports an interval without values: of `Uniform`, or of a truncation."""
    if d.family != "Uniform" and not d.truncated:
        return
    names = [p.name for p in d.params]
    bounds = [values[names.index(b)] if isinstance(b, str) else np.asarray([b]) for b in d.support.bounds]
    lo, hi = (*bounds, None)[:2]
    if lo is None or hi is None:
        return
    a, b = aligned([lo, hi])
    found = worst(~((a <= b) if d.discrete else (a < b)), active)
    if found is not None:
        low, high = (np.broadcast_to(x, np.broadcast_shapes(a.shape, b.shape)) for x in (a, b))
        where, pair = place(ev.space, found[0]), f"({number(low, found)}, {number(high, found)})"
        text = f"`{d.family} in {pair}`{where} has no values" if d.truncated else f"`Uniform{pair}`{where} is empty"
        findings.add("PPL301", f"{text}: lo must be below hi", s.span, s.args, key="lo < hi")


def parts(e: ir.Expr, ev: Evaluator, active: Mask, seen: set[str]) -> Iterator[tuple[ir.Expr, Array, Mask]]:
    """The data that `e` is equal to, with where: itself, or a branch of an `if` on data.

    Not the branches of an `if` on a latent: that a branch is ever taken is not known.
    """
    if not e.random:
        v = ev.value(e, active)
        if v is not None:
            yield e, v, active
        return
    match e:
        case ir.Select() if not e.condition.random:
            t, f = ev.truth(e.condition, active)
            yield from parts(e.then, ev, both(active, t), seen)
            yield from parts(e.orelse, ev, both(active, f), seen)
        case ir.Op(op="to_real", args=(a,)):
            yield from parts(a, ev, active, seen)
        case ir.Var() if e.name in ev.definitions and e.name not in seen:
            seen.add(e.name)
            yield from parts(ev.definitions[e.name], ev, active, seen)
        case _:
            pass


def _argument(
    s: ir.Sample | ir.Term, d: Distribution, p: Param, e: ir.Expr, v: Array, ev: Evaluator, active: Mask,
    findings: Findings,
) -> None:  # fmt: skip
    total: Array | None = None
    match p.domain:
        case "positive":
            bad = ~((v > 0) & (v < np.inf))
        case "unit":
            bad = ~((v >= 0) & (v <= 1))
        case "int_nonnegative":
            bad = v < 0
        case "int_positive":
            bad = v < 1
        case "simplex":
            total = np.asarray(np.sum(v, axis=-1))
            bad = ~(np.all(v >= 0, axis=-1) & (np.abs(total - 1.0) <= SIMPLEX_TOLERANCE))
        case _:
            bad = ~np.isfinite(v)
    found = worst(bad, active)
    if found is None:
        return
    if total is None:
        came = f"is {number(v, found)}"
    else:
        least = float(v[found if v.shape[0] > 1 else (0, *found[1:])].min())
        came = f"has the element {least:g}" if least < 0 else f"sums to {number(total, found)}"
    message = f"`{p.name}` of `{d.written}`{element(found)}{place(ev.space, found[0])} {came}"
    findings.add("PPL301", f"{message}, it must be {WANTED[p.domain]}", s.span, (e,), key=(p.name, show(e)))


def _observed(s: ir.Term, space: Space, found: tuple[int, ...]) -> str:
    """The element of an observation and where it is; of a vector that is observed in one statement, as `y[1]`."""
    where = place(space, found[0])
    loop = space.loops[-1] if space.loops else None
    if loop is not None and loop.span == s.span and isinstance(s.value, ir.Index) and s.value.indices == (loop.var,):
        return f"`{show(s.value.base)}[{where.rpartition(' ')[2]}]`"
    return f"`{show(s.value)}{element_index(found)}`{where}"


def observation(s: ir.Term, args: Sequence[Array | None], ev: Evaluator, active: Mask, findings: Findings) -> None:
    """Reports observed values where the density is zero or infinite."""
    assert s.distribution is not None
    v = ev.value(s.value, active)
    if v is None:
        return
    d = named(s.distribution)
    if d.support.kind == "categories":
        n = (ev.dims(s.args[0].type) or (0,))[-1]
        outside: Iterator[Fault] = iter([((v < 0) | (v >= n), f"a category from 0 to {n - 1}", ())])
    else:
        outside = faults(d, v, args, s.args)
    for bad, wanted, limits in outside:
        found = worst(bad, active)
        if found is not None:
            came = f"the observed {_observed(s, ev.space, found)} is {number(v, found)}"
            if isinstance(s.value, ir.Lit):
                came = f"the observed value{place(ev.space, found[0])} is {number(v, found)}"
            message = f"{came}, outside the support of `{d.family}`: it must be {wanted}"
            findings.add("PPL308", message, s.span, (s.value, *limits), key=show(s.value))
            return


def factor(s: ir.Term, ev: Evaluator, active: Mask, findings: Findings) -> None:
    """Reports a factor that is infinite, or not a number, whatever the latents."""
    for part, v, where in parts(s.value, ev.quiet(), active, set()):
        found = worst(~np.isfinite(v), where)
        if found is not None:
            came = f"the factor `{show(part)}`{place(ev.space, found[0])} is {number(v, found)}"
            findings.add("PPL309", f"{came}, it must be finite", s.span, (part,), key=show(part))


Fault = tuple[Array, str, tuple[ir.Expr, ...]]


def faults(d: Distribution, v: Array, args: Sequence[Array | None], exprs: Sequence[ir.Expr]) -> Iterator[Fault]:
    """Where `v` is outside the support (unless it is one of categories), what it must be, the arguments that say so."""
    yield ~np.isfinite(v), "finite", ()
    names = [p.name for p in d.params]
    kind = d.support.kind
    if kind == "nonnegative_int" and not d.truncated:
        yield v < 0, "0 or more", ()
        return
    for end, b in enumerate(d.support.bounds, start=kind == "upper"):
        limit = args[names.index(b)] if isinstance(b, str) else np.asarray([b])
        if limit is None:
            continue
        x, y = aligned([v, limit])
        bad, word = (x < y, "at least") if end == 0 else (x > y, "at most")
        if not isinstance(b, str) and (d.family in ABOVE or d.family == "Beta"):
            bad, word = (x <= y, "above") if end == 0 else (x >= y, "below")
        if not isinstance(b, str) and d.family in BY_SHAPE:
            shape = args[names.index("shape")]
            x, y, one = aligned([v, limit, np.asarray([0.0]) if shape is None else shape])
            bad, word = (x < y) | ((x == y) & (one != 1)), "above"
        if isinstance(b, str):
            yield bad, f"{word} `{b}`", (exprs[names.index(b)],)
        else:
            yield bad, f"{word} {b:g}", ()


def aligned(values: Sequence[Array]) -> list[Array]:
    """Values with the same number of axes: scalars stand for all elements."""
    rank = max(v.ndim for v in values)
    return [v.reshape(v.shape[:1] + (1,) * (rank - v.ndim) + v.shape[1:]) for v in values]


def worst(bad: Array, active: Mask) -> tuple[int, ...] | None:
    """The first bad place: the iteration, then the element."""
    if not bad.any():
        return None
    if active is not None:
        bad = bad & active.reshape(active.shape + (1,) * (bad.ndim - 1))
        if not bad.any():
            return None
    return tuple(int(i) for i in np.unravel_index(int(bad.argmax()), bad.shape))


def number(v: Array, found: tuple[int, ...]) -> str:
    """The value there, as the language writes it."""
    x = v[tuple(i if n > 1 else 0 for i, n in zip(found, v.shape, strict=False))]
    return f"{x:g}" if v.dtype.kind == "f" else str(int(x))


def element_index(found: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, found[1:]))}]" if len(found) > 1 else ""


def element(found: tuple[int, ...]) -> str:
    return f", element {element_index(found)}," if len(found) > 1 else ""
