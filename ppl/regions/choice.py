"""Which line a guard is crossed along: the rule, and what a user asks for in its place.

Every line that crosses all of a boundary gives the same gradient on average. Lines differ in what a jump evaluates, and
in variance. The rule stands in `rank` and `normal_pays`; both see numbers that `ppl.regions.work` counts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence

from ppl.core import ir
from ppl.core.show import show
from ppl.diagnostics import Diagnostics, Span, did_you_mean
from ppl.record import record
from ppl.regions.model import GuardInfo, Latent

NORMAL, COORDINATE, ALL = "normal", "coordinate", "all"
RANK: Mapping[str, int] = {"local": 0, "nearby": 1, "modes": 1, "incremental": 2, "global": 3}

Asked = Mapping[str | int, str] | str | None


def rank(effect: str, vanishes: float, curved: bool) -> tuple[int, float, bool]:
    """The order in which coordinates come into question for a line, the best first: by what the jump re-evaluates, one
    iteration or the program, which may be a factor of n; then by how likely data make the slope zero; then those
    without a transform. Among equals see `least`."""
    return RANK[effect], vanishes, curved


def least(works: Sequence[float]) -> int:
    """Of coordinates of one rank, the first whose jump takes at most twice the least work: a count is no better than
    that."""
    return next(k for k, w in enumerate(works) if w <= 2.0 * min(works))


def normal_pays(whole: bool, normal_work: float, coordinate_work: float, coordinates: float) -> bool:
    """Whether the normal is the better line: whether it takes less work for boundary terms of given accuracy.

    The normal moves `coordinates` latents together and its jump takes `normal_work`, that of the coordinate alone
    `coordinate_work`, in equal units. `whole`: whether the latter is no part of one iteration.

    - Let the guard be ``c + sum_j b_j eps_j`` in standard normal noise, ``r = |b_j| / |b|`` the share of coordinate j
      in the norm of the slopes, and ``d = c / |b|`` how many standard deviations the boundary is away. Along the normal
      a boundary term has the weight ``N(d; 0, 1) / |b|`` whatever the draw. Along the coordinate it is ``N(s*; 0, 1) /
      |b_j|`` at a random root s*: the same on average, but its square is on average ``exp(d^2 (1 - r^2) / (2 - r^2)) /
      (r sqrt(2 - r^2))`` times as large (a product of two normal densities, integrated). The guide's scales, hence r,
      are not known here. They are taken as equal, ``r^2 = 1 / coordinates``, and d as 1: a factor of 1.6 for two
      coordinates and 4.7 for sixteen, which may be paid for in work. (Measured on a walk of fifteen steps: 5.)
    - An instance of a guard whose slice stays in its iteration keeps the coordinate. The normal would move latents of
      other iterations, so that each instance evaluated the program; and a sum of many terms gains less than each of
      them, as along normals all are evaluated near the draw. (Of 3 instances in 13 coordinates: nothing.)
    """
    share = 1.0 / max(coordinates, 1.0)
    noise = math.exp((1.0 - share) / (2.0 - share)) / math.sqrt(share * (2.0 - share))
    return whole and normal_work <= noise * coordinate_work


# ------------------------------------------------------------------------ what is asked for


@record
class Wish:
    """`which` line guards shall have: "normal", "coordinate", or the name of a latent or of one of its elements. `line`
    and `column`: where the guards are, as `explain` shows them; None for any."""

    where: str
    line: int | None
    column: int | None
    which: str


_WHERE = re.compile(r"([1-9][0-9]{0,8})(?::([1-9][0-9]{0,8}))?")
_WHICH = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\[.{1,200}\])?")
SYNTAX = "LINE=WHICH, LINE:COLUMN=WHICH, or WHICH for all guards, where WHICH is normal, coordinate or a latent"


def wishes(asked: Asked) -> tuple[Wish, ...]:
    """What is asked for, ``{"12:6": "normal", "14": "temp[t-1]", "all": "coordinate"}``; a string alone is for all.

    Raises ValueError for what names no place or no line.
    """
    items = {} if asked is None else {ALL: asked} if isinstance(asked, str) else asked
    out: list[Wish] = []
    for where, which in items.items():
        place, name = str(where).strip(), which.strip()
        found = _WHERE.fullmatch(place)
        if found is None and place != ALL:
            raise ValueError(f"{place!r} is not the place of a guard: give {SYNTAX}")
        if not _WHICH.fullmatch(name):
            raise ValueError(f"{name!r} is not a line: give {SYNTAX}")
        line, column = (None, None) if found is None else found.groups()
        if line is None and name not in (NORMAL, COORDINATE):
            raise ValueError(f"`{name}` cannot be the line of all guards, only {NORMAL} or {COORDINATE} can: say where")
        out.append(Wish(place, None if line is None else int(line), None if column is None else int(column), name))
    return tuple(out)


@record
class Choices:
    """What is asked for: of guards in one place, by their numbers, or `everywhere` else."""

    everywhere: str
    of_guard: Mapping[int, str]
    places: tuple[tuple[Wish, tuple[int, ...]], ...]

    def of(self, members: Iterable[int]) -> str:
        """What is asked for of guards that share a boundary; "" for the rule."""
        return next((self.of_guard[k] for k in members if k in self.of_guard), self.everywhere)


def choices(asked: Sequence[Wish], guards: Sequence[ir.Guard], file: str, sink: Diagnostics) -> Choices:
    """The guards that are meant: those at a place in `file` or, if there is none, in a file that it uses. Reports
    places without a guard or with several, and guards with two lines (PPL406)."""
    of_guard: dict[int, str] = {}
    places: list[tuple[Wish, tuple[int, ...]]] = []
    for w in asked:
        if w.line is None:
            continue
        here = [g for g in guards if g.span.line == w.line and w.column in (None, g.span.column)]
        found = [g for g in here if g.span.file == file] or here
        spans = list({(g.span.file, g.span.line, g.span.column): g.span for g in found}.values())
        message = f"a line is asked for at {w.where}, where "
        if not found:
            sink.error("PPL406", f"{message}no guard is", _span(w.line, w.column or 1, file, sink), _near(w, guards))
        elif len(spans) > 1:
            which = " or ".join(f"{s.line}:{s.column}" for s in spans)
            sink.error("PPL406", f"{message}{len(spans)} guards are", spans[0], f"say which: {which}")
        elif any(of_guard.get(g.index, w.which) != w.which for g in found):
            sink.error("PPL406", f"two lines are asked for at {w.where}", spans[0], "give one")
        else:
            places.append((w, tuple(g.index for g in found)))
            of_guard.update((g.index, w.which) for g in found)
    return Choices(next((w.which for w in asked if w.line is None), ""), of_guard, tuple(places))


def _span(line: int, column: int, file: str, sink: Diagnostics) -> Span | None:
    """A place in a file, or the end of its line if that is shorter; None if there is no such line."""
    text = sink.sources.get(file, "").split("\n")
    if line > len(text):
        return None
    column = min(column, len(text[line - 1]) + 1)
    return Span(file, line, column, line, column + 1)


def _near(w: Wish, guards: Sequence[ir.Guard]) -> str:
    """Where there are guards, the nearest first."""
    places = sorted({(g.span.line, g.span.column) for g in guards}, key=lambda p: (abs(p[0] - (w.line or 0)), p))
    shown = ", ".join(f"{a}:{b}" for a, b in places[:3])
    return f"guards are at {shown}{', ...' if len(places) > 3 else ''}" if places else "no guard has a line"


def is_named(which: str, latent: Latent) -> bool:
    """Whether a coordinate is what is asked for: the element of that text, or any of a site."""
    return compact(which) in (latent.site, compact(name_of(latent)))


def compact(text: str) -> str:
    return "".join(text.split())


def name_of(latent: Latent) -> str:
    return show(latent.expr(ir.REAL))


def granted(info: GuardInfo, which: str) -> bool:
    """Whether a guard has the line asked for."""
    if not info.boundaries:
        return False
    normal = any(b.normal is not None for b in info.boundaries)
    if which in (NORMAL, COORDINATE):
        return normal == (which == NORMAL)
    several = info.boundaries[-1].search is not None
    return not normal and all(is_named(which, b.line) for b in info.boundaries[0 if several else -1 :])


def report_refused(found: Choices, infos: Sequence[GuardInfo], sites: Iterable[str], sink: Diagnostics) -> None:
    """Reports what was asked for and cannot be: a line that crosses no boundary at that place (PPL406)."""
    names = {*sites, NORMAL, COORDINATE}
    for w, members in found.places:
        at_place = [infos[infos[k].representative] for k in members]
        if any(granted(i, w.which) for i in at_place):
            continue
        info = next((i for i in at_place if i.boundaries), at_place[0])
        sink.error("PPL406", _refusal(info, w.which), infos[members[0]].guard.span, _way_out(info, w.which, names))


def _refusal(info: GuardInfo, which: str) -> str:
    text = f"`{info.guard.text}`"
    if not info.boundaries:
        return f"{text} has no boundary, so it has no line: {info.reason}"
    if compact(which) in map(compact, info.lines):
        return f"{text} shares its boundary with a guard for which another line is asked for"
    if which == NORMAL:
        return f"{text} cannot be crossed along a normal: no two unconstrained latents move it in fixed proportion"
    return f"{text} cannot be crossed along `{which}` alone"


def _way_out(info: GuardInfo, which: str, names: Iterable[str]) -> str:
    if not info.boundaries:
        return "leave its line out"
    site = which.partition("[")[0]
    near = None if site in names else did_you_mean(site, names)
    return (f"{near} " if near else "") + f"its lines: {', '.join(info.lines) or 'none can be chosen'}"
