"""Elements of `var` arrays that a branch may leave without a value."""

from __future__ import annotations

from ppl.core import ir
from ppl.diagnostics import Diagnostics, Span

Place = tuple[str, tuple[ir.Expr, ...], tuple[int, ...]]


def check_fills(program: ir.Program, sink: Diagnostics) -> None:
    """Reports an element that is filled on some paths of a branch on a latent only (PPL306).

    An element without a value would read as zero. Masks are compared as they are written: an `if` and its `else` fill
    an element on every path if both fill it.
    """
    filled = {s.array for _, s in ir.blocks(program.body) if isinstance(s, ir.Fill)}
    masks: dict[Place, list[ir.Expr | None]] = {}
    spans: dict[Place, Span] = {}
    for around, s in ir.blocks(program.body):
        name = s.array if isinstance(s, ir.Fill) else s.site if isinstance(s, ir.Sample) else ""
        if isinstance(s, ir.Fill | ir.Sample) and name in filled and s.indices:
            place = (name, s.indices, tuple(x.id for x in around))
            masks.setdefault(place, []).append(s.mask)
            spans.setdefault(place, s.span)
    for place, found in masks.items():
        if not any(m is None or not m.random for m in joined(found)):
            sink.error(
                "PPL306",
                f"an element of `{place[0]}` has a value on some paths only",
                spans[place],
                "fill it in the `else` too",
            )


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
