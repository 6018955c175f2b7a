"""Elements of `var` arrays that a branch may leave without a value."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ppl.core import ir
from ppl.core.reads import expressions_of
from ppl.diagnostics import Diagnostics, Span

Place = tuple[str, tuple[ir.Expr, ...], tuple[int, ...]]


def check_fills(program: ir.Program, sink: Diagnostics) -> None:
    """Reports an element that is filled on some paths of a branch on a latent only (PPL306).

    An element without a value would read as zero. Masks are compared as they are written: an `if` and its `else` fill
    an element on every path if both fill it.
    """
    check_draws(program, sink)
    filled = {s.array for _, s in ir.blocks(program.body) if isinstance(s, ir.Fill)}
    for place, span in on_some_paths(program, lambda name: name in filled)[0].items():
        message = f"an element of `{place[0]}` has a value on some paths only"
        sink.error("PPL306", message, span, "fill it in the `else` too")


def check_draws(program: ir.Program, sink: Diagnostics) -> None:
    """Reports what reads, whatever the path, elements that only branches on latents draw (PPL306)."""
    filled = {s.array for _, s in ir.blocks(program.body) if isinstance(s, ir.Fill)}
    some, every = on_some_paths(program, lambda name: name not in filled)
    drawn = {place[0] for place in some} - {place[0] for place in every}
    for around, s in ir.blocks(program.body):
        if isinstance(s, ir.Report) or any(m is not None and m.random for m in (s.mask, *(x.mask for x in around))):
            continue
        own = carried(s) if isinstance(s, ir.Loop) else expressions_of(s, program.guards)
        names = sorted({name for e in own for name in always_read(e, drawn)})
        for name in names:
            message = f"this reads `{name}` on every path, and its elements are drawn on some paths only"
            hint = f"draw `{name}` in the `else` too, or read it under the same condition"
            sink.error("PPL306", message, s.span, hint)


def on_some_paths(program: ir.Program, wanted: Callable[[str], bool]) -> tuple[dict[Place, Span], dict[Place, Span]]:
    """The places at which elements of arrays are filled or drawn on some paths of branches on latents only, and those
    where it is on every path."""
    masks: dict[Place, list[ir.Expr | None]] = {}
    spans: dict[Place, Span] = {}
    for around, s in ir.blocks(program.body):
        name = s.array if isinstance(s, ir.Fill) else s.site if isinstance(s, ir.Sample) else ""
        if isinstance(s, ir.Fill | ir.Sample) and wanted(name) and s.indices:
            place = (name, s.indices, tuple(x.id for x in around))
            masks.setdefault(place, []).append(s.mask)
            spans.setdefault(place, s.span)
    every = {p: span for p, span in spans.items() if any(m is None or not m.random for m in joined(masks[p]))}
    return {p: span for p, span in spans.items() if p not in every}, every


def carried(s: ir.Loop) -> tuple[ir.Expr, ...]:
    return (*(c.out for c in s.carries), *(r.delta for r in s.reductions), *(c.element for c in s.collects))


def always_read(e: ir.Expr, names: set[str]) -> Iterator[str]:
    """Those of the arrays `names` of which an expression reads elements whatever latents decide."""
    match e:
        case ir.Select() if e.condition.random:
            yield from always_read(e.condition, names)
        case ir.Op(op="and" | "or", args=(a, _)):
            yield from always_read(a, names)
        case _:
            name = e.array if isinstance(e, ir.Cell) else e.name if isinstance(e, ir.Var) else ""
            yield from (name,) if name in names else ()
            for x in ir.children(e):
                yield from always_read(x, names)


def joined(masks: list[ir.Expr | None]) -> list[ir.Expr | None]:
    """`masks` with ``m and c`` and ``m and not c`` replaced by ``m``, as often as possible."""
    left = list(masks)
    while True:
        pair = next(
            ((a, b, m) for a in left for b in left if (m := meet(a, b)) is not NOTHING),
            None,
        )
        if pair is None:
            return left
        a, b, m = pair
        left.remove(a)
        left.remove(b)
        left.append(m)


NOTHING = ir.FALSE  # no mask is ever false


def meet(a: ir.Expr | None, b: ir.Expr | None) -> ir.Expr | None:
    """The mask that two complementary ones make up; NOTHING if they are not."""
    if a is None or b is None:
        return NOTHING
    (outer_a, last_a), (outer_b, last_b) = split(a), split(b)
    return outer_a if outer_a == outer_b and last_b == ir.negate(last_a) else NOTHING


def split(mask: ir.Expr) -> tuple[ir.Expr | None, ir.Expr]:
    """``m and c`` as (m, c), a single condition as (None, c)."""
    if isinstance(mask, ir.Op) and mask.op == "and":
        return mask.args[0], mask.args[1]
    return None, mask
