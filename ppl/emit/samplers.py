"""Functions of the program that draw, as functions of a key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ppl.core import ir
from ppl.core.reads import expressions_of
from ppl.emit.printer import Printer
from ppl.emit.shape import Facts
from ppl.emit.statements import Emitter
from ppl.emit.writer import Writer


def function_name(f: ir.Sampler) -> str:
    return f"rng_{f.name.removesuffix('_rng')}"


def write(w: Writer, facts: Facts, names: Mapping[str, str], unpack: tuple[str, ...], f: ir.Sampler) -> None:
    """One draw for one set of arguments, in shapes that are theirs, and whether it is defined."""
    facts = replace(facts, static=facts.static | {name for name, _, _ in f.lengths}, weights={})
    emitter = Emitter(facts, Printer(facts.regions, names), w, drawing=True)
    params = "".join(f", {names[p.name]}" for p in f.params)
    with w.block(f"def {function_name(f)}(data, size, key, dtype{params}):", f":{f.span.line}"):
        read = {x.name for _, s in ir.blocks(f.body) for e in expressions_of(s, ()) for x in ir.walk(e)
                if isinstance(x, ir.DataRef)}  # fmt: skip
        read |= {x.name for x in ir.walk(f.value) if isinstance(x, ir.DataRef)}
        read |= {x.name for _, s in ir.blocks(f.body) if isinstance(s, ir.Sample) for d in s.var.type.dims
                 for x in ir.walk(facts.inline(d)) if isinstance(x, ir.DataRef)}  # fmt: skip
        for d, line in zip(facts.regions.program.data, unpack, strict=True):
            if d.name in read:
                w.line(line)
        for name, parameter, axis in f.lengths:
            w.line(f"{names[name]} = {names[parameter]}.shape[{axis}]")
        w.line("out = {}")
        emitter.block(f.body)
        w.line(f"return {emitter.printer.expr(f.value)}, samplers.defined(out)")
    w.line()
    w.line()
