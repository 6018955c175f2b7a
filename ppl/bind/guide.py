"""A program's own guide with its data, and guides that are given in the words of a `guide` block."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ppl.bind.blame import Findings
from ppl.bind.model import GuideBlock, Value
from ppl.bind.numbers import Numbers
from ppl.core import ir
from ppl.diagnostics import Diagnostics, counted
from ppl.elaborate import guide
from ppl.elaborate.context import Context, DataBinding
from ppl.elaborate.context import Facts as Learned
from ppl.syntax import ast, parse

Shapes = Mapping[str, tuple[int, ...]]


def in_words(
    text: str, program: ir.Program, definitions: Mapping[str, ir.Expr], values: Mapping[str, Value], shapes: Shapes
) -> tuple[GuideBlock, ...]:
    """The blocks that `text` describes, what stands between the braces of a `guide` block, as it would be read there.

    Raises PplError with what is wrong with it.
    """
    sink = Diagnostics()
    inside = f"guide {{ {text} }}"
    sink.sources["guide"] = inside
    found = parse(inside, "guide", sink).statements
    sink.raise_if_errors()
    ctx = Context(sink, Learned(), {})
    ctx.sites = {s.name: s for s in program.sites}
    ctx.env = {d.name: DataBinding(ir.DataRef(d.name, d.type), d.span) for d in program.data}
    if len(found) != 1 or not isinstance(found[0], ast.Guide):
        sink.error("PPL111", "a guide is described by lines such as `x, y ~ FullRank()`", found[-1].span)
        sink.raise_if_errors()
    parts = guide.guide(ctx, found[0]) if isinstance(found[0], ast.Guide) else ()
    sink.raise_if_errors()
    findings = Findings(program, definitions, sink)
    blocks = guide_of(parts, shapes, Numbers(program, definitions, values), findings)
    findings.raise_if_any()
    return blocks


def guide_of(
    parts: Sequence[ir.GuidePart], shapes: Shapes, numbers: Numbers, findings: Findings
) -> tuple[GuideBlock, ...]:
    """The blocks of a guide, in their order; `shapes` are those of the coordinates of the latents."""
    out: list[GuideBlock] = []
    for part in parts:
        rank = None if part.rank is None else numbers.number(part.rank)
        if part.rank is not None:
            assert rank is not None, "ranks come from data"
            size = sum(math.prod(shapes[k]) for k in part.sites)
            if not 1 <= rank <= max(size, 1):
                whole = counted(size, "coordinate")
                message = f"the rank of `{part.family}` is {rank}, and its latents have {whole}: it is from 1 to that"
                findings.add("PPL311", message, part.span, (part.rank,))
        out.append(GuideBlock(part.family, part.sites, None if rank is None else int(rank), part.flow))
    return tuple(out)
