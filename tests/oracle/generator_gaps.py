"""What is zero where a guard flips, and positive beside it where the guard holds, in forms of all kinds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from generator_words import Names


@dataclass(frozen=True)
class Gap:
    """`u` is zero where `guard` flips, and positive beside it where the guard holds."""

    guard: str
    u: str


class Gaps:
    """Mixed into the generator's kinds."""

    names: Names
    rng: Any
    data: dict[str, Any]
    lines: list[str]
    guard_above = False  # whether the comparison stands on a line before
    outcome: str | None = None  # a discrete latent

    def gap_of_form(self) -> Gap:
        """Of real, positive and bounded latents."""
        kind = self.either("real", "real", "positive", "interval")
        x, y = self.latents(kind, "real") if kind != "interval" else ("", "")
        if kind == "interval":
            x, y = self.fresh("x"), self.fresh("x")
            self.emit(f"{x} ~ {self.either('Beta(1.6, 1.4)', 'Uniform(0, 1)', 'Uniform(0.2, 1.3)')}")
            self.emit(f"{y} ~ Normal({self.number(-0.4, 0.4)}, 1)")
            self.names.latents += [x, y]
            self.budget = 0
            c = self.number(0.35, 0.7)
            u = self.either(f"{x} - {c}", f"{c} - {x}", f"{x} * {x} - {c}", f"{x} - 0.5 - 0.2 * {y}")
            return self.spelled(u)
        if kind == "positive":
            c = self.number(0.3, 0.9)
            return self.spelled(
                self.either(f"{x} - {c}", f"{c} - {x}", f"log({x}) + {c}", f"{x} + 0.4 * {y} - {c}",
                            f"{x} * {y} - {c}", f"sqrt({x}) - {c}", f"{y} - 0.4 * {x}", f"{y} / {x} - {c}")
            )  # fmt: skip
        c = self.number(-0.5, 0.5)
        return self.spelled(self.either(
            f"{x} - ({c})", f"({c}) - {x}", f"{x} + 0.6 * {y} - ({c})", f"0.8 * {y} - 0.5 * {x}", f"{x} * {y} - 0.2",
            f"1.3 - {x} * {x} - {y} * {y}", f"{x} * {x} + {y} - 0.4", f"exp({x}) - 1.2", f"abs({x}) - 0.4",
            f"max({x}, {y}) - ({c})", f"min({x}, 0.5 * {y}) - ({c})", f"sin({x}) - 0.3", f"{x}^3 - 0.2",
            f"1.2 - hypot({x}, {y})", f"inv_logit({x}) - 0.45", f"tanh({x} + {y}) - 0.2", f"abs({x} - {y}) - 0.3",
        ))  # fmt: skip

    def spelled(self, u: str) -> Gap:
        """A gap in one of the ways that it can be written."""
        way = self.pick(("plain", "plain", "named", "clipped", "turned", "scaled", "bool", "strict", "split"))
        match way:
            case "named":
                m = self.fresh("m")
                self.emit(f"{m} = {u}")
                return Gap(f"{m} > 0", m)
            case "clipped":
                m = self.fresh("m")
                self.emit(f"{m} = {self.either(f'max({u}, 0)', f'relu({u})', f'if {u} > 0 then {u} else 0')}")
                self.guard_above = True
                return Gap(f"{m} > 0", m)
            case "turned":
                return Gap(f"not ({u} <= 0)", u)
            case "scaled":
                return Gap(f"{self.number(0.4, 2.0)} * ({u}) > 0", u)
            case "bool":
                b = self.fresh("b")
                self.emit(f"{b} = {u} > 0")
                self.guard_above = True
                return Gap(b, u)
            case "strict":
                return Gap(f"0 < {u}", f"0.7 * ({u})")
            case "split" if " - (" in u and u.startswith("x"):
                left, _, right = u.partition(" - (")
                return Gap(f"{left} > {right[:-1]}", u)
            case _:
                return Gap(f"{u} > 0", u)

    def gap_of_level(self) -> Gap:
        """Of whole numbers and discrete latents."""
        way = self.pick(("floor", "floor", "ceil", "round", "sign", "divided", "count", "shift", "cut", "sum", "index"))
        if way in ("shift", "cut", "sum", "index"):
            k = self.with_outcomes()
            x, y = self.latents("real", "real")
            if way == "shift":
                u = self.either(f"{x} - 0.4 * {k}", f"{x} + 0.3 * {k} - 0.5", f"({k} - 0.5) * {x} - 0.1")
                return Gap(f"{u} > 0", u)
            if way == "cut":
                c = self.fresh("c")
                self.emit(f"{c} = [0.1, -0.3, 0.5, 0.4]")
                return Gap(f"{x} > {c}[{k}]", f"{x} - {c}[{k}]")
            if way == "index":
                c = self.fresh("c")
                self.emit(f"{c} = [{x}, {y}, {x} + 0.2, 0.5 * {y}]")
                return Gap(f"{c}[{k}] > 0.2", f"{c}[{k}] - 0.2")
            s = self.fresh("m")
            self.emit(f"{s} = {k} + {x}")
            return Gap(f"{s} > 0.7", f"{s} - 0.7")
        x, y = self.latents(self.either("real", "real", "positive"), "real")
        match way:
            case "ceil":
                return Gap(f"ceil({x}) > 1", f"{x} - 1")
            case "round":
                return Gap(f"round({x}) >= 1", f"{x} - 0.5")
            case "sign":
                return Gap(f"sign({x} - 0.3) > 0", f"{x} - 0.3")
            case "divided":
                return Gap(f"{x} // 0.5 >= 1", f"{x} - 0.5")
            case "count":
                m = self.fresh("n")
                self.emit(f"{m} = (if {x} > 0.3 then 1 else 0) + (if {y} > 0.1 then 1 else 0)")
                self.guard_above = True
                return self.pick((Gap(f"{m} == 2", f"{x} - 0.3"), Gap(f"{m} > 1", f"{y} - 0.1"),
                                  Gap(f"{m} >= 1 and {y} < 0.1", f"{x} - 0.3")))  # fmt: skip
            case _:
                return self.pick((Gap(f"floor({x}) >= 1", f"{x} - 1"), Gap(f"floor({x}) == 1", f"{x} - 1"),
                                  Gap(f"floor(2 * {x}) > 0", f"2 * {x} - 1"), Gap(f"floor({x}) < 1", f"1 - {x}"),
                                  Gap(f"floor({x} + 0.3 * {y}) >= 1", f"{x} + 0.3 * {y} - 1")))  # fmt: skip

    def with_outcomes(self) -> str:
        """A latent with outcomes 0 and 1, and maybe 2 and 3."""
        k = self.fresh("k")
        self.emit(f"{k} ~ " + self.either("Bernoulli(0.4)", "BernoulliLogit(0.3)", "Poisson(0.9) in (0, 3)",
                                          "Categorical([0.3, 0.5, 0.2])", "Binomial(2, 0.4)"))  # fmt: skip
        self.outcome = k
        return k

    def gap_of_element(self) -> Gap:
        """Of vectors."""
        way = self.pick(("vector", "made", "long", "array", "pairs", "total", "simplex", "ordered", "factor"))
        self.budget = 0
        c = self.number(0.1, 0.5)
        if way == "simplex":
            p = self.fresh("p")
            self.emit(f"{p} ~ Dirichlet({self.either('[1.5, 2, 1.2]', '[1.0, 1.0, 1.0]', '[2.5, 1.5]')})")
            self.names.latents += [f"{p}[0]", f"{p}[1]"]
            u = self.either(f"{p}[0] - 0.3", f"0.4 - {p}[1]", f"{p}[0] - {p}[1]", f"2 * {p}[1] - 0.7",
                            f"{p}[0] + {p}[1] - 0.6" if "2.5" not in self.lines[-1] else f"{p}[0] - 0.4")  # fmt: skip
            return self.spelled(u)
        if way == "ordered":
            o = self.fresh("o")
            self.emit(f"{o}: ordered[{self.either('2', '3')}] ~ "
                      f"{self.either('Normal(0, 1.2)', 'Logistic(0, 0.8)', 'Uniform(-0.5, 1.5)')}")  # fmt: skip
            self.names.latents += [f"{o}[0]", f"{o}[1]"]
            return self.spelled(self.either(f"{o}[0] - {c}", f"{o}[1] - 0.6", f"{o}[1] - {o}[0] - 0.4",
                                            f"0.7 - {o}[1]", f"{o}[0] + {o}[1] - 0.5"))  # fmt: skip
        if way == "factor":
            f = self.fresh("l")
            self.emit(f"{f} ~ LKJCholesky(2, {self.number(1.2, 2.5)})")
            self.names.latents.append(f"{f}[1, 0]")
            return self.spelled(self.either(f"{f}[1, 0] - {c}", f"{f}[1, 1] - 0.8", f"0.2 - {f}[1, 0]",
                                            f"matmul({f}, transpose({f}))[1, 0] - 0.3"))  # fmt: skip
        z = self.fresh("z")
        n = 2 if way in ("long", "made") else 3
        self.emit(f"{z}: real[{n}] ~ {self.either('Normal(0.1, 1)', 'Normal(0.3, 0.8)', 'Laplace(0.2, 0.8)')}")
        self.names.latents += [f"{z}[{k}]" for k in range(n)]
        w = self.fresh("w")
        match way:
            case "vector":
                return self.spelled(self.either(f"{z}[1] - {c}", f"{z}[2] - {z}[0]", f"{z}[0] + {z}[1] - {c}"))
            case "made":
                self.emit(f"{w} = [2 * {z}[i] for i in 0..{n}]")
                return self.spelled(self.either(f"{w}[1] - {c}", f"{w}[0] + {w}[1] - {c}"))
            case "long":
                size = int(self.rng.integers(9, 14))
                made = self.either(f"{z}[i % 2] + 0.02 * i", f"{z}[0] + 0.1 * i * {z}[1]", f"0.1 * (i + 1) * {z}[1]",
                                   f"if i < {size - 2} then {z}[0] else {z}[1]")  # fmt: skip
                self.emit(f"{w} = [{made} for i in 0..{size}]")
                return self.spelled(f"{w}[{size - 1}] - {c}")
            case "array":
                self.emit(f"var {w}: real[{n}]")
                self.emit(f"for i in 0..{n} {{ {w}[i] = {self.either(f'0.5 * {z}[i] + 0.1', f'{z}[i] - 0.1 * i')} }}")
                return self.spelled(f"{w}[{self.pick('012')}] - {c}")
            case "pairs":
                self.emit(f"{w} = [{z}[0] - {z}[1], {z}[1] + 0.2, 0.7 * {z}[2]]")
                return self.spelled(f"{w}[{self.pick('012')}]")
            case _:
                return self.spelled(self.either(
                    f"sum({z}) - {c}", f"mean({z}) - {c}", f"dot({z}, [0.5, -0.3, 0.8]) - {c}", f"max({z}) - {c}",
                    f"sum({z}[0..2]) - {c}", f"cumsum({z})[1] - {c}"))  # fmt: skip
