"""Elements of `var` arrays that a branch may leave without a value."""

from __future__ import annotations

from ppl.core import ir
from ppl.diagnostics import Diagnostics

Place = tuple[str, tuple[ir.Expr, ...], tuple[int, ...]]


def check_fills(program: ir.Program, sink: Diagnostics) -> None:
    """Reports an element that is filled on some paths of a branch on a latent only (PPL306).

    An element without a value would read as zero. Masks are compared as they are written: an `if` and its `else` fill
    an element on every path if both fill it.
    """
    filled = {s.array for _, s in ir.blocks(program.body) if isinstance(s, ir.Fill)}
    for (name, *_), found in places(program).items():
        if name in filled and on_some_paths(found):
            message = f"an element of `{name}` has a value on some paths only"
            sink.error("PPL306", message, found[0].span, "fill it in the `else` too")


def places(program: ir.Program) -> dict[Place, list[ir.Fill | ir.Sample]]:
    """The statements that give elements of arrays their values, by place."""
    out: dict[Place, list[ir.Fill | ir.Sample]] = {}
    for around, s in ir.blocks(program.body):
        if isinstance(s, ir.Fill | ir.Sample) and s.indices:
            name = s.array if isinstance(s, ir.Fill) else s.site
            out.setdefault((name, s.indices, tuple(x.id for x in around)), []).append(s)
    return out


def on_some_paths(statements: list[ir.Fill | ir.Sample]) -> bool:
    return not any(m is None or not m.random for m in joined([s.mask for s in statements]))


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
