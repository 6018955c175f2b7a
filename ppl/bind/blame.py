"""What is found wrong at bind, and whose fault it is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from ppl.bind.model import Wide
from ppl.core import ir
from ppl.core.reads import reached
from ppl.core.show import show
from ppl.diagnostics import DataError, Diagnostics, PplError, Span, excerpt, in_source_order

if TYPE_CHECKING:
    from ppl.bind.evaluate import Evaluator, Mask, Space
    from ppl.bind.functions import Array
    from ppl.bind.widths import Widths

MAX_INT = 2**31 - 1  # of 32 bits
MAX_WRITTEN = 12  # parts of an expression that a message has for a variable that the source does not name


class Findings:
    """Collects what is wrong: the data's fault if it depends on data other than the size of something."""

    def __init__(self, program: ir.Program, definitions: Mapping[str, ir.Expr], sink: Diagnostics) -> None:
        self.sources, self.sink = {**{k: (e,) for k, e in definitions.items()}, **dict(loop_results(program))}, sink
        typed = (*program.data, *program.sites, *program.arrays)
        self.sizes = frozenset(name for x in typed for d in x.type.dims for name in self.data_in(d))
        self.blames_data = False
        self.seen: set[tuple[str, Span, object]] = set()
        self.wide: Wide | None = None
        self.guards = program.guards
        self.names: dict[str, str] = {}
        for name, text in source_names(program, sink.sources):
            self.names[name] = self.in_source(text)

    def add(
        self, code: str, message: str, span: Span, blamed: Sequence[ir.Expr], *, sizes: bool = False,
        innocent: Sequence[ir.Expr] = (), loops: Sequence[ir.Loop] = (), key: object = None, hint: str | None = None,
    ) -> None:  # fmt: skip
        """Reports once for each `key` (by default the message).

        `blamed` are the expressions whose value is wrong; of the data they read, those in `innocent` do not count, nor
        sizes unless `sizes` says so. `loops`, if given, say where a loop variable in `blamed` gets its values.
        """
        where = (code, span, message if key is None else key)
        if where in self.seen:
            return
        self.seen.add(where)
        names = {n for e in blamed for n in self.data_in(e, loops)} - {n for e in innocent for n in self.data_in(e)}
        self.blames_data |= bool(names if sizes else names - self.sizes)
        self.sink.error(code, self.in_source(message), span, hint and self.in_source(hint))

    def whole_numbers(self, text: str, values: Array, span: Span) -> None:
        """Notes the first that need more than 32 bits."""
        ends = (int(values.min()), int(values.max())) if values.size else ()
        for x in ends:
            if self.wide is None and abs(x) > MAX_INT:
                self.wide = Wide(f"`{self.in_source(text)}` has a value of {x}", span)

    def latent_number(self, e: ir.Expr, widths: Widths, ev: Evaluator, active: Mask, span: Span) -> None:
        """Notes an int that latents decide, if it may need more than 32 bits."""
        found = None if self.wide is not None else widths.wide(e, ev, active)
        if found is not None:
            text = str(e.value) if isinstance(e, ir.Lit) else self.in_source(show(e))
            self.wide = Wide(f"`{text}` may have a value of {found}", span)

    def text(self, span: Span) -> str:
        """The source text of a span, on one line."""
        return excerpt(self.sink.sources.get(span.file, ""), span)

    def in_source(self, message: str) -> str:
        """`message` with loop variables, and functions that jump, as in the source."""
        message = re.sub(r"\blevel (\d+)\b", lambda m: self.written(self.guards[int(m[1])]), message)
        if not self.names:
            return message

        def written(m: re.Match[str]) -> str:
            name = self.names.get(m[0], m[0])
            alone = message[: m.start()].endswith(("[", "(", "`")) and message[m.end() :].startswith(("]", ")", "`"))
            return f"({name})" if " " in name and not alone else name

        return re.sub(r"\b[A-Za-z]\w*\b", written, message)

    def written(self, guard: ir.Guard) -> str:
        """A guard in the source: the function that jumps or, of a draw, what is drawn."""
        drawn = guard.value
        return show(drawn) if isinstance(drawn, ir.Outcome) else guard.text

    def raise_if_any(self) -> None:
        if self.sink.errors:
            raise (DataError if self.blames_data else PplError)(in_source_order(self.sink.items), self.sink.sources)

    def data_in(self, e: ir.Expr, loops: Sequence[ir.Loop] = ()) -> frozenset[str]:
        """The data that `e` reads, through variables and, if `loops` are given, through their bounds."""
        bounds = {loop.var.name: (loop.lo, loop.hi) for loop in loops}

        def behind(x: ir.Expr) -> tuple[str, Iterable[ir.Expr]] | None:
            if isinstance(x, ir.LoopVar):
                return x.name, bounds.get(x.name, ())
            if not isinstance(x, ir.Var | ir.Cell):
                return None
            name = x.array if isinstance(x, ir.Cell) else x.name
            return name, self.sources.get(name, ())

        return frozenset(x.name for x in reached((e,), behind) if isinstance(x, ir.DataRef))


def loop_results(program: ir.Program) -> Iterator[tuple[str, tuple[ir.Expr, ...]]]:
    """What loops compute: sums, comprehensions and carried state, with the expressions it comes from."""
    for _, s in ir.blocks(program.body):
        if isinstance(s, ir.Loop):
            yield from ((c.final.name, (c.element,)) for c in s.collects)
            yield from ((r.final.name, (r.init, r.delta)) for r in s.reductions)
            yield from ((v.name, (c.init, c.out)) for c in s.carries for v in (c.entry, c.final))


def source_names(program: ir.Program, sources: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Variables that the core program had to rename, or made up, with names that a reader will know."""
    words = {file: set(re.findall(r"\w+", text)) for file, text in sources.items()}
    for _, s in ir.blocks(program.body):
        own = words.get(s.span.file, set[str]())
        for name in _made_in(s):
            renamed = re.fullmatch(r"(.+?)(_in|_\d+|_in_\d+)", name)
            if renamed is not None and name not in own and renamed[1] in own:
                yield name, renamed[1]
            elif name not in own and isinstance(s, ir.Let) and sum(1 for _ in ir.walk(s.value)) <= MAX_WRITTEN:
                yield name, show(s.value)
        renamed = re.fullmatch(r"(.+)_\d+", s.var.name) if isinstance(s, ir.Loop) else None
        if renamed is not None:
            text = "\n".join(sources.get(s.span.file, "").split("\n")[s.span.line - 1 : s.span.end_line])
            here = set(re.findall(r"\w+", text))
            is_loop = re.search(rf"\bfor\s+{renamed[1]}\s+in\b", text) is not None
            if renamed[0] not in here and (is_loop or renamed[1] not in here):
                yield renamed[0], renamed[1]


def _made_in(s: ir.Statement) -> Iterator[str]:
    match s:
        case ir.Let():
            yield s.var.name
        case ir.Loop():
            yield from (v.name for c in s.carries for v in (c.entry, c.final))
            yield from (x.final.name for x in (*s.reductions, *s.collects))
        case _:
            pass


def place(space: Space, k: int) -> str:
    """`` at t = 7, j = 2``; nothing outside loops."""
    items = [f"{loop.var.name} = {_at(space, loop, k)}" for loop in space.loops if not loop.var.name.startswith("_")]
    return f" at {', '.join(items)}" if items else ""


def _at(space: Space, loop: ir.Loop, k: int) -> int:
    v = space.variables[loop.var.name]
    return int(v[k] if v.shape[0] > 1 else v[0])
