"""What functions that draw need of the sizes of their arguments, at every place where the program uses them."""

from __future__ import annotations

from ppl.bind.blame import Findings
from ppl.bind.numbers import Numbers
from ppl.core import ir


def check(program: ir.Program, numbers: Numbers, findings: Findings) -> None:
    """Reports sizes that disagree and indices that leave their arrays."""
    customs = {c.name: c for c in program.customs if c.sampler is not None}
    seen: set[tuple[str, tuple[int, ...]]] = set()
    for _, s in ir.blocks(program.body):
        law = s.custom if isinstance(s, ir.Term | ir.Sample) else None
        if law is None or law.name not in customs or (law.site and isinstance(s, ir.Term)):
            continue
        custom = customs[law.name]
        assert custom.sampler is not None
        drawn = law.value.type if law.value is not None else s.var.type if isinstance(s, ir.Sample) else ir.REAL
        shapes = [numbers.dims(ir.Type("real", a.type.dims[len(a.type.dims) - n :]))
                  for a, n in zip(law.args, custom.events, strict=True)]  # fmt: skip
        event = numbers.dims(ir.Type("real", drawn.dims[len(drawn.dims) - custom.event :]))
        if event is None or any(x is None for x in shapes):
            continue
        sizes = tuple(n for x in shapes if x is not None for n in x)
        if (law.name, (*sizes, *event)) not in seen:
            seen.add((law.name, (*sizes, *event)))
            _needs(custom.sampler, sizes, event, numbers, findings)


def _needs(f: ir.Sampler, sizes: tuple[int, ...], event: tuple[int, ...], numbers: Numbers, findings: Findings) -> None:
    known = {name: n for (name, _, _), n in zip(f.lengths, sizes, strict=True)}
    own = Numbers(numbers.program, numbers.definitions, {**numbers.values, **known})
    source = dict(zip((p.name for p in f.params), f.arguments, strict=True))
    lengths = [f"`length({source[p]})` is {known[name]}" if k == 0 else f"axis {k} of `{source[p]}` has {known[name]}"
               for name, p, k in f.lengths]  # fmt: skip
    given = ", ".join(lengths) or "its arguments are as they are"
    for need in f.needs:
        a, b = own.number(need.a), own.number(need.b)
        if a is None or b is None or any((own.number(hi) or 0) <= (own.number(lo) or 0) for lo, hi in need.loops):
            continue
        if need.what and max(a, 0) != max(b, 0):
            message = f"{need.what} needs equal sizes, but they are {a} and {b} where {given}"
            findings.add("PPL506", message, need.span, (), sizes=True)
        if not need.what and not 0 <= a < b:
            message = f"index {a} is outside an array of size {b} where {given}"
            findings.add("PPL208", message, need.span, (), sizes=True)
    found = own.dims(f.value.type)
    if found is not None and found != event:
        texts = [" x ".join(map(str, x)) for x in (found, event)]
        message = f"`{f.name}` returns {texts[0]} numbers where {given}, and {texts[1]} are wanted"
        findings.add("PPL506", message, f.span, (), sizes=True)
