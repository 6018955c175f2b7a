"""The human form of ``pplc explain``."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from ppl.cli.columns import aligned
from ppl.diagnostics import counted, printable

WIDTH = 100
Row = Mapping[str, Any]


def guard_report(file: str, report: Mapping[str, Sequence[Row]]) -> str:
    """`report` (see ``Model.explain``) as text of at most WIDTH columns, unless a name is longer."""
    sites, guards = report["sites"], report["guards"]
    quantities, decisions = counted(len(sites), "random quantity", "random quantities"), counted(len(guards), "guard")
    lines = [f"{printable(file)}: {quantities}, {decisions}"]
    if sites:
        lines += ["", *(f"  {line}" for line in aligned([_site_row(s) for s in sites], left=range(5)))]
    for guard in guards:
        lines += ["", *_guard_lines(guard)]
    for loop in report["loops"]:
        verdict = "can be taken in minibatches" if loop["minibatch"] else f"no minibatches: {loop['reason']}"
        lines += ["", f"  {_place(loop)}  loop over {loop['text']}", f"  {' ' * len(_place(loop))}  {verdict}"]
    return "\n".join(lines)


def _place(row: Row) -> str:
    return f"{row['span']['line']}:{row['span']['column']}"


def _site_row(site: Row) -> list[str]:
    shape = "" if not site["shape"] else f"[{', '.join(map(str, site['shape']))}]"
    role = "noise" if site["noise"] else "latent"
    row = [_place(site), f"{role} {site['name']}{shape}", str(site["distribution"]), f"support {site['support']}"]
    return [*row, f"guide {site['guide']}" if site["guide"] else ""]


def _guard_lines(guard: Row) -> list[str]:
    head = f"  {_place(guard)}  "
    facts = [str(guard["status"])]
    if guard["status"] in MANY and guard["count"] is not None:
        facts.append(f"x{guard['count']}")
    facts += [f"{label}{guard[key]}" for key, label in _FACTS if guard[key] not in (None, "", "-")]
    body = [str(guard["text"]), ", ".join(facts), str(guard["reason"] or "")]
    lines = [line for text in body for line in textwrap.wrap(text, WIDTH - len(head), break_on_hyphens=False)]
    return [head + lines[0], *(" " * len(head) + line for line in lines[1:])]


MANY = ("boundary", "merged", "marginalised", "score")  # where the number of instances means work
_FACTS = (("kind", ""), ("direction", "along "), ("effect", "effect "))
