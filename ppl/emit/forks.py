"""The functions `fork_N`: what jumps where a guard flips in a loop that carries its outcome on."""

from __future__ import annotations

from collections.abc import Mapping

from ppl.core import ir
from ppl.emit.printer import Printer
from ppl.emit.shape import Facts
from ppl.emit.statements import Emitter
from ppl.emit.writer import Writer, tuple_text
from ppl.language.distributions import named
from ppl.regions.forks import Fork
from ppl.regions.model import GuardInfo


def write(w: Writer, facts: Facts, names: Mapping[str, str], unpack: tuple[str, ...], info: GuardInfo, fork: Fork,
          name: str) -> None:  # fmt: skip
    """The function of a fork. Its arguments `on` and `off` are the paths of the sides, `terms` what jumps."""
    regions, loop = facts.regions, fork.loop
    emitter = Emitter(facts, Printer(regions, names, on_boundary="True"), w, split=True, forward=True)
    with w.block(f"def {name}(at, data, size, instance, on, off, terms):"):
        where = f"{text_of(info)} (:{info.guard.span.line})"
        w.line(f'"""What jumps of `terms` at `at` where {where} flips in iteration `instance`."""')
        for line in unpack:
            w.line(line)
        w.line("out, path = {}, None")
        emitter.arrays(fork.arrays)
        _block(emitter, fork, fork.before)
        sums = _loop(emitter, info, fork)
        if not fork.behind:
            w.line("return sides.gap")
        else:
            with w.block("def rest(state, sums, path):"):
                w.line(f"{tuple_text([names[c.final.name] for c in loop.carries])} = state")
                for key, start, final in sums:
                    w.line(f'{final} = {start}sums["{key}"]')
                w.line("out = {}")
                _block(emitter, fork, fork.after)
                w.line("return out")
            terms = tuple_text([f'"t{t}"' for t in fork.behind])
            together = any(isinstance(s, ir.Loop) for s in fork.after)
            how = ", together=True" if together else ""
            w.line(f"return sides.and_then(rest, on, off, forks.among(terms, {terms}){how})")
    w.line()
    w.line()


def text_of(info: GuardInfo) -> str:
    return info.guard.text.replace("\\", "\\\\").replace('"""', "'''")


def _loop(emitter: Emitter, info: GuardInfo, fork: Fork) -> list[tuple[str, str, str]]:
    """The loop; its sums: the key of each, what it starts with, and its name behind the loop."""
    w, loop, printer = emitter.w, fork.loop, emitter.printer
    var = printer.name(loop.var.name)
    emitter.w_loops = (loop.id,)
    with w.block(f"def loop_{loop.id}(state, {var}, path):", f":{loop.span.line}  {emitter.source_of(loop)}"):
        w.line(f"{tuple_text([printer.name(c.entry.name) for c in loop.carries])} = state")
        w.line("out = {}")
        emitter.split = False
        _block(emitter, fork, loop.body)
        emitter.split = True
        emitter.summands(loop)
        w.line(f"return {tuple_text([printer.expr(c.out) for c in loop.carries])}, out")
    emitter.w_loops = ()
    lo, extent = emitter.range(loop)
    init = tuple_text([printer.expr(c.init) for c in loop.carries])
    g, terms = f"g{info.representative}", tuple_text([f'"t{t}"' for t in fork.inside])
    sums = [f"d_{r.final.name}" for r in loop.reductions]
    args = [f"loop_{loop.id}", init, lo, extent, f'"{g}"', "instance", f'on["{g}"]', f'off["{g}"]',
            f"forks.among(terms, {terms})",
            
            tuple_text([f'"{x}"' for x in sums])]  # fmt: skip
    args += [f'ended="{fork.ended}"'] if fork.ended else []
    w.line(f"sides = forks.loop({', '.join(args)})")
    starts = ["" if isinstance(r.init, ir.Lit) and r.init.value == 0 else f"{printer.expr(r.init, None, 6)} + "
              for r in loop.reductions]  # fmt: skip
    return [(key, start, printer.name(r.final.name))
            for key, start, r in zip(sums, starts, loop.reductions, strict=True)]  # fmt: skip


def _block(emitter: Emitter, fork: Fork, body: tuple[ir.Statement, ...]) -> None:
    """Statements, of draws that belong to no term of the jump the value alone."""
    terms = {*fork.inside, *fork.behind}
    for s in body:
        if isinstance(s, ir.Sample) and s.id not in terms:
            if s.outcome is None and not s.indices:
                emitter.value(s, named(s.distribution))
            continue
        emitter.statement(s)
