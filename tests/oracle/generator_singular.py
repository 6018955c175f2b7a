"""Programs with a branch that is unbounded at its own guard, and programs that come close to that.

Each is put together from a gap (see generator_gaps.py), what is unbounded where that is zero, where it goes, and
conditions around it. Whether it is unbounded is known, and on which line its guard is.
"""

from __future__ import annotations

from collections.abc import Callable

from generator_gaps import Gap, Gaps

# Unbounded where u is 0, but with moments: logarithms, and powers near zero.
UNBOUNDED = (
    "0.3 * log({u})", "0.3 * log({u})", "0.3 * log({u})", "0.2 * log2({u})", "0.4 * log10({u})", "0.3 * log(2 * ({u}))",
    "0.2 * log(square({u}))", "0.4 * log(sqrt({u}))", "0.3 * log(tanh({u}))", "0.3 * log(expm1({u}))",
    "0.3 * log(abs({u}))", "0.3 * log1m(exp(-({u})))", "0.3 * log1m_exp(-({u}))", "0.3 * log_diff_exp({u}, 0.0)",
    "0.5 * ({u})^(-0.1)", "0.5 / ({u})^0.1", "0.4 * inv(({u})^0.1)", "0.3 * log1p(1 / ({u}))", "0.3 * log(1 / ({u}))",
    "0.3 * lgamma({u})", "0.2 * lbeta({u}, 1.5)", "0.2 * lbeta(0.8, {u})", "0.3 * lchoose(30.0, ({u}) - 1)",
    "0.2 * logit(({u}) / (1 + ({u})))", "0.3 * inv_Phi(({u}) / (1 + ({u})))", "0.2 * atanh(1 / (1 + ({u})))",
    "-0.3 * log1p(({u}) - 1)", "0.2 * log(1 - exp(-2 * ({u})))", "0.2 * log(hypot({u}, 2 * ({u})))",
)  # fmt: skip
BOUNDED = (
    "0.5 * log(1 + ({u}))", "0.4 * log(0.3 + ({u}))", "0.5 * sqrt({u})", "0.4 * log1p({u})", "0.5 * ({u})^1.5",
    "0.5 * (0.4 + ({u}))^(-0.5)", "0.3 / (0.5 + ({u}))", "0.3 * lgamma(1 + ({u}))", "0.4 * atan(1 / (0.3 + ({u})))",
    "0.3 * logit(0.2 + 0.6 * inv_logit({u}))", "0.3 * log1m(0.8 * exp(-({u})))", "0.3 * log(max({u}, 0.1))",
    "0.3 * log(exp({u}))", "0.3 * asinh({u})", "0.3 * (if ({u}) > 0.2 then log({u}) else 0.4)", "0.3 * log(2 * 0.4)",
    "0.3 * log((({u}) + 0.3) * 0.7)", "0.3 * inv(1 + ({u}))", "0.2 * lbeta(0.4 + ({u}), 1.5)",
)  # fmt: skip
UNSURE = ("0.4 * ({u}) * log({u})", "0.5 * ({u})^({u})")  # bounded, of what is not
# Observations whose density is unbounded where an argument is 0, and what keeps the argument in its domain.
LAWS = (
    ("2", "Poisson({a})"), ("1", "Poisson(1.4 * ({a}))"), ("0.0", "Normal(0.0, {a})"), ("0.4", "Cauchy(0.1, {a})"),
    ("0.4", "StudentT(4, 0.1, {a})"), ("0.5", "Exponential({a})"), ("0.7", "Gamma(2, {a})"), ("0.7", "Gamma({a}, 1.2)"),
    ("0.4", "Beta({a}, 1.5)"), ("0.4", "Beta(1.2, {a})"), ("0.4", "HalfCauchy({a})"), ("0.0", "HalfNormal({a})"),
    ("2", "NegativeBinomial({a}, 1.5)"), ("2", "NegativeBinomial(1.5, {a})"), ("0.7", "InverseGamma({a}, 1.1)"),
    ("0.7", "InverseGamma(2, {a})"), ("0.8", "Pareto(0.5, {a})"), ("0.2", "Laplace(0.2, {a})"),
    ("0.2", "Logistic(0.2, {a})"), ("1", "Bernoulli(({a}) / (1 + ({a})))"), ("2", "Binomial(4, ({a}) / (1 + ({a})))"),
    ("1", "Geometric(({a}) / (1 + ({a})))"), ("0", "Bernoulli(1 / (1 + ({a})))"),
)  # fmt: skip


class Singular(Gaps):
    """Mixed into the generator's kinds."""

    unbounded_at: list[int] | None = None  # lines of guards that branches are unbounded at; None where not known

    # ------------------------------------------------------------------- kinds

    def singular_guards(self) -> None:
        """Guards of any form, at the top level."""
        gap = self.gap_of_form()
        way = self.pick(("one side", "one side", "one side", "one side", "both sides", "bounds meet"))
        if way == "both sides" and not self.guard_above:
            below = f"log(-({gap.u}))"
            self.assigned(f"if {gap.guard} then {self.pick(UNBOUNDED).replace('{u}', gap.u)} else 0.3 * {below}", True)
        elif way == "bounds meet":
            self.bounds_meet(gap)
        else:
            self.unbounded(gap)

    def singular_levels(self) -> None:
        """Guards on whole numbers, counts and outcomes of discrete latents, and values at their own levels."""
        if self.chance(0.85):
            self.unbounded(self.gap_of_level())
            return
        x, y = self.latents("real", "real")
        u = self.either(x, f"2 * {x}", f"{x} + 0.5 * {y}")
        own = self.either(f"{u} - floor({u})", f"({u}) % 1", f"ceil({u}) - ({u})")
        self.assigned(self.pick(UNBOUNDED).replace("{u}", own), True)

    def singular_elements(self) -> None:
        """Elements of vectors, of comprehensions and of latents that are drawn as a whole."""
        self.unbounded(self.gap_of_element())

    def singular_state(self) -> None:
        """In a loop, of what the loop carries."""
        self.in_loop(self.pick(UNBOUNDED), True)

    def singular_functions(self) -> None:
        """In functions, with the guard inside or outside."""
        gap, value = self.gap_of_form(), self.pick(UNBOUNDED)
        f, inside = self.fresh("f"), self.chance(0.6)
        self.guard_above = self.guard_above and not inside
        self.emit(f"fn {f}(a: real, b: real) -> real {{")
        own = value.replace("{u}", self.either("a", "(a + 0.0)"))
        guard = self.either("a > 0", "0 < a", "not (a <= 0)", "a > 0 and b > -0.4", "b < 0.9 and a > 0")
        way = self.either("early", "choice", "nested") if inside else "plain"
        if way == "early":
            self.emit(f"    if {guard} {{ return {own} }}")
            self.at_guard(True)
            self.emit(f"    return {self.number()}")
        elif way == "choice":
            self.emit(f"    return if {guard} then {own} else {self.number()}")
            self.at_guard(True)
        elif way == "nested":
            self.emit("    if b > -0.5 {")
            self.emit(f"        if a > 0 {{ return {own} }}")
            self.at_guard(True)
            self.emit("    }")
            self.emit(f"    return {self.number()}")
        else:
            self.emit(f"    return {own} + 0.1 * b")
        self.emit("}")
        other = self.either(*self.names.latents)
        called = f"{f}({gap.u}, {other})"
        self.assigned(called if inside else f"if {gap.guard} then {called} else {self.number()}", not inside)

    def bounded_guards(self) -> None:
        """Branches that are bounded at their guard, though nearly not."""
        gap = self.pick((self.gap_of_form, self.gap_of_level, self.gap_of_element))()
        self.unbounded_at = []
        if self.chance(0.1):
            self.placed(gap, self.pick(UNSURE), False)
            self.unbounded_at = None
        elif self.chance(0.25):
            self.apart(gap)
        elif self.chance(0.3):
            self.law_of(gap, f"{self.number(0.2, 0.6)} + ({gap.u})", False)
        else:
            self.placed(gap, self.pick(BOUNDED), False)

    def bounded_state(self) -> None:
        self.unbounded_at = []
        self.in_loop(self.pick(BOUNDED), False)

    # -------------------------------------------------------------- conditions

    def around(self) -> list[str]:
        """Conditions that hold with some probability wherever the gap is."""
        k = self.fresh("x")
        draws = {
            "Normal(0.2, 1)": (f"{k} > 0.1", f"{k} < 0.6", f"abs({k}) < 1"),
            "Normal(0.5, 1)": (f"floor({k}) >= 0", f"floor({k}) == 0"),
            "Bernoulli(0.5)": (f"{k} == 1", f"{k} > 0", f"not ({k} == 1)"),
            "Categorical([0.3, 0.4, 0.3])": (f"{k} > 1", f"{k} == 0", f"{k} != 1"),
            "Poisson(1.3) in (0, 3)": (f"{k} > 1", f"{k} == 2", f"{k} >= 1"),
        }
        kinds: list[Callable[[], str]] = [
            *(lambda law=law, of=of: self.drawn(k, law, self.either(*of)) for law, of in draws.items()), self.of_data,
        ]  # fmt: skip
        if self.outcome is not None:
            kinds = [self.of_data, lambda: f"{self.outcome} {self.either('== 1', '> 0', '< 2', '!= 0')}"]
        if not self.chance(0.6):
            return []
        one = self.pick(kinds)()
        return [f"({one} or {self.names.latents[0]} > 9)"] if self.chance(0.15) else [one]

    def drawn(self, name: str, law: str, condition: str) -> str:
        self.emit(f"{name} ~ {law}")
        return condition

    def of_data(self) -> str:
        d = self.fresh("d")
        self.data[d] = int(self.rng.integers(2, 5))
        self.emit(f"data {d}: int")
        return self.either(f"{d} > 1", f"{d} >= 2", f"{d} != 9")

    # ------------------------------------------------------------------ places

    def at_guard(self, unbounded: bool) -> None:
        """Notes that the guard of the line that was just written is one that a branch is unbounded at, or not."""
        known = self.unbounded_at or []
        self.unbounded_at = [*known, 0 if self.guard_above else len(self.lines)] if unbounded else known

    def unbounded(self, gap: Gap) -> None:
        if self.chance(0.4):
            self.law_of(gap, self.either(gap.u, gap.u, f"{self.number(0.4, 1.5)} * ({gap.u})"), True)
        else:
            self.placed(gap, self.pick(UNBOUNDED), True)

    def assigned(self, value: str, unbounded: bool) -> None:
        v = self.fresh("v")
        self.emit(f"{v} = {value}")
        self.at_guard(unbounded)
        self.read(v)

    def read(self, v: str) -> None:
        """A term of a value, before other statements may assign it anew."""
        self.emit(f"observe {self.number()} ~ Normal({v}, {self.number(0.8, 1.4)})")
        self.names.values.append(v)

    def placed(self, gap: Gap, template: str, unbounded: bool) -> None:
        """A value of the gap, computed under the guard."""
        value, conditions, other = template.replace("{u}", gap.u), self.around(), self.number()
        way = self.pick(("chosen", "chosen", "observed", "factor", "nested", "chain", "local", "guarded"))
        conditions = [gap.guard, *conditions] if self.chance(0.5) else [*conditions, gap.guard]
        both = " and ".join(f"({c})" if " and " in c else c for c in conditions)
        scale = self.number(0.8, 1.4)
        match way:
            case "observed":
                self.emit(f"if {both} {{ observe {self.number()} ~ Normal({value}, {scale}) }}")
            case "factor":
                self.emit(f"if {both} {{ factor {value} }}")
            case "nested":
                for k, c in enumerate(conditions):
                    self.emit("    " * k + f"if {c} {{")
                    if c == gap.guard:
                        self.at_guard(unbounded)
                depth = len(conditions)
                self.emit("    " * depth + f"observe {self.number()} ~ Normal({value}, {scale})")
                for k in reversed(range(depth)):
                    rest = f" else {{ factor {self.number(-0.5, 0.5)} }}" if self.chance(0.3) else ""
                    self.emit("    " * k + "}" + rest)
            case "chain":
                y = self.names.latents[-1]
                first, last = self.number(-0.5, 0.5), self.number(-0.5, 0.5)
                self.emit(
                    f"if {y} > 0.9 {{ factor {first} }} else if {both} {{ factor {value} }} else {{ factor {last} }}"
                )
            case "local":
                m = self.fresh("m")
                self.emit(f"if {both} {{ {m} = {value}; observe {self.number()} ~ Normal({m} + 0.1, {scale}) }}")
            case "guarded":
                v, b = self.fresh("v"), self.fresh("b")
                self.emit(f"{b} = {both}")
                self.at_guard(unbounded)
                self.emit(f"{v} = if {b} then {value} else {other}")
                self.read(v)
            case _:
                self.assigned(f"if {both} then {value} else {other}", unbounded)
        if way in ("observed", "factor", "chain", "local"):  # the line that was written last
            self.at_guard(unbounded)

    def law_of(self, gap: Gap, argument: str, unbounded: bool) -> None:
        """A distribution of the gap: an argument under the guard, or one that the guard chooses."""
        datum, law = self.pick(LAWS)
        both = " and ".join((*self.around(), gap.guard))
        if self.chance(0.5):
            self.emit(f"if {both} {{ observe {datum} ~ {law.replace('{a}', argument)} }}")
            self.at_guard(unbounded)
            return
        r = self.fresh("r")
        self.emit(f"{r} = if {both} then {argument} else {self.number(0.3, 1.2)}")
        self.at_guard(unbounded)
        self.emit(f"observe {datum} ~ {law.replace('{a}', r)}")

    def apart(self, gap: Gap) -> None:
        """A pole that the condition keeps away."""
        value = f"0.3 * log(({gap.u}) + {self.number(0.1, 0.4)})"
        if self.chance(0.5):
            self.emit(f"if {gap.guard} {{ if {gap.u} > 0.2 {{ factor 0.3 * log({gap.u}) }} }}")
        else:
            self.assigned(f"if {gap.guard} then {value} else {self.number()}", False)

    def bounds_meet(self, gap: Gap) -> None:
        """A latent whose support shrinks to a point at the guard: its density grows, its coordinate's does not."""
        z, c = self.fresh("z"), self.number(-0.3, 0.4)
        law = self.either("Uniform({lo}, {hi})", "Normal(0, 1) in ({lo}, {hi})", "Logistic(0.2, 0.8) in ({lo}, {hi})")
        law = law.replace("{lo}", f"{c} - ({gap.u})").replace("{hi}", f"{c} + 0.6 * ({gap.u})")
        self.emit(f"if {gap.guard} {{ {z} ~ {law} }} else {{ {z} = {self.number()} + 0.0 }}")
        self.read(z)

    # ------------------------------------------------------------------- loops

    def in_loop(self, template: str, unbounded: bool) -> None:
        """A loop of few iterations that carries state and has data."""
        n = int(self.rng.integers(2, 4))
        self.numbers_in_data(n, self.chance(0.4))
        self.data["d"] = [1, *(int(v) for v in self.rng.integers(0, 2, n - 1))]
        self.emit("data d: int[n]")
        x, y = self.latents("real", "real")
        self.emit(f"s = {self.either('0.0', '0.4', f'0.5 * {y}', y)}")
        self.emit("for i in 0..n {")
        update = "    s = " + self.either(f"0.6 * s + 0.5 * {x}", f"s + 0.4 * {x}", f"0.5 * s + {x} - 0.3 * t[i]",
                                          f"0.4 * s + 0.3 * {y} + 0.5 * {x}", f"max(0.5 * s, {x})")  # fmt: skip
        first = self.chance(0.6)
        if first:
            self.emit(update)
        # What is in state before the loop says something too if it moves.
        u = self.either("s - 0.15", "s", "0.25 - s", "s - t[i]") if first else self.either(
            f"{x} - t[i]", f"{x} + 0.5 * {y} - t[i]", f"{x} * {y} - 0.2", f"{x} - 0.3 * s - 0.2")  # fmt: skip
        value, place = template.replace("{u}", u), self.either("factor", "observe", "carried", "chosen", "law")
        condition = self.either("", "", "d[i] == 1", f"{y} > -0.2", "i < 1", "i > 0", "i == n - 1", "c >= 1")
        if "c >" in condition:
            self.lines.insert(-1 if not first else -2, "c = 0")
            self.emit("    c = c + d[i]")
        guard = f"{u} > 0"
        spread = self.chance(0.5) and bool(condition)
        opening = f"if {condition} {{ if {guard} {{" if spread else (
            f"if {f'{condition} and ' if condition else ''}{guard} {{")  # fmt: skip
        closing = "} }" if spread else "}"
        both = f"{condition} and {guard}" if condition else guard
        scale = self.number(0.8, 1.4)
        match place:
            case "factor":
                self.emit(f"    {opening} factor {value} {closing}")
            case "observe":
                self.emit(f"    {opening} observe y[i] ~ Normal({value}, {scale}) {closing}")
            case "carried":
                self.emit("    r = 0.2")
                self.emit(f"    {opening} r = {value} {closing}")
                self.at_guard(unbounded)
                self.emit(f"    observe y[i] ~ Normal(r, {scale})")
            case "chosen":
                self.emit(f"    observe y[i] ~ Normal(if {both} then {value} else 0.3, {scale})")
            case _:
                datum, law = self.pick(LAWS)
                argument = u if unbounded else f"0.3 + ({u})"
                self.emit(f"    {opening} observe {datum} ~ {law.replace('{a}', argument)} {closing}")
        if place != "carried":
            self.at_guard(unbounded)
        if not first:
            self.emit(update)
        self.emit("}")
        self.names.values.append("s")
