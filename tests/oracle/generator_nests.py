"""Programs of nested loops: conditions, state, sums, counts and draws at every depth, of what lives at another."""

from __future__ import annotations

from typing import Any

from generator_words import Names


class Nests:
    """Mixed into the generator's kinds. Every loop has few iterations: a line crosses each guard of each."""

    names: Names
    rng: Any
    data: dict[str, Any]

    def nested_loops(self) -> None:
        n, p = 2, int(self.rng.integers(2, 4))
        self.numbers_in_data(n, ties=self.chance(0.5))
        self.data |= {"p": p, "d": [int(v) for v in self.rng.integers(0, 2, n)]}
        self.data["u"] = [[round(float(v), 1) for v in self.rng.uniform(-0.8, 1.2, p)] for _ in range(n)]
        for line in ("data p: int", "data d: int[n]", "data u: real[n, p]"):
            self.emit(line)
        x, y = self.latents("real", "real")
        self.left = self.either(x, x, f"{x} + 0.5 * {y}", f"{x} * {y}", f"{x} - 0.4 * {y} * {y}")
        self.x, self.y, self.carried, self.outside = x, y, [], []
        self.own = self.chance(0.3)
        if self.own:
            self.emit("var z: real[n]")
            self.names.latents += [f"z[{k}]" for k in range(n)]
        self.drawn = self.chance(0.2)
        if self.drawn:
            self.emit("var b: int[n, 2]")
        if self.chance(0.6):
            self.emit(f"s = {self.number(-0.3, 0.4)}")
            self.carried.append("s")
        first = "0" if self.own else self.either("0", "0", "0", "1")  # the statements that follow may read any z[i]
        self.emit(f"for i in {first}..n {{")
        if self.own:
            self.emit(f"  z[i] ~ Normal({self.either('0.2', '0.3 * t[i]', y)}, {self.number(0.6, 1.1)})")
        if self.chance(0.3):
            self.emit(f"  if {self.of_outer()} {{ {self.effect('i', False)} }}")
        if self.chance(0.5):
            self.emit(f"  h = {self.of_outer()}")
            self.outside.append("h")
        for k in range(2 if self.chance(0.2) else 1):
            self.inner_loop("jk"[k])
        if self.chance(0.3):
            self.emit(f"  if {self.of_outer()} {{ {self.effect('i', False)} }}")
        self.emit("}")
        if "s" in self.carried:
            self.names.values.append("s")

    def inner_loop(self, j: str) -> None:
        """A loop inside, what it sums, counts and carries, and what the iteration outside makes of that."""
        state = list(self.carried)
        count = self.chance(0.5)
        if count:
            self.emit(f"  c{j} = 0")
            self.carried.append(f"c{j}")
        total = self.chance(0.5)
        if total:
            self.emit(f"  r{j} = {self.either('0.0', '0.3 * t[i]', self.x)}")
            self.carried.append(f"r{j}")
        span = self.either("0..p", "0..p", "0..2", "0..i", "i..n", "0..i + 1")
        if self.drawn and j == "j":
            span = "0..2"
        end = f" while {self.left} < {self.number(0.2, 1.0)} + 0.3 * {j}" if self.chance(0.1) and not self.drawn else ""
        self.emit(f"  for {j} in {span}{end} {{")
        if self.drawn and j == "j":
            draw = f"b[i, {j}] ~ Bernoulli({self.either('0.4', 'inv_logit(0.5 * ' + self.y + ')')})"
            self.emit(f"    {self.either(draw, f'if {self.of_any(j)} {{ {draw} }} else {{ b[i, {j}] = 0 }}')}")
        for _ in range(int(self.rng.integers(1, 3))):
            self.inside(j)
        self.emit("  }")
        if count and self.chance(0.7):
            self.emit(f"  if c{j} {self.either('> 0', '> 1', '== 1')} {{ {self.effect('i', False)} }}")
        if total and self.chance(0.7):
            self.emit(
                f"  observe y[i] ~ Normal({self.either(f'r{j}', f'r{j} + 0.3 * ' + self.y)}, {self.number(0.7, 1.2)})"
            )
        if total and self.chance(0.3):
            self.emit(f"  if r{j} {self.op()} {self.either(self.y, '0.3', 't[i]')} {{ {self.effect('i', False)} }}")
        self.carried = state

    def inside(self, j: str) -> None:
        condition = self.either(
            self.of_outer(), self.of_inner(j), self.of_inner(j), self.of_neither(), f"d[i] == 1 and {self.of_inner(j)}",
            f"{j} < i or {self.of_outer()}", self.of_any(j),
        )  # fmt: skip
        if self.drawn and j == "j" and self.chance(0.5):
            condition = self.either("b[i, j] == 1", f"b[i, j] == 1 and {condition}")
        effect = self.effect(j, True)
        self.emit(
            self.either(
                f"    if {condition} {{ {effect} }}",
                f"    if {condition} {{ {effect} }} else {{ {self.effect(j, True)} }}",
                f"    if {condition} {{ if {self.of_inner(j)} {{ {effect} }} }}",
                f"    factor (if {condition} then {self.number(-0.6, 0.6)} else 0.2 * {self.x})",
            )
        )

    def of_outer(self) -> str:
        """A condition of an iteration of the outer loop."""
        own = ["z[i] > t[i]", f"z[i] < {self.x}"] if self.own else []
        return self.either(
            f"{self.left} {self.op()} t[i]", f"{self.x} {self.op()} t[i]", f"{self.y} + 0.3 * i {self.op()} 0.4", *own
        )

    def of_inner(self, j: str) -> str:
        own = [f"z[i] > u[i, {j}]", f"z[i] < 0.3 * {j}"] if self.own else []
        return self.either(
            f"{self.left} {self.op()} u[i, {j}]", f"{self.y} {self.op()} u[i, {j}]", f"{self.x} {self.op()} 0.3 * {j}",
            f"{self.x} * u[i, {j}] + {self.y} {self.op()} t[i]", *own,
        )  # fmt: skip

    def of_neither(self) -> str:
        return self.either(f"{self.x} > 0.3", f"{self.y} < {self.x}", f"{self.left} > 0.2")

    def of_any(self, j: str) -> str:
        """A condition of an iteration of the inner loop, on what is carried, named outside or compared there."""
        state = [f"{v} > {'0' if v[0] == 'c' else self.x}" for v in self.carried]
        return self.either(self.of_inner(j), self.of_outer(), *self.outside, *state, *state)

    def effect(self, j: str, inner: bool) -> str:
        weight, seen = self.number(-0.5, 0.5), "u[i, 0]" if inner else "y[i]"
        of_state = [
            f"{v} = {v} + {'1' if v[0] == 'c' else self.either('0.4', '0.3 * ' + self.y, 't[i]', f'0.2 * {j}')}"
            for v in self.carried
        ]
        return self.either(
            f"factor {weight} * {self.either(self.x, self.y, '1.0', f'(0.5 + {j})')}",
            f"observe {seen} ~ Normal({self.either(self.x, weight)}, {self.number(0.8, 1.2)})",
            *of_state, *of_state,
        )  # fmt: skip
