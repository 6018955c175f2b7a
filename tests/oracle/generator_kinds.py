"""Programs about one thing each that the general generator does not write: their seeds begin at FIRST.

Each kind makes its own data and latents, one or two statements about its subject, and a few of the ordinary ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from generator_arrays import Arrays
from generator_nests import Nests
from generator_singular import Singular
from generator_states import States
from generator_words import Names

FIRST = 10**6  # seeds from here on are of these kinds, in turn
LATER, LAST, NESTED, MEETING, FLAT, ARRAYS, SINGULAR = (
    2 * 10**6,
    3 * 10**6,
    4 * 10**6,
    5 * 10**6,
    6 * 10**6,
    7 * 10**6,
    8 * 10**6,
)  # and from here on of those that came later


class Kinds(Nests, States, Arrays, Singular):
    """Mixed into the generator, whose words it uses. `budget_of_boundaries` is what the estimator is given."""

    budget_of_boundaries: int | None = 64
    names: Names
    rng: np.random.Generator
    data: dict[str, Any]

    def special(self, kind: str) -> str:
        for name in ("curved", "jumping", "whiles", "wild"):
            setattr(self, name, 0.0)
        self.noise = 0
        self.budget = 2
        {k: f for _, kinds in GENERATIONS for k, f in kinds.items()}[kind](self)
        for _ in range(int(self.rng.integers(0, 2))):
            self.statement(1)
        if self.names.values:
            parts = list(dict.fromkeys(self.names.values[-2:]))
            self.emit(f"observe {self.number()} ~ Normal({' + '.join(parts)}, {self.number(0.6, 1.4)})")
        return "\n".join(self.lines) + "\n"

    # ---------------------------------------------------------------- pieces

    def latents(self, *kinds: str) -> list[str]:
        found: list[str] = []
        for kind in kinds:
            x = self.fresh("x")
            self.emit(f"{x} ~ {self.law(kind)}")
            self.names.latents.append(x)
            if kind == "positive":
                self.names.positive.append(x)
            found.append(x)
        self.budget = max(0, self.budget - len(kinds))
        return found

    def numbers_in_data(self, n: int, ties: bool) -> None:
        """`n`, the thresholds t, with ties, and y."""
        grid = np.round(self.rng.uniform(-0.8, 1.2, 2 if ties else n), 1)
        self.data |= {"n": n, "t": [float(x) for x in self.rng.choice(grid, n, replace=ties)],
                      "y": [float(x) for x in np.round(self.rng.normal(0.3, 0.8, n), 2)]}  # fmt: skip
        self.emit("data n: int")
        self.emit("data t: real[n]")
        self.emit("data y: real[n]")
        self.names.vectors += [("t", "n"), ("y", "n")]

    def factors_in_data(self, n: int, other: float) -> None:
        """Factors d, some of which are zero."""
        self.data["d"] = [float(v) for v in self.rng.choice([0.0, 1.0, other], n)]
        self.emit("data d: real[n]")

    def decided(self, guard: str, then: str | None = None) -> str:
        """A new value that a guard decides."""
        v = self.fresh("v")
        self.emit(f"{v} = if {guard} then {then or self.expr(1)} else {self.number()}")
        self.names.values.append(v)
        return v

    def either(self, *texts: str) -> str:
        return str(self.pick(texts))

    # -------------------------------------------------------------- subjects

    def singular(self) -> None:
        """A branch that is unbounded at its own guard: what it reaches takes the score estimator."""
        x, y = self.latents("real", "real")
        c = self.number(-0.5, 0.5)
        u = self.either(f"{x} - ({c})", f"{x} + 0.6 * {y} - ({c})", f"0.8 * {y} - 0.5 * {x}")
        self.decided(f"{u} > 0", f"0.3 * log({u})")
        if self.chance(0.5):
            self.emit(f"if {u} > 0 {{ observe 0.2 ~ Normal(0.3 * log({u}), {self.number(0.9, 1.5)}) }}")
        self.decided(f"{y} > {self.threshold()}")  # one that keeps its boundary

    def incremental(self) -> None:
        """Sums over iterations with a latent each, read after the loop, by terms of another loop too."""
        n = int(self.rng.integers(2, 5))
        self.numbers_in_data(n, self.chance(0.5))
        self.budget = 0
        self.emit("var z: real[n]")
        self.emit(f"s = {self.number(-0.3, 0.3)}")
        self.emit("for i in 0..n {")
        self.emit(f"    z[i] ~ Normal({self.number()}, {self.number(0.6, 1.3)})")
        gain = self.either("0.7", "0.4 * z[i]", "tanh(z[i])")
        self.emit(f"    if z[i] {self.op()} {self.either('t[i]', self.number(-0.5, 0.5))} {{ s = s + {gain} }}")
        if self.chance(0.5):
            self.emit(f"    observe y[i] ~ Normal(if z[i] < {self.number(-0.5, 0.5)} then 0.5 else z[i], 1.1)")
        self.emit("}")
        self.names.latents += [f"z[{k}]" for k in range(n)]
        self.names.values.append("s")
        if self.chance(0.6):
            self.emit("for j in 0..n { observe y[j] ~ Normal(0.5 * s + 0.2 * t[j], 1.2) }")
            self.budget_of_boundaries = self.pick((1, 2, 64))

    def subset(self) -> None:
        """State that branches decide and carry; a random part of the boundaries stands for all."""
        n = int(self.rng.integers(4, 8))
        self.numbers_in_data(n, self.chance(0.4))
        x, y = self.latents("real", self.either("real", "positive"))
        self.emit(f"s = {self.number(-0.5, 0.5)}")
        self.emit("for i in 0..n {")
        guard = self.either(f"{x} + 0.3 * s > t[i]", f"{x} > t[i]", f"0.6 * {x} - 0.4 * {y} > t[i]", f"s + {y} > t[i]")
        self.emit(f"    if {guard} {{ s = 0.6 * s + {self.either(self.number(), f'0.4 * {y}')} }} else "
                  f"{{ s = 0.5 * s - {self.number(0.1, 0.6)} }}")  # fmt: skip
        self.emit(f"    observe y[i] ~ Normal(s, {self.number(0.8, 1.4)})")
        self.emit("}")
        self.names.values.append("s")
        self.budget_of_boundaries = self.pick((1, 2, 3))

    def coincident(self) -> None:
        """Guards that data make equal: by equal indices, factors of zero, standardised values."""
        n = int(self.rng.integers(3, 5))
        self.numbers_in_data(n, self.chance(0.7))
        self.data |= {
            "k": [int(v) for v in self.rng.integers(0, 2, n)],
            "a": [float(v) for v in self.rng.choice([0.0, 1.0, 0.5], n)],
        }
        self.emit("data k: int[n]")
        self.emit("data a: real[n]")
        self.emit("w: real[2] ~ Normal(0, 1)")
        (x,) = self.latents("real")
        self.names.latents += ["w[0]", "w[1]"]
        self.emit("centre = mean(t)")
        self.emit("spread = 0.2 + max(t) - min(t)")
        texts = ("w[k[i]] < t[i]", f"a[i] * {x} + w[k[i]] > t[i]", f"{x} < (t[i] - centre) / spread",
                 f"spread * {x} + centre < t[i]",
                 f"w[k[i]] < {x}", "a[i] * w[0] + w[1] < t[i]", f"{x} - a[i] * w[1] > 0", "w[k[i]] > w[0] + a[i]",
                 "w[0] + a[i] * w[k[i]] < t[0]")  # fmt: skip
        total = self.chance(0.5)
        if total:
            self.emit("s = 0.0")
        for loop in ("i", "j")[: int(self.rng.integers(1, 3))]:
            one, other = (g.replace("[i]", f"[{loop}]") for g in self.rng.choice(texts, 2, replace=False))
            self.emit(f"for {loop} in 0..n {{")
            self.emit(f"    m_{loop} = (if {one} then {self.number()} else {self.number()}) + "
                      f"(if {other} then {self.expr(1)} else {self.number()})")  # fmt: skip
            if total:
                self.emit(f"    s = s + m_{loop}")
            if not total or self.chance(0.4):
                self.emit(f"    observe y[{loop}] ~ Normal(m_{loop}, {self.number(0.9, 1.5)})")
            self.emit("}")
        if total:
            self.emit(f"v = {self.number(0.2, 0.5)} * s")
            self.names.values.append("v")

    def discrete_in_branch(self) -> None:
        """Discrete latents that exist on one path, or with other probabilities on another."""
        (x,) = self.latents("real")
        p, q = self.number(0.2, 0.8), self.number(0.2, 0.8)
        guard = self.guard(0)
        self.emit(f"if {guard} {{")
        self.emit(f"    k ~ {self.either(f'Bernoulli({p})', f'BernoulliLogit(0.5 * {x})')}")
        self.emit(f"    observe {self.number()} ~ Normal(if k == 1 then {x} else {self.number()}, 1.1)")
        self.emit("} else {")
        if self.chance(0.5):
            self.emit(f"    k ~ Bernoulli({q})")
            self.emit(f"    factor {self.number(-0.6, 0.6)} * k")
        else:
            self.emit(f"    factor {self.number(-0.6, 0.6)} * tanh({x})")
        self.emit("}")
        self.budget = 1
        self.decided(f"{x} > {self.threshold()}")

    def kinked(self) -> None:
        """Guards whose slope along one latent has a kink, or vanishes, in another."""
        x, y = self.latents("real", "real")
        c = self.number(0.1, 0.8)
        slope = self.either(f"max({y}, 0)", f"abs({y})", f"relu({y} - 0.3)", f"clamp({y}, -0.5, 1)", f"min({y}, {x})",
                            f"(if {y} > 0 then {y} else 0.3 * {y})", f"(0.2 + abs({y} - 0.4))")  # fmt: skip
        rest = self.either("", f" + {y}", f" - 0.5 * {y}", f" + abs({y})")
        self.decided(f"{slope} * {x}{rest} {self.op()} {c}")
        if self.chance(0.4):
            self.decided(f"{self.either(f'abs({x}) + abs({y})', f'max({x}, 0.5 * {y})')} < {self.number(0.5, 1.2)}")

    def library(self) -> None:
        """Functions of the standard library."""
        x, y = self.latents("real", self.either("real", "positive"))
        kinds = [f"hinge({x}, {self.number(-0.5, 0.5)})", f"broken_line({x}, {y}, 0.5, -0.4)", f"softplus({x} - {y})",
                 f"hinge({x}, {y})", f"logistic_curve({x}, -0.5, 1.2, {y}, 0.7)",
                 f"hill(0.3 + {x}^2, 0.8, 2.0)"]  # fmt: skip
        one, other = (str(k) for k in self.rng.choice(kinds, 2, replace=False))
        if any("logistic_curve" in k or "hill" in k for k in (one, other)):
            self.lines.insert(0, "use curves")
        self.decided(f"{one} > {self.number(0.1, 0.7)}", other)
        self.emit(f"observe {self.number()} ~ Normal({other}, {self.number(0.8, 1.3)})")

    def products(self) -> None:
        """Guards on `dot` of latents and rows of data, equal and zero ones among them."""
        n = int(self.rng.integers(2, 5))
        self.numbers_in_data(n, self.chance(0.5))
        rows = [[0.0, 1.0], [1.0, 0.0], [1.0, 0.5], [-0.5, 0.8]]
        self.data["m"] = [rows[int(r)] for r in self.rng.integers(0, len(rows), n)]
        self.emit("data m: real[n, 2]")
        self.emit(f"w: real[2] ~ {self.either('Normal(0, 1)', 'Exponential(1.2)')}")
        self.names.latents += ["w[0]", "w[1]"]
        self.budget = 1
        if self.chance(0.4):
            self.latents("real")
        guard = self.either("dot(w, m[i]) < t[i]", "dot(m[i], w) + 0.2 > t[i]", "2 * dot(w, m[i]) - t[i] > 0.3")
        self.emit(f"for i in 0..n {{ observe y[i] ~ Normal(if {guard} then {self.expr(1)} else dot(w, m[i]), 1.2) }}")
        self.decided(
            self.either("dot(w, [0.6, -0.4]) > 0.2", "dot(w, w) < 1.1", f"dot(w, [1.0, {self.number()}]) < 0.4")
        )

    def slices(self) -> None:
        """Sums, means and extremes of parts of arrays, of latents and of data."""
        self.numbers_in_data(4, self.chance(0.3))
        self.emit(f"z: real[3] ~ {self.either('Normal(0, 1)', 'Uniform(-1, 1.5)', 'LogNormal(0, 0.5)')}")
        self.names.latents += [f"z[{k}]" for k in range(3)]
        self.budget = 0
        c = self.number(0.1, 0.9)
        kinds = (f"sum(z[0..2]) > {c}", "mean(z[1..3]) < sum(t[0..2])", f"max(z[0..2]) > {c}", f"min(z[1..3]) < {c}",
                 f"dot(z[0..2], t[2..n]) > {c}", f"sum(z[1..3]) - z[0] > {c}", "z[0] < mean(t[1..3])",
                 f"dot(z[0..2], z[1..3]) < {c}")  # fmt: skip
        for guard in self.rng.choice(kinds, 2, replace=False):
            self.decided(str(guard), self.either(f"0.5 * sum(z[1..3]) + {self.number()}", self.expr(1)))

    def neighbours(self) -> None:
        """Iterations that read elements on either side of their own, as data or outcomes say, and carry these on."""
        n = int(self.rng.integers(4, 6))
        self.budget = 0
        self.data["d"] = [int(v) for v in self.rng.integers(0, 2, n)]
        self.emit(f"data d: int[{n}]")
        self.emit(f"var x: real[{n}]")
        self.emit(f"for i in 0..{n} {{ x[i] ~ Normal({self.number()}, {self.number(0.7, 1.2)}) }}")
        if by_outcome := self.chance(0.3):
            self.emit("y ~ Normal(0.1, 1)")
            self.names.latents.append("y")
        self.names.latents += [f"x[{k}]" for k in range(n)]
        self.emit(f"s = {self.number(-0.4, 0.4)}")
        self.emit(f"r = {self.number(-0.4, 0.4)}")
        right, left = self.either("x[i + 1]", "x[i + 1]", "x[i]"), self.either("x[i - 1]", "x[i - 1]", "0.5 * x[i - 1]")
        beyond = self.chance(0.3)  # an index beyond the array where its branch is not taken
        self.emit(f"for i in {0 if beyond else 1}..{n if beyond else n - 1} {{")
        if beyond:
            by_outcome, right, left = False, "x[i + 1]", self.either("x[0]", "x[i]", "0.5 * x[i]")
            choice = f"i < {n - 1}"
        else:
            choice = "y > 0.2 * i" if by_outcome else "d[i] > 0"
        self.emit(f"    o = if {choice} then {right} else {left}")
        gap = self.either("x[i] - o", "o - x[i]", "x[i] + o", "0.5 * x[i] - o")
        kept = self.either(gap, f"0.3 * r + {gap}", "o")
        guard = self.either("r > 0", f"{gap} > 0", "r > x[i]", "r > o", f"r + 0.4 * s > {self.number(-0.3, 0.3)}")
        moved = self.either(f"0.8 * s + {self.number(0.2, 0.6)}", f"s + {self.number(0.2, 0.6)}")
        update = [f"s = if {guard} then {moved} else 0.6 * s - {self.number(0.1, 0.5)}", f"r = {kept}"]
        for line in update if self.chance(0.7) else update[::-1]:
            self.emit(f"    {line}")
        self.emit(
            f"    observe {self.number()} ~ Normal({self.either('s', 's', 's + 0.2 * r')}, {self.number(0.9, 1.3)})"
        )
        self.emit("}")
        self.names.values.append("s")

    def fed_back(self) -> None:
        """Poles and cuts of values that read carried state, which comparisons at these very places move."""
        n = int(self.rng.integers(2, 4))
        self.budget = 0
        self.emit(f"var x: real[{n}]")
        self.emit(f"for i in 0..{n} {{ x[i] ~ Normal({self.number()}, {self.number(0.7, 1.2)}) }}")
        self.emit(f"y ~ Normal({self.number(-0.3, 0.4)}, 1)")
        self.names.latents += ["y", *(f"x[{k}]" for k in range(n))]
        self.emit(f"s = {self.number(-0.4, 0.4)}")
        self.emit(f"a = {self.number(-0.4, 0.4)}")
        below = self.either("x[i] - s", "x[i] - s", "x[i]", "y - s", "x[i] * s + 0.2")
        angle, ratio = f"atan2({below}, {self.either('y', 'y - 0.3', 'x[i] + y')})", f"y / ({below})"
        value = self.either(angle, angle, f"{self.number(0.3, 1)} / ({below})", ratio, f"tan(0.7 * ({below}))")
        guard = self.either("a > 0", "a > 0", "a < 0", "abs(a) < 1.5707963267948966", f"a > {self.number(-0.5, 0.5)}")
        moved = self.either(
            f"0.8 * s + {self.number(0.2, 0.6)}", f"s + {self.number(0.2, 0.6)}", "0.4 * s + 0.3 * tanh(a)"
        )
        update = [f"s = if {guard} then {moved} else 0.6 * s - {self.number(0.1, 0.5)}", f"a = {value}"]
        self.emit(f"for i in 0..{n} {{")
        for line in update if self.chance(0.4) else update[::-1]:
            self.emit(f"    {line}")
        if self.chance(0.4):
            self.emit(f"    if {guard} {{ factor {self.number(-0.5, 0.5)} * s }}")
        mean = self.either("s", "s", "s + 0.3 * tanh(a)")
        self.emit(f"    observe {self.number()} ~ Normal({mean}, {self.number(0.9, 1.3)})")
        self.emit("}")
        self.names.values.append("s")

    def sums_beside_state(self) -> None:
        """Sums over iterations that outcomes decide, of values that go on in state, arrays or other sums as well."""
        n = int(self.rng.integers(3, 5))
        self.budget = 0
        self.emit(f"var x: real[{n}]")
        if stored := self.chance(0.3):
            self.emit(f"var w: real[{n}]")
        self.emit(f"q = {self.number(-0.3, 0.5)}")
        self.emit(f"best = {self.number(-0.3, 0.5)}")
        self.emit("hits = 0")
        self.emit("total = 0.0")
        self.emit(f"for i in 0..{n} {{")
        self.emit(f"    x[i] ~ Normal({self.number()}, {self.number(0.6, 1.1)})")
        ahead = self.chance(0.5)
        guard = self.either("q > 0.2", "q < 0.1", "x[i] > best", "x[i] >= max(best, x[i])", "x[i] > 0.2", "q > x[i]")
        counted = f"    if {guard} {{ hits = hits + {self.either('1', '1', 'x[i]')} }}"
        if ahead:
            self.emit(counted)
        if self.chance(0.7):
            self.emit(f"    q = {self.number(0.4, 0.9)} * q + {self.either('x[i]', '0.6 * x[i]', '0.3')}")
        if self.chance(0.5):
            self.emit("    best = max(best, x[i])")
        if self.chance(0.5):
            self.emit(f"    total = total + {self.either('0.5 * x[i]', 'tanh(x[i])', '(if x[i] > 0.5 then 1 else 0)')}")
        if stored:
            self.emit("    w[i] = 0.5 * x[i]")
        if not ahead:
            self.emit(counted)
        self.emit("}")
        last = self.either("total", "q", "best", "hits * total", "0.5 * hits * q", "w[1] * hits" if stored else "total")
        self.emit(f"observe {self.number(0, 2)} ~ Normal(0.8 * hits, {self.number(0.6, 1.1)})")
        self.emit(f"observe {self.number()} ~ Normal(0.4 * hits + {last}, {self.number(0.9, 1.3)})")
        self.names.latents += [f"x[{k}]" for k in range(n)]
        self.names.values.append("total")

    def under_data(self) -> None:
        """Comparisons with thresholds from data, some of them equal, that conditions on data leave out in places."""
        n = int(self.rng.integers(3, 5))
        self.numbers_in_data(n, ties=self.chance(0.8))
        self.data["d"] = [int(v) for v in self.rng.integers(0, 2, n)]
        self.emit("data d: int[n]")
        x, y = self.latents("real", "real")
        self.emit(f"s = {self.number(-0.3, 0.4)}")
        self.emit("for i in 0..n {")
        nested = self.chance(0.25)
        if nested:
            self.emit("  for j in 0..2 {")
        for _ in range(int(self.rng.integers(1, 3))):
            self._reached_by_data(x, y, "j" if nested else "")
        if nested:
            self.emit("  }")
        self.emit(f"  observe y[i] ~ Normal(s, {self.number(0.7, 1.2)})")
        self.emit("}")
        self.names.values.append("s")

    def _reached_by_data(self, x: str, y: str, inner: str) -> None:
        place = "t[i]"
        condition = self.either(
            "d[i] == 1", "d[i] == 1", "d[i] == 0", "t[i] > 0.2", "d[i] == 1 and i > 0", "i < n - 1", "i > 0"
        )
        if condition == "i < n - 1":
            place = self.either("t[i + 1]", "t[i]")
        elif "i > 0" in condition:
            place = self.either("t[i - 1]", "t[i]")
        elif inner and self.chance(0.4):
            condition, place = (
                self.either(f"d[{inner}] == 1", f"d[i] == 1 and {inner} < i"),
                self.either("t[i]", "t[1]"),
            )
        left = self.either(
            x, x, y, f"{x} + 0.5 * {y}", f"{x} * {y}", f"{x} / {y}", f"{x} * {x} + 0.5 * {y}", f"sin(3 * {x}) + {y}",
            f"max({x}, {y})", f"{x} + 0.3 * s", f"exp(0.5 * {x})",
        )  # fmt: skip
        more = self.either(
            f"s = s + {self.number(0.3, 0.8)}", f"s = 0.7 * s + {self.number(0.3, 0.8)}", f"s = 0.5 * s + 0.3 * {y}"
        )
        less = self.either(f"s = s - {self.number(0.2, 0.5)}", f"s = 0.6 * s - 0.2 * {x}", "s = s")
        factor = f"factor {self.number(-0.5, 0.5)} * {self.either(x, y, '1.0')}"
        v = self.fresh("v")
        lines = self.pick(
            [
                [f"if {condition} {{ if {left} > {place} {{ {more} }} else {{ {less} }} }}"],
                [f"if {condition} {{ if {left} > {place} {{ {more} }} else {{ {less} }} }} else {{ {less} }}"],
                [f"if {condition} and {left} > {place} {{ {more} }}"],
                [f"if {condition} {{ if {left} > {place} {{ {factor} }} else {{ {more} }} }}"],
                [f"{v} = if {condition} then {left} - {place} else {y} - t[i]", f"if {v} > 0 {{ {more} }}"],
                [
                    f"{v} = if {condition} then {left} > {place} else {y} > 0.1",
                    f"if {v} {{ {more} }} else {{ {less} }}",
                ],
                [f"if {condition} {{ s = 0.8 * s + 0.3 * floor(1.5 * tanh({left}) - {place}) }}"],
                [f"if {left} > t[i] {{ if {condition} {{ {more} }} else {{ {less} }} }}"],
            ]
        )
        for line in lines:
            self.emit(f"    {line}")


SUBJECTS: Mapping[str, Callable[[Any], None]] = {
    "singular": Kinds.singular, "incremental": Kinds.incremental, "subset": Kinds.subset,
    "coincident": Kinds.coincident, "discrete in a branch": Kinds.discrete_in_branch, "kinked": Kinds.kinked,
    "library": Kinds.library, "dot": Kinds.products, "slices": Kinds.slices,
}  # fmt: skip

LATER_SUBJECTS: Mapping[str, Callable[[Any], None]] = {
    "neighbours": Kinds.neighbours, "fed back": Kinds.fed_back, "sums beside state": Kinds.sums_beside_state,
}  # fmt: skip

LAST_SUBJECTS: Mapping[str, Callable[[Any], None]] = {"under data": Kinds.under_data}

NESTED_SUBJECTS: Mapping[str, Callable[[Any], None]] = {"nested loops": Kinds.nested_loops}

MEETING_SUBJECTS: Mapping[str, Callable[[Any], None]] = {
    "pairs": Kinds.pairs, "extremes": Kinds.extremes, "clipped state": Kinds.clipped, "streaks": Kinds.streaks,
    "absent": Kinds.absent,
}  # fmt: skip

SINGULAR_SUBJECTS: Mapping[str, Callable[[Any], None]] = {
    "singular guards": Kinds.singular_guards, "singular levels": Kinds.singular_levels,
    "singular elements": Kinds.singular_elements, "singular state": Kinds.singular_state,
    "singular functions": Kinds.singular_functions, "bounded guards": Kinds.bounded_guards,
    "bounded state": Kinds.bounded_state,
}  # fmt: skip

GENERATIONS = (
    (FIRST, SUBJECTS), (LATER, LATER_SUBJECTS), (LAST, LAST_SUBJECTS), (NESTED, NESTED_SUBJECTS),
    (MEETING, MEETING_SUBJECTS), (FLAT, {"flat": Kinds.flat, "products": Kinds.products}),
    (ARRAYS, {"mixed": Kinds.mixed, "filled": Kinds.filled}), (SINGULAR, SINGULAR_SUBJECTS),
)  # fmt: skip  # with the first seed of each


def kind_of(seed: int) -> str | None:
    """What the program of a seed is about; None for the general ones."""
    subjects = next((tuple(kinds) for first, kinds in reversed(GENERATIONS) if seed >= first), None)
    return None if subjects is None else subjects[seed % len(subjects)]
