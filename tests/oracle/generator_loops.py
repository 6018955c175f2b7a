"""Loops of the generated programs: over data, ended by a condition, comprehensions and random walks."""

from __future__ import annotations

from generator_curves import Curves

WITHOUT_INDEX = ""  # what `Words.loop` holds inside a `while`


class Loops(Curves):
    """Statements that repeat."""

    def statement(self, depth: int) -> None:
        raise NotImplementedError

    def observed(self) -> str:
        raise NotImplementedError

    def for_loop(self, depth: int) -> None:
        """A loop over the data: a family of guards, a sum, carried state, or several of them."""
        i = self.fresh("i")
        total = self.fresh("s") if self.chance(0.6) else None
        hits = self.fresh("k") if self.chance(0.3) else None
        if total:
            self.emit(f"{total} = {self.number(-0.5, 0.5)}")
        if hits:
            self.emit(f"{hits} = 0")
        outer, guards = self.names, self.guards
        ends = f" while {self.going_on(i, total, hits)}" if self.chance(0.4 * self.whiles) else ""
        self.emit(f"for {i} in {self.pick(('0', '0', '0', '1'))}..n{ends} {{")
        self.indent, self.loop, self.names, self.guards = self.indent + 1, i, outer.copy(), []
        self.names.numbers += [f"t[{i}]"] * 3
        state = total is not None and self.chance(0.4)
        if total and state:
            self.names.values.append(total)
            self.names.affine.append(total)
        if total:
            self.accumulate(total, i, state)
        if hits:
            self.emit(f"if {self.loop_guard(i)} {{ {hits} = {hits} + 1 }}")
        if not total or self.chance(0.5):
            self.family(i)
        if self.chance(0.3):
            self.statement(depth - 1)
        self.indent, self.loop, self.names, self.guards = self.indent - 1, None, outer, guards
        self.emit("}")
        if total:
            self.names.values.append(total)
        if hits:
            self.names.ints.append(hits)

    def loop_guard(self, i: str) -> str:
        return str(
            self.weighted(
                (4, lambda: f"{self.latent()} {self.op()} t[{i}]"),
                (1, lambda: f"{self.join('{a} + {k} * {b}')} {self.op()} t[{i}]"),
                (1, lambda: f"t[{i}] * {self.latent()} {self.op()} {self.number(-1, 1)}"),
                (1, lambda: f"{self.latent()} {self.op()} {i}"),
                (1, lambda: self.guard(1)),
            )
        )

    def going_on(self, i: str, total: str | None, hits: str | None) -> str:
        """The condition of a `for ... while`."""
        return str(
            self.weighted(
                (1, lambda: self.loop_guard(i).replace(f"t[{i}]", self.number())),
                (1, lambda: f"{self.latent()} {self.op()} t[{i}]"),
                (3 if total else 0, lambda: f"{total} {self.op()} {self.value()}"),
                (2 if total else 0, lambda: f"{total} < {self.threshold()}"),
                (2 if hits else 0, lambda: f"{hits} < {self.pick('12')}"),
            )
        )

    def while_loop(self) -> None:
        """A loop that a condition on its state ends; now and then it counts, observes or branches inside."""
        s, limit = self.fresh("s"), int(self.rng.integers(2, 7))
        hits = self.fresh("k") if self.chance(0.5) else None
        self.emit(f"{s} = {self.pick((self.number(-0.5, 0.8), self.latent(), f'0.3 * {self.latent()}'))} + 0.0")
        if hits:
            self.emit(f"{hits} = 0")
        end, most = self.pick((self.threshold(), self.value(), self.number(-0.5, 1.5))), self.number(0.5, 2.0)
        condition = self.weighted(
            (4, lambda: f"{s} < {end}"),
            (2, lambda: f"{s} > {end}"),
            (1, lambda: f"abs({s}) < {most}"),
            (1, lambda: f"{s} * {s} < {most}"),
            (1, lambda: f"{s} < {end} and {self.guard(0)}"),
        )
        self.emit(f"while {condition} limit {limit} {{")
        outer, guards, loop = self.names, self.guards, self.loop
        self.indent, self.names, self.guards = self.indent + 1, outer.copy(), []
        self.loop = loop or WITHOUT_INDEX
        self.names.values += [s, s]
        if self.chance(0.25):
            self.statement(0)
        self.emit(f"{s} = {self.step(s)}")
        if hits:
            self.emit(f"{hits} = {hits} + 1")
        if self.chance(0.3):
            self.terms += 1
            self.emit(f"observe {self.number(-1, 1.5)} ~ Normal({self.expr(1)}, {self.positive()})")
        self.indent, self.names, self.guards, self.loop = self.indent - 1, outer, guards, loop
        self.emit("}")
        self.names.values.append(s)
        if hits:
            self.names.ints.append(hits)

    def step(self, s: str) -> str:
        """What an iteration makes of its state."""
        return str(
            self.weighted(
                (3, lambda: f"{s} + {self.number(0.2, 0.8)} * {self.latent()}"),
                (2, lambda: f"{s} + {self.number(0.2, 0.8)}"),
                (2, lambda: f"0.6 * {s} - {self.number()} * {self.latent()} + {self.number()}"),
                (1, lambda: f"tanh({s} + {self.latent()})"),
                (2, lambda: f"(if {s} > {self.threshold()} then 0.5 * {s} - {self.latent()} else {s} + 0.3)"),
                (1, lambda: f"{s} + 0.5 * square({self.latent()})"),
            )
        )

    def accumulate(self, total: str, i: str, state: bool) -> None:
        if state and self.chance(0.3):
            self.emit(f"if {total} {self.op()} {self.value()} {{ {total} = 0.5 * {total} - {self.latent()} }} "
                      f"else {{ {total} = {total} + {self.number(0.3, 0.8)} * {self.latent()} + 0.3 }}")  # fmt: skip
            return
        if state:
            self.emit(f"if {total} {self.op()} {self.threshold()} {{ {total} = {self.state()} + 0.0 }}")
            if self.chance(0.5):
                self.emit(f"{total} = {self.number(-0.8, 0.8)} * {total} + {self.state()}")
            return
        self.weighted(
            (
                2,
                lambda: self.emit(
                    f"{total} = {total} + (if {self.loop_guard(i)} then {self.expr(1)} else {self.number()})"
                ),
            ),
            (1, lambda: self.emit(f"if {self.loop_guard(i)} {{ {total} = {total} + {self.expr(1)} }}")),
            (1, lambda: self.emit(f"if {self.loop_guard(i)} {{ {total} = {self.expr(1)} + 0.0 }}")),
        )

    def state(self) -> str:
        return self.expr(1) if self.wild else self.pick((self.number(), self.affine()))

    def family(self, i: str) -> None:
        self.terms += 1
        if "c" in self.data and self.chance(0.4):
            a, b = self.number(0.5, 1.2), self.positive()
            self.emit(f"observe c[{i}] ~ Poisson(if {self.loop_guard(i)} then {a} else {b})")
            return
        mean = f"if {self.loop_guard(i)} then {self.expr(1)} else {self.expr(1)}"
        self.emit(f"observe {self.observed()} ~ Normal({mean}, {self.positive()})")

    def comprehension(self) -> None:
        i, v = self.fresh("i"), self.fresh("v")
        outer, guards = self.names, self.guards
        self.names, self.guards, self.loop = outer.copy(), [], i
        self.names.numbers += [f"t[{i}]"] * 3
        reduce = self.pick(("sum", "mean", "max", "min"))
        self.emit(
            f"{v} = 0.4 * {reduce}([if {self.loop_guard(i)} then {self.expr(1)} else {self.number()} for {i} in 0..n])"
        )
        self.names, self.guards, self.loop = outer, guards, None
        self.names.values.append(v)

    def walk(self) -> None:
        """A short random walk in a `var` array, with state carried along."""
        z, s, i, steps = (
            self.fresh("z"),
            self.fresh("s"),
            self.fresh("i"),
            min(self.budget, int(self.rng.integers(2, 4))),
        )
        self.budget -= steps
        self.emit(f"var {z}: real[{steps}]")
        self.emit(f"{s} = {self.number(-0.6, 0.6)}")
        start = 0
        if self.chance(0.4):
            self.emit(f"{z}[0] ~ {self.law('real')}")
            start = 1
        ends = self.chance(0.4 * self.whiles)
        going_on = f" while {s} < {self.pick((self.threshold(), self.number(0.5, 1.5)))}" if ends else ""
        self.emit(f"for {i} in {start}..{steps}{going_on} {{")
        outer, guards = self.names, self.guards
        self.indent, self.loop, self.names, self.guards = self.indent + 1, i, outer.copy(), []
        past = f"0.6 * {z}[{i} - 1]" if start else self.pick(("0", s))
        before = self.chance(0.5)
        move = "" if before else f"0.5 * {z}[{i}] + "
        step = f"{s} = {s} + {move}(if {s} < {self.threshold()} then {self.number()} else {self.number()})"
        if before:
            self.emit(step)
            past = s
        self.emit(f"{z}[{i}] ~ Normal({past}, {self.number(0.7, 1.3)})")
        self.names.latents.append(f"{z}[{i}]")
        if not before:
            self.emit(step)
        self.names.values.append(s)
        self.names.affine.append(s)
        if self.chance(0.6):
            self.emit(
                f"if {self.pick((f'{z}[{i}]', s))} {self.op()} {self.threshold()} {{ {s} = {self.state()} + 0.0 }}"
            )
        self.terms += 1
        seen = self.observed() if steps <= self.data["n"] else self.number()
        self.emit(f"observe {seen} ~ Normal({self.expr(1)}, {self.positive()})")
        self.indent, self.loop, self.names, self.guards = self.indent - 1, None, outer, guards
        self.emit("}")
        self.names.values.append(s)
        self.names.affine.append(s)
        if not ends:
            self.names.latents += [f"{z}[{k}]" for k in range(steps)]
            self.names.vectors.append((z, str(steps)))

    def outcomes_carried(self) -> None:
        """A walk whose elements decide terms, and whose outcomes are carried to the next iteration.

        Neighbouring elements may be compared with one threshold, in one iteration or in two.
        """
        z, on, i, steps = self.fresh("z"), self.fresh("on"), self.fresh("i"), int(self.rng.integers(2, 4))
        self.budget = max(0, self.budget - steps)
        level, other = self.number(-0.5, 0.8), self.number(-0.5, 0.8)
        other = level if self.chance(0.5) else other
        count = self.chance(0.4)
        self.emit(f"var {z}: real[{steps}]")
        self.emit(f"{on} = {'0' if count else self.pick(('true', 'false'))}")
        first = self.chance(0.5)
        if first:
            self.emit(f"{z}[0] ~ {self.law('real')}")
        self.emit(f"for {i} in {int(first)}..{steps} {{")
        outer, guards = self.names, self.guards
        self.indent, self.loop, self.names, self.guards = self.indent + 1, WITHOUT_INDEX, outer.copy(), []
        here, before = f"{z}[{i}]", f"{z}[{i} - 1]"
        held = f"{on} > 0" if count else on
        mean = f"(if {held} then {self.number()} else {self.number()})"
        self.emit(f"{here} ~ Normal({mean + f' + 0.4 * {before}' if first else mean}, {self.number(0.7, 1.3)})")
        guard = f"{here} {self.op()} {level}"
        if first and self.chance(0.5):
            guard = f"{guard} {self.pick(('and', 'or'))} {before} {self.op()} {other}"
        value = self.pick((f"{self.number()}", f"{self.number()} * {here}"))
        self.emit(f"observe {self.number(-1, 1.5)} ~ "
                  f"Normal(if {guard} then {value} else {self.number()}, {self.positive()})")  # fmt: skip
        kept = f"{here} {self.op()} {other}"
        if count:
            self.emit(f"if {kept} {{ {on} = {on} + 1 }}")
        else:
            self.emit(f"{on} = {kept if self.chance(0.5) else f'{kept} or ({on} and {here} < {self.number(0, 1.5)})'}")
        self.terms += 1
        if self.chance(0.5):
            self.emit(f"observe {self.number(-1, 1.5)} ~ Normal(if {held} then {self.number()} else {here}, 1.0)")
        self.indent, self.loop, self.names, self.guards = self.indent - 1, None, outer, guards
        self.emit("}")
        self.names.latents += [f"{z}[{k}]" for k in range(steps)]
        if count:
            self.names.ints.append(on)
        else:
            self.names.bools.append(on)

    def partial_branch(self) -> None:
        """Functions that are not evaluated where their branch is not taken, as values and in guards."""
        if self.budget:
            self.site()
        v, i = self.fresh("v"), self.fresh("i")
        looped = "n" in self.data and self.chance(0.5)
        outer, guards = self.names, self.guards
        if looped:
            self.emit(f"for {i} in 0..n {{")
            self.indent, self.loop, self.names, self.guards = self.indent + 1, i, outer.copy(), []
        self.emit(f"if {self.loop_guard(i) if looped else self.guard(0)} {{")
        self.indent += 1
        inner = f"{self.undefined()} {self.pick('<>')} {self.number(0.2, 1.2)}"
        self.weighted(
            (3, lambda: self.emit(f"{v} = if {inner} then {self.number()} else 0.5 * tanh({self.undefined()})")),
            (1, lambda: self.emit(f"{v} = tanh({self.undefined()})")),
            (1, lambda: self.emit(f"{v} = 0.3 * min(floor(2 * {self.undefined()}), 4)")),
        )
        self.indent -= 1
        self.emit(f"}} else {{ {v} = {self.number()} }}")
        self.terms += 1
        more = f" + 0.2 * {self.latent()}" if self.chance(0.5) else ""
        self.emit(f"observe {self.observed()} ~ Normal({v}{more}, {self.positive()})")
        if looped:
            self.indent, self.loop, self.names, self.guards = self.indent - 1, None, outer, guards
            self.emit("}")
        else:
            self.names.values.append(v)

    def undefined(self) -> str:
        """What has no value, or a huge one, for some values of its latent."""
        a, p = self.latent(), self.pick(self.names.positive) if self.names.positive else f"(1 + {self.latent()}^2)"
        return str(
            self.weighted(
                (2, lambda: f"log({p})"),
                (2, lambda: f"sqrt({p})"),
                (1, lambda: f"({p} + log({p}))"),
                (2, lambda: f"exp({self.number(0.2, 0.6)} * {a})"),
                (1, lambda: f"square({a})"),
                (1, lambda: f"1 / (0.6 + {p})"),
            )
        )
