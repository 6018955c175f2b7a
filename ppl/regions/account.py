"""The account that `explain` gives of everything a program decides: where, what, and what became of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ppl.core import ir
from ppl.core.reads import leaf_sites
from ppl.diagnostics import Span
from ppl.regions.budget import elements, taken_in_part
from ppl.regions.costs import Jump
from ppl.regions.model import GuardInfo, Regions
from ppl.regions.prefix import remark

Entry = dict[str, Any]


def account(
    regions: Regions, counts: Mapping[int, int] | None, shapes: Mapping[str, tuple[int, ...]],
    budgets: Sequence[int | None], jumps: Mapping[int, Jump] | None = None,
) -> list[Entry]:  # fmt: skip
    """Guards, kinks, and conditions that need no boundary, in source order.

    A comparison may have several guards: of one boundary, of which one entry speaks, or of several, with an entry each.
    `counts` are the instances of each guard and `shapes` those of the sites, if sizes are known, and `budgets` as
    `ppl.regions.costs.budgets` gives them; `where` is the span.
    `jumps`: what those of each guard evaluate.
    """
    found: dict[tuple[object, ...], Entry] = {}
    for i in regions.guards:
        key = (i.guard.span, i.representative)
        if key not in found or i.guard.index == i.representative:
            found[key] = _guard(regions, i, counts, shapes, budgets)
            jump = (jumps or {}).get(i.guard.index)
            found[key] |= {"lines": list(i.lines), "jump": None if jump is None else jump.to_json()}
    for e in _others(regions):
        found.setdefault((e["where"], e["text"], e["status"], e["reason"]), e)
    return sorted(found.values(), key=lambda d: (d["where"].file, d["where"].line, d["where"].column))


def _guard(
    regions: Regions, i: GuardInfo, counts: Mapping[int, int] | None, shapes: Mapping[str, tuple[int, ...]],
    budgets: Sequence[int | None],
) -> Entry:  # fmt: skip
    count = None if counts is None else counts[i.guard.index]
    effect, reason = i.effect, i.reason + remark(regions, i.guard.index, count)
    taken = None if count is None else taken_in_part(regions, i, count, shapes, budgets)
    if count is not None and taken is not None:
        each = max(elements(b, shapes) for b in i.boundaries if b.repeats)
        of = f"{count} instances" if each == 1 else f"{count * each} lines, {each} for each instance,"
        effect, reason = "subset", f"{reason}; in each draw {taken} of its {of} stand for all, chosen at random"
    return {
        "text": i.guard.text, "where": i.guard.span, "kind": i.kind, "direction": i.direction, "effect": effect,
        "count": count, "status": i.status, "reason": reason,
    }  # fmt: skip


def _others(regions: Regions) -> Iterator[Entry]:
    for k in regions.program.kinks:
        yield _plain(k.text, k.span, "no-jump", "continuous, so nothing jumps: its kink needs no boundary term")
    for g in regions.program.fixed_conditions:
        yield _plain(g.text, g.span, "fixed" if g.value.random else "data-only", _settled(regions, g.value))


def _settled(regions: Regions, value: ir.Expr) -> str:
    """Why what the program decides by `value` needs no boundary of its own."""
    if not value.random:
        return "it depends on data alone"
    if value.type.base == "real":
        return "its outcome is the same whatever the latents are"
    read = leaf_sites(value, regions.definitions, regions.program.guards, outcomes=True)
    if read and read <= {s.name for s in regions.program.sites if s.noise}:
        return "it depends on noise alone, so no parameter moves it"
    return "its value changes only where other guards flip"


def _plain(text: str, span: Span, status: str, reason: str) -> Entry:
    return {
        "text": text, "where": span, "kind": "-", "direction": "-", "effect": "-", "count": 0, "status": status,
        "reason": reason, "lines": [], "jump": None,
    }  # fmt: skip
