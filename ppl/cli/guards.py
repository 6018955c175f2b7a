"""The human form of ``pplc explain``."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from ppl.cli.columns import aligned
from ppl.diagnostics import counted, printable

WIDTH = 100
Row = Mapping[str, Any]


def guard_report(file: str, report: Mapping[str, Any]) -> str:
    """`report` (see ``Model.explain``) as text of at most WIDTH columns, unless a name is longer."""
    sites, guards, loops = (_placed(report[kind], file) for kind in ("sites", "guards", "loops"))
    groups = _grouped(guards)
    quantities, decisions = counted(len(sites), "random quantity", "random quantities"), counted(len(groups), "guard")
    lines = [f"{printable(file)}: {quantities}, {decisions}"]
    if sites:
        lines += ["", *(f"  {line}" for line in aligned([_site_row(s) for s in sites], left=range(5)))]
    for whole, parts in groups:
        lines += ["", *(_guard_lines(parts[0]) if whole is None else _group_lines(whole, parts))]
    for loop in loops:
        verdict = "can be taken in minibatches" if loop["minibatch"] else f"no minibatches: {loop['reason']}"
        lines += ["", f"  {loop['place']}  loop over {loop['text']}", f"  {' ' * len(loop['place'])}  {verdict}"]
    lines += _total_lines(report["work"])
    return "\n".join(lines)


def _placed(rows: Sequence[Row], file: str) -> list[Row]:
    """`rows` with their `place`: line and column, behind the name of the file where that is not the program's."""

    def place(span: Mapping[str, Any]) -> str:
        where = f"{span['line']}:{span['column']}"
        return where if span["file"] == file else f"{printable(os.path.basename(span['file']))}:{where}"

    return [{**row, "place": place(row["span"])} for row in rows]


def _site_row(site: Row) -> list[str]:
    shape = "" if not site["shape"] else f"[{', '.join(map(str, site['shape']))}]"
    role = "noise" if site["noise"] else "latent"
    row = [site["place"], f"{role} {site['name']}{shape}", str(site["distribution"]), f"support {site['support']}"]
    return [*row, f"guide {site['guide']}" if site["guide"] else ""]


def _grouped(guards: Sequence[Row]) -> list[tuple[str | None, list[Row]]]:
    """A comparison with several boundaries is one guard: its text, with its pieces. Others stand alone, without."""
    out: list[tuple[str | None, list[Row]]] = []
    for guard in guards:
        _, of, whole = guard["text"].partition(PIECE)
        if of and out and out[-1][0] == whole and out[-1][1][0]["span"] == guard["span"]:
            out[-1][1].append(guard)
        else:
            out.append((whole if of else None, [guard]))
    return [(whole if len(parts) > 1 else None, parts) for whole, parts in out]


def _group_lines(whole: str, parts: Sequence[Row]) -> list[str]:
    margin = " " * len(f"  {parts[0]['place']}  ")
    title = f"{whole}  ({len(parts)} boundaries)" if all(p["status"] in MANY for p in parts) else whole
    lines = textwrap.wrap(title, WIDTH - len(margin), break_on_hyphens=False)
    for part in parts:
        piece = {**part, "text": f"{part['text'].partition(PIECE)[0]} > 0"}
        lines += [f"  {line}" for line in _fact_lines(piece, WIDTH - len(margin) - 2)]
    return [f"  {parts[0]['place']}  {lines[0]}", *(margin + line for line in lines[1:])]


def _guard_lines(guard: Row) -> list[str]:
    head = f"  {guard['place']}  "
    first, *rest = _fact_lines(guard, WIDTH - len(head))
    return [head + first, *(" " * len(head) + line for line in rest)]


def _fact_lines(guard: Row, width: int) -> list[str]:
    facts = [str(guard["status"])]
    if guard["status"] in MANY and guard["count"] is not None:
        facts.append(f"x{guard['count']}")
    facts += [f"{label}{guard[key]}" for key, label in _FACTS if guard[key] not in (None, "", "-")]
    body = [str(guard["text"]), ", ".join(facts), str(guard["reason"] or ""), _work(guard)]
    return [line for text in body for line in textwrap.wrap(text, width, break_on_hyphens=False)]


def _work(guard: Row) -> str:
    """What a jump evaluates, what all of them take, and the other lines that they could be taken along."""
    jump, other = guard["jump"], ", ".join(guard["lines"][1:])
    if jump is None:
        return ""
    each = "" if jump["factors"] is None else f"a jump evaluates {jump['factors']} of {jump['of']} factors"
    what = "it takes" if guard["count"] == 1 else "all of them take"
    every = "" if jump["work"] is None else f"{what} about {jump['work']:.2g} log densities a draw"
    found = [x for x in (each, every) if x]
    if found and guard["status"] == "marginalised":
        found[0] = f"otherwise {found[0]}"
    return "; ".join([*found, *((f"other lines: {other}",) if other else ())])


def _total_lines(work: Mapping[str, float | None]) -> list[str]:
    gradient, boundaries, integrated, price = (work[k] for k in ("gradient", "boundaries", "integrated", "price"))
    if gradient is None or boundaries is None or integrated is None or price is None or price == 1:
        return []
    parts = [(boundaries, "for boundaries"), (integrated, "for what is integrated out")]
    more = " and ".join(f"{x:.2g} more {what}" for x, what in parts if x)
    text = (
        f"a gradient that sees no boundaries takes about {gradient:.2g} log densities a draw; this one takes {more}, "
        f"in all {price:.2g} times as much"
    )
    return ["", *(f"  {line}" for line in textwrap.wrap(text, WIDTH - 2))]


PIECE = " > 0, of "  # between a piece of a comparison and the comparison
MANY = ("boundary", "merged", "marginalised", "score")  # where the number of instances means work
_FACTS = (("kind", ""), ("direction", "along "), ("effect", "effect "))
