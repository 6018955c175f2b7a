"""Array accesses: indices inside their arrays, elements filled before they are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ppl.bind.blame import Findings, place
from ppl.bind.evaluate import Evaluator, Mask, Space
from ppl.bind.fills import Filled, inside
from ppl.bind.functions import Array
from ppl.bind.ranges import Ranges
from ppl.bind.widths import Widths
from ppl.core import ir
from ppl.core.show import show
from ppl.diagnostics import Span

UNKNOWN = "make it a sum of what each iteration says by itself, or have it as data"


def first(bad: Array, active: Mask) -> int | None:
    """The first iteration in which something active is bad."""
    if active is not None:
        bad = bad & active
    return int(bad.argmax()) if bad.any() else None


def pick(v: Array, k: int) -> int:
    return int(v[k] if v.shape[0] > 1 else v[0])


@dataclass
class Watch:
    """Watches the evaluation of one statement, in the iterations `space`, each at its `time`."""

    types: Mapping[str, ir.Type]
    filled: Mapping[str, Filled]
    findings: Findings
    span: Span
    space: Space
    time: Array
    ranges: Ranges
    evaluator: Evaluator
    widths: Widths

    def index(self, e: ir.Cell | ir.Index, values: list[Array | None], sizes: list[int], active: Mask) -> None:
        name = e.array if isinstance(e, ir.Cell) else e.base.name if isinstance(e.base, ir.Var) else None
        t = self.types[e.array] if isinstance(e, ir.Cell) else e.base.type
        inside_all = self.bounds(show(e), e.indices, values, sizes, t, active)
        if name is not None and name in self.filled and any(i.random for i in e.indices):
            self.part(name, self.filled[name].first, 0, show(e), (), active)
        elif inside_all and name is not None and name in self.filled:
            self.read(e, name, tuple(v for v in values if v is not None), active)

    def bounds(
        self, text: str, indices: tuple[ir.Expr, ...], values: list[Array | None], sizes: list[int], t: ir.Type,
        active: Mask,
    ) -> bool:  # fmt: skip
        """Whether all indices are known and inside; reports the first that is not."""
        ok = True
        for axis, (i, v, n) in enumerate(zip(indices, values, sizes, strict=True)):
            if v is None:
                ok = False
                if i.random:
                    self.may_leave(text, i, n, active)
                elif active is None or bool(active.any()):
                    message = f"`{text}`: what the index is cannot be told from the data: it depends on state of a loop"
                    self.findings.add(
                        "PPL207", message, self.span, (i,), sizes=True, key=(text, "unknown"), hint=UNKNOWN
                    )
                continue
            k = first((v < 0) | (v >= n), active)
            if k is None:
                continue
            ok = False
            what = "an array" if len(t.dims) == 1 else f"dimension {axis + 1}"
            message = f"`{text}`: index {pick(v, k)}{place(self.space, k)} is outside {what} of size {n}"
            self.findings.add(
                "PPL208", message, self.span, (i,), sizes=True, innocent=(t.dims[axis],), loops=self.space.loops,
                key=(text, axis),
            )  # fmt: skip
        return ok

    def whole_number(self, e: ir.Op, values: Array, active: Mask) -> None:
        if active is not None and active.shape[0] == values.shape[0]:
            values = values[active]
        self.findings.whole_numbers(show(e), values, self.span)

    def unknown(self, e: ir.Op | ir.Select, active: Mask) -> None:
        """Notes whole numbers beyond 32 bits among what latents decide and what that is made of."""
        parts = e.args if isinstance(e, ir.Op) else (e.then, e.orelse)
        if e.type.base != "real" and all(x.type.base == "int" for x in parts):
            for x in (e, *parts):
                if x.type == ir.INT:
                    self.findings.latent_number(x, self.widths, self.evaluator, active, self.span)

    def may_leave(self, text: str, i: ir.Expr, n: int, active: Mask) -> None:
        """Reports an index that depends on a latent and is not certain to stay inside."""
        found = self.ranges.of(i, self.evaluator)
        k = first((found.lo < 0) | (found.hi > n - 1), active)
        if k is None:
            return
        lo, hi = (float(x[k if x.shape[0] > 1 else 0]) + 0.0 for x in (found.lo, found.hi))
        reach = f"reaches from {lo:g} to {hi:g}" if np.isfinite(lo) and np.isfinite(hi) else "can be any integer"
        if np.isfinite(lo) != np.isfinite(hi):
            reach += f" from {lo:g} on" if np.isfinite(lo) else f" up to {hi:g}"
        made = sorted({x.array for x in ir.walk(i) if isinstance(x, ir.Cell) and x.array in self.filled})
        on = f"elements of `{made[0]}`, whose values are not followed," if made else "a latent"
        message = f"`{text}`: the index depends on {on} and {reach}{place(self.space, k)}, outside an array of size {n}"
        hint = f"hold it inside, for example `clamp({show(i)}, 0, {n - 1})`"
        self.findings.add("PPL603", message, self.span, (), sizes=True, key=(text, "range"), hint=hint)

    def read(self, e: ir.Cell | ir.Index, name: str, indices: tuple[Array, ...], active: Mask) -> None:
        """Reports an element, or the first missing one of a row, that is read before it is filled."""
        filled = self.filled[name]
        if not filled.known or not filled.first.size:
            return
        axes = len(indices)
        if axes < len(filled.shape):  # rows: an element of each is missing as long as the last to be filled is
            last = filled.first.reshape(*filled.shape[:axes], -1).max(axis=-1).reshape(-1)
        else:
            last = filled.first
        rows = Filled(filled.shape[:axes], last, filled.sure)
        flat = rows.flat(indices)
        k = first((last[flat] >= self.time) & inside(indices, rows.shape), active)
        if k is None:
            return
        here = ", ".join(str(pick(i, k)) for i in indices)
        missing = "is never filled" if last[flat[k] if flat.shape[0] > 1 else flat[0]] > _LATEST else "is filled later"
        message = f"`{show(e)}`{place(self.space, k)} reads `{name}[{here}]`, which {missing}"
        self.unfilled(name, message, e.indices, show(e))

    def unfilled(self, name: str, message: str, indices: tuple[ir.Expr, ...], key: str) -> None:
        self.findings.add(
            "PPL306", message, self.span, indices, sizes=True, innocent=self.types[name].dims, loops=self.space.loops,
            key=key,
        )  # fmt: skip

    def whole(self, e: ir.Var, active: Mask) -> None:
        if e.name in self.filled:
            self.part(e.name, self.filled[e.name].first, 0, show(e), (), active)

    def part(self, name: str, times: Array, start: int, text: str, indices: tuple[ir.Expr, ...], active: Mask) -> None:
        """A read of the consecutive elements with these filling times, of which the first has position `start`."""
        filled = self.filled[name]
        if not filled.known or not times.size:
            return
        last = int(times.argmax())
        k = first(times[last] >= self.time, active)
        if k is None:
            return
        here = ", ".join(str(int(i)) for i in np.unravel_index(start + last, filled.shape))
        missing = "never filled" if times[last] > _LATEST else "filled later"
        message = f"`{text}`{place(self.space, k)} reads all of its elements, but `{name}[{here}]` is {missing}"
        self.unfilled(name, message, indices, text)

    def slice(self, e: ir.Slice, lo: int, hi: int, size: int, active: Mask) -> None:
        if active is not None and not active.any():
            return
        if not (0 <= lo <= size and 0 <= hi <= size):
            message = f"`{show(e)}`: the range {lo}..{hi} is outside an array of size {size}"
            self.findings.add(
                "PPL208", message, self.span, (e.lo, e.hi), sizes=True, innocent=e.base.type.dims[:1], key=show(e)
            )
        elif isinstance(e.base, ir.Var) and e.base.name in self.filled and lo < hi:
            filled = self.filled[e.base.name]
            row = int(np.prod(filled.shape[1:], dtype=np.int64))
            self.part(e.base.name, filled.first[lo * row : hi * row], lo * row, show(e), (e.lo, e.hi), active)

    def zero_division(self, e: ir.Op, divisor: Array, active: Mask) -> None:
        zero = (divisor == 0).reshape(divisor.shape[0], -1).any(axis=1)
        k = first(zero, active)
        if k is not None:
            message = f"`{show(e)}`{place(self.space, k)} divides by zero"
            self.findings.add("PPL211", message, e.span or self.span, e.args[1:], loops=self.space.loops, key=show(e))

    def no_elements(self, e: ir.Op, active: Mask) -> None:
        k = first(np.ones(self.space.size, bool), active)
        if k is not None:
            message = f"`{show(e)}`{place(self.space, k)} is of an array without elements"
            dims = e.args[0].type.dims
            self.findings.add("PPL212", message, e.span or self.span, dims, sizes=True, key=show(e))


_LATEST = 2**62  # what is filled at all is filled before this
