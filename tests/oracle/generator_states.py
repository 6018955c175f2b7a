"""Programs of elements compared with each other, extremes so far, clipped state, streaks, and data in which
coefficients, or all elements, are missing.

Values meet here for certain: an element with itself, a clipped state with its bound, an extreme with its start.
"""

from __future__ import annotations

from typing import Any

from generator_words import Names


class States:
    """Mixed into the generator's kinds. Every loop has few iterations: a line crosses each guard of each."""

    names: Names
    rng: Any
    data: dict[str, Any]

    def own_latents(self, size: int) -> str:
        """An array of latents, drawn at once or in a loop, and its name."""
        z = self.fresh("z")
        mean, scale = self.number(-0.4, 0.5), self.number(0.6, 1.2)
        if self.chance(0.7) or size == 0:
            self.emit(f"{z}: real[n] ~ Normal({mean}, {scale})")
        else:
            self.emit(f"var {z}: real[n]")
            self.emit(f"for i in 0..n {{ {z}[i] ~ Normal({mean} + 0.2 * i, {scale}) }}")
        self.names.latents += [f"{z}[{k}]" for k in range(size)]
        return z

    def weight(self) -> str:
        return self.number(-0.6, 0.6)

    def term(self, i: str, *values: str) -> str:
        """A statement that adds to the density, of `i` and of what moves."""
        value = self.either("1.0", f"(0.4 + {i})", *values)
        return self.either(
            f"factor {self.weight()} * {value}", f"observe y[{i}] ~ Normal({self.either(value, '0.3')}, 1.1)"
        )

    # ------------------------------------------------------------------ pairs

    def pairs(self) -> None:
        """Elements compared with each other, themselves included, in both directions."""
        n = int(self.rng.integers(2, 4))
        self.numbers_in_data(n, ties=True)
        self.data["k"] = [int(v) for v in self.rng.integers(0, n, n)]
        self.emit("data k: int[n]")
        z = self.own_latents(n)
        c = self.either("0", "0", "0", "0.3", "t[i]", "(t[i] - t[j])")
        one, other = self.pick(
            (
                (f"{z}[i]", f"{z}[j]"), (f"{z}[i]", f"{z}[j]"), (f"{z}[i]", f"{z}[k[j]]"), (f"{z}[i]", "t[j]"),
                (f"{z}[i] * {z}[j]", f"{z}[j] * {z}[j]"), (f"{z}[k[i]]", f"{z}[k[j]]"),
                (f"max({z}[i], {z}[j])", f"{z}[j]"),
            )
        )  # fmt: skip
        comparison = lambda: self.either(  # noqa: E731
            f"{one} {self.op()} {other}", f"{other} {self.op()} {one}", f"{one} - {other} {self.op()} {c}",
            f"abs({one} - {other}) {self.op()} 0.4",
        )  # fmt: skip
        counted = self.chance(0.6)
        span = self.either("0..n", "0..n", "0..i + 1", "i..n", "0..i")
        self.emit("for i in 0..n {")
        if counted:
            self.emit("    rank = 0")
        self.emit(f"    for j in {span} {{")
        for _ in range(int(self.rng.integers(1, 3))):
            effect = "rank = rank + 1" if counted and self.chance(0.6) else self.term(self.either("i", "j"), f"{z}[j]")
            rest = f" else {{ {self.term('j', f'{z}[i]')} }}" if self.chance(0.4) else ""
            self.emit(f"        if {comparison()} {{ {effect} }}{rest}")
        self.emit("    }")
        if counted:
            self.emit(f"    if rank {self.either('== 0', '> 0', '== 1', '>= n - 1')} {{ {self.term('i', f'{z}[i]')} }}")
        self.emit("}")

    # --------------------------------------------------------------- extremes

    def extremes(self) -> None:
        """The largest or smallest so far, where it was, how far below it things are, and whether it ever moved."""
        n = int(self.rng.integers(2, 5))
        self.numbers_in_data(n, self.chance(0.6))
        z = self.own_latents(n) if self.chance(0.4) else None
        x, y = self.latents("real", "real")
        start = self.either("0", x, self.number(-0.5, 0.5), y, f"{z}[0]" if z else "0")
        value = self.either(f"{x} * t[i]", f"{x} + y[i]", f"{y} * i", f"{x} - t[i] * {y}", f"{z}[i]" if z else x)
        more, less = self.pick(((">", "<"), ("<", ">"), (">=", "<=")))
        self.emit(f"best = 1.0 * {start}")
        place, path = self.chance(0.5), self.chance(0.4)
        if place:
            self.emit("place = -1")
        if path:
            self.emit("level = 0.0")
        self.emit("for i in 0..n {")
        step = f"level = level + {value}" if path else f"v = {value}"
        now = "level" if path else "v"
        self.emit(f"    {step}")
        kept = self.either("", f"; {self.term('i', 'best')}", f"; best = best - {self.number(0.1, 0.4)}")
        where = "; place = i" if place else ""
        self.emit(f"    if {now} {more} best {{ best = {now}{where}{kept} }}")
        if self.chance(0.5):
            test = self.either(f"{now} {less} best", f"best - {now} > 0.3", f"best {more} {start}", f"best {more} {y}")
            self.emit(f"    if {test} {{ {self.term('i', now, 'best')} }}")
        self.emit("}")
        last = f"best {self.op()} {self.either(start, start, y, '0.4')}"
        self.emit(f"if {last} {{ factor {self.weight()} * {self.either('1', x)} }}")
        if place:
            last = f"place {self.either('== 0', '>= 0', '> 0')}"
            self.emit(f"if {last} {{ factor {self.weight()} * {self.either('1', y)} }}")
        self.names.values.append("best")

    # ---------------------------------------------------------------- clipped

    def clipped(self) -> None:
        """State that is held between bounds, tested at these, and counted where it is."""
        n = int(self.rng.integers(2, 5))
        self.numbers_in_data(n, self.chance(0.6))
        x, y = self.latents("real", self.either("real", "real", "positive"))
        floor, top = self.either("0", "0", "-0.3", y), self.either("0.8", "1.2", f"0.6 + {y}")
        self.emit(f"s = 1.0 * {self.either('0', '0.3', x, floor)}")
        counted = self.chance(0.4)
        if counted:
            self.emit("c = 0")
        self.emit("for i in 0..n {")
        grow = self.either(f"{x} - t[i]", f"{x} * t[i]", f"y[i] - {x}", f"{y} * (i - 1)", f"0.5 * {x}")
        self.emit(f"    s = {self.either('s', 's', '0.7 * s')} + {grow}")
        low, high = f"if s < {floor} {{ s = {floor} }}", f"if s > {top} {{ s = {top} }}"
        mirror = f"if s < {floor} {{ s = {floor} - 0.5 * (s - {floor}) }}"
        spill = self.term("i", f"(s - {floor})")
        clips = self.pick(
            (
                (low,), (low, high), (f"if s <= {floor} {{ {spill}; s = {floor} }}",), (f"s = max(s, {floor})",),
                (f"{low} else if s > {top} {{ s = {top} }}",), (mirror,),
                (f"s = clamp(s, {floor}, {floor} + 1)",),
            )
        )  # fmt: skip
        for clip in clips:
            self.emit(f"    {clip}")
        for _ in range(int(self.rng.integers(1, 3))):
            test = self.either(f"s > {floor}", f"s > {floor}", f"s < {top}", f"s {self.op()} {y}", "s > t[i]")
            effect = "c = c + 1" if counted and self.chance(0.6) else self.term("i", "s", y)
            self.emit(f"    if {test} {{ {effect} }}")
        self.emit("}")
        if counted:
            self.emit(f"if c {self.either('> 0', '> 1', '== n')} {{ factor {self.weight()} * {x} }}")
        if self.chance(0.6):
            self.emit(f"if s > {self.either(floor, top, '0.2')} {{ factor {self.weight()} }}")
        self.names.values.append("s")

    # ---------------------------------------------------------------- streaks

    def streaks(self) -> None:
        """Timers, latches, switches with two thresholds, what was seen last."""
        n = int(self.rng.integers(3, 5))
        self.numbers_in_data(n, self.chance(0.6))
        x, y = self.latents("real", "real")
        left = self.either(f"{x}", f"{x} + y[i]", f"{x} * y[i]", f"{x} - 0.5 * i * {y}")
        high, low = self.pick(
            (
                (f"{left} > t[i]", f"{left} < t[i] - 0.5"), (f"{left} > t[i]", f"{left} <= t[i]"),
                (f"{left} > 0.4", f"{y} > t[i]"),
            )
        )  # fmt: skip
        state, after = self.pick(
            (
                ("run = 0", f"if {high} {{ run = run + 1 }} else {{ run = 0 }}"),
                ("run = 0", f"if {high} {{ run = 2 }} else {{ if run > 0 {{ run = run - 1 }} }}"),
                ("run = 0", f"if run == 0 and {high} {{ run = 1 }} else {{ if run == 1 and {low} {{ run = 0 }} }}"),
                ("run = 0; last = 0.0", f"if {high} {{ last = {left}; run = 0 }} else {{ run = run + 1 }}"),
                ("run = 0; on = false", f"if {high} {{ on = true }}; if on and {low} {{ run = run + 1 }}"),
                ("run = 0; on = false", f"if {high} {{ on = not on }}; if on {{ run = run + 1 }}"),
            )
        )
        self.emit(state)
        self.emit("for i in 0..n {")
        self.emit(f"    {after}")
        if "last" in state:
            self.emit(f"    if last {self.op()} {self.either(y, '0.5', x)} {{ {self.term('i', 'last')} }}")
        if self.chance(0.7):
            self.emit(f"    if run {self.either('> 0', '> 1', '== 1', '== 2')} {{ {self.term('i', x, y)} }}")
        self.emit("}")
        self.emit(f"if run {self.either('> 0', '> 1', '== n')} {{ factor {self.weight()} * {self.either('1', y)} }}")

    # ----------------------------------------------------------------- absent

    def absent(self) -> None:
        """Coefficients that data make zero, rows of nothing else, and plates of one element or none."""
        n = int(self.rng.choice([0, 1, 2, 3]))
        self.numbers_in_data(n, self.chance(0.6))
        grid = [0.0, 0.0, 1.0, -0.7]
        for name in "uv":
            self.data[name] = [float(v) for v in self.rng.choice(grid, n)]
            self.emit(f"data {name}: real[n]")
        z = self.own_latents(n) if self.chance(0.5) else None
        x, y = self.latents("real", "real")
        left = self.either(f"u[i] * {x} + v[i] * {y}", f"u[i] * ({x} + {y})", f"u[i] * sin({x}) + v[i] * {y}",
                           f"dot([u[i], v[i]], [{x}, {y}])", f"u[i] * {x} * {y} + v[i] * {x}",
                           f"u[i] * {z}[i] + v[i] * {x}" if z else f"u[i] * {x}",
                           f"u[i] * max({x}, {y})", f"(if v[i] > 0 then {x} else u[i] * {y})")  # fmt: skip
        right = self.either("t[i]", "0.3", "0", f"0.4 * v[i] * {y}", f"{z}[i]" if z else "0.2")
        self.emit("s = 0.0")
        self.emit("for i in 0..n {")
        guard = f"{left} {self.op()} {right}"
        self.emit(
            self.either(
                f"    if {guard} {{ {self.term('i', x)} }} else {{ {self.term('i', y)} }}",
                f"    if {guard} {{ s = s + 0.4 }}", f"    s = s + 0.2 * floor({left})",
                f"    if {guard} {{ s = 0.5 * s + 0.3 }} else {{ s = s - 0.2 * {y} }}",
                f"    if {guard} {{ s = {x} }}; if s > 0.3 {{ {self.term('i', y)} }}",
            )
        )  # fmt: skip
        self.emit("}")
        self.names.values.append("s")

    # ------------------------------------------------------------------- flat

    def flat(self) -> None:
        """Values that data, branches or steps hold still, against state, sums and elements that others move."""
        n = int(self.rng.integers(2, 4))
        self.numbers_in_data(n, self.chance(0.5))
        self.factors_in_data(n, 0.6)
        self.budget = 0
        z = self.own_latents(n)
        (x,) = self.latents("real")
        own = self.either(f"d[i] * {z}[i]", f"d[i] * sin({z}[i])", f"(if {z}[i] > 0.2 then {z}[i] else 0.1)",
                          f"0.4 * floor({z}[i])", f"exp(relu({z}[i])) - 1", f"(if {z}[i] > 0 then 1 else -0.3)",
                          f"d[i] * {z}[i] * {z}[i]", f"clamp({z}[i], 0, 0.7)", f"{z}[i]")  # fmt: skip
        start = self.either(x, x, "0.2", f"0.5 * {x} + {z}[0]")
        carried = self.chance(0.6)
        if carried:
            self.emit(f"s = 1.0 * {start}")
        else:
            self.emit(f"s = 0.2 * {x}")
            self.emit(f"for j in 0..n {{ s = s + {self.either('t[j]', '0.3')} * {self.either(x, f'{z}[j]')} }}")
        self.emit("for i in 0..n {")
        self.emit(f"    v = {own}")
        guard = self.either(
            f"v {self.op()} s", f"s + v {self.op()} {self.either('0.2', 't[i]')}", f"v - 0.5 * s {self.op()} 0.1"
        )
        moved = self.either(f"factor {self.weight()}", self.term("i", "s", x))
        if carried:
            kept = self.either(
                "s = v", "s = 0.5 * s + 0.2", "s = 0.5 * s + v", "s = 0.6 * s", f"s = {z}[i]", "s = max(s, v)"
            )
            if self.chance(0.5):
                self.emit(f"    if {guard} {{ {moved} }}")
                self.emit(f"    {kept}")
            else:
                self.emit(f"    if {guard} {{ {moved}; {kept} }}")
        else:
            self.emit(f"    if {guard} {{ {moved} }}")
        self.emit("}")
        self.names.values.append("s")

    # --------------------------------------------------------------- products

    def products(self) -> None:
        """Products of latents with what data, outcomes, branches or equal indices may make zero, on either side."""
        n = int(self.rng.integers(2, 4))
        self.numbers_in_data(n, self.chance(0.5))
        self.factors_in_data(n, -0.6)
        self.budget = 0
        x, y = self.latents("real", self.either("real", "real", "positive"))
        third = self.chance(0.6)
        z = self.latents("real")[0] if third else f"({y} - 0.3)"
        w = self.own_latents(2) if n == 2 and self.chance(0.4) else None
        pair = f"({w}[i] - {w}[j])" if w else f"(t[i] - t[j]) * {x}"
        some = self.either(f"d[i] * {x}", f"(if {y} > 0.2 then {x} else 0)", pair, f"i * {x}", f"({x} - 0.2)", x)
        apart = f"{w}[j] - {w}[i]" if w else f"t[i] * {z}"
        rest = self.either(
            f"d[i] * {z}", f"(if {z} > 0.3 then {z} - 0.3 else 0)", z, f"{z} * {z} - 0.2", f"i * {z}", f"max({z}, 0)",
            "d[i]", f"sin(d[i] * {z})", apart,
        )  # fmt: skip
        guard = self.either(f"{some} * {y} {self.op()} {rest}", f"{rest} + {y} * {some} {self.op()} 0.2")
        effect = self.term("i", x, z)
        self.emit("for i in 0..n {")
        if "[j]" in guard:
            self.emit(f"    for j in 0..n {{ if {guard} {{ {effect} }} }}")
        elif self.chance(0.3):
            self.emit(f"    if {guard} {{ {effect} }} else if {y} {self.op()} t[i] {{ {self.term('i', y)} }}")
        else:
            self.emit(f"    if {guard} {{ {effect} }}")
        self.emit("}")
