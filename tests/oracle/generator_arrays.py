"""Programs of arrays that statements fill: elements drawn beside assigned ones, and arrays that other loops made.

What an array is named after says nothing of an element here: it may be a latent, a datum, an exact zero, or what other
elements make.
"""

from __future__ import annotations

from typing import Any

from generator_words import Names


class Arrays:
    """Mixed into the generator's kinds. Every loop has few iterations: a line crosses each guard of each."""

    names: Names
    rng: Any
    data: dict[str, Any]

    def tested(self, n: int, element: str, *others: str) -> None:
        """A loop of one or two guards on elements, some of them through state."""
        state, outside = self.chance(0.5), [x.replace("[i]", "[0]") for x in others]
        if state:
            self.emit(f"s = {self.either('0.0', *(f'1.0 * {x}' for x in outside))}")
        self.emit("for i in 0..n {")
        left = self.either(
            element, element, f"{element} * {self.either(*others)}", f"{element} + {self.either(*others)}",
            f"d[i] * {element}", f"{element} * {element}",
        )  # fmt: skip
        right = self.either("t[i]", "0", "0.3", *others)
        if state:
            left, right = self.pick(((left, right), (left, "s"), (f"s + {left}", right)))
        for _ in range(int(self.rng.integers(1, 3))):
            effect = "s = s + 0.4" if state and self.chance(0.4) else self.term("i", element, *others)
            rest = f" else {{ {self.term('i', *others)} }}" if self.chance(0.3) else ""
            self.emit(f"    if {left} {self.op()} {right} {{ {effect} }}{rest}")
            left, right = element, self.either("t[i]", "0", *others)
        if state:
            self.emit(f"    s = {self.either('s', f's + 0.6 * {element}', f'0.5 * s + {element}', element)}")
        self.emit("}")
        if state:
            self.emit(f"if s > {self.either('0.4', *outside)} {{ factor {self.weight()} }}")

    # ------------------------------------------------------------------ mixed

    def mixed(self) -> None:
        """Elements that are drawn where data or a position say so, and assigned elsewhere."""
        n = int(self.rng.integers(2, 4))
        self.numbers_in_data(n, self.chance(0.5))
        self.factors_in_data(n, -0.7)
        self.data["here"] = [int(v) for v in self.rng.integers(0, 2, n)]
        self.emit("data here: int[n]")
        self.budget = 0
        (x,) = self.latents("real")
        z = self.fresh("z")
        self.emit(f"var {z}: real[n]")
        drawn = f"{z}[i] ~ Normal({self.either('0.2', x, 'd[i]')}, {self.number(0.6, 1.2)})"
        value = self.either("d[i]", "0", x, f"0.5 * {x} + d[i]", f"d[i] * {x}", f"(if {x} > 0.2 then {x} else 0)")
        first = self.either("i == 0", "here[i] == 1", "here[i] == 1")
        if self.chance(0.4):  # of elements before it
            value, first = self.pick(((f"{z}[i - 1]", "i == 0"), (f"0.6 * {z}[i - 1] + {value}", "i == 0"),
                                      (f"{z}[max(i - 1, 0)]", "i == 0 or here[i] == 1")))  # fmt: skip
        self.emit(f"for i in 0..n {{ if {first} {{ {drawn} }} else {{ {z}[i] = {value} }} }}")
        at = self.either("i", "i", "n - 1 - i", "0", "n - 1")
        self.tested(n, f"{z}[{at}]", x)

    # ----------------------------------------------------------------- filled

    def filled(self) -> None:
        """Arrays made from latents, read by later loops, or by the loop itself at a fixed place."""
        n = int(self.rng.integers(2, 4))
        self.numbers_in_data(n, self.chance(0.5))
        self.factors_in_data(n, -0.7)
        self.budget = 0
        (x,) = self.latents("real")
        z = self.own_latents(n)
        w = self.fresh("w")
        self.emit(f"var {w}: real[n]")
        value = self.either(f"{z}[i] * {x}", f"{z}[i] + d[i]", f"0.5 * {z}[i] + {x}", f"d[i] * {z}[i]",
                            f"(if {z}[i] > t[i] then {z}[i] else d[i])", f"max({z}[i], {x})")  # fmt: skip
        how = self.pick(("own", "behind", "ahead", "turned", "chain"))
        other = value.replace("[i]", "[i + 1]")
        match how:
            case "own":
                self.emit(f"for i in 0..n {{ {w}[i] = {value} }}")
            case "behind":
                self.emit(f"{w}[0] = {self.either('0', x, f'{z}[0]')}")
                self.emit(f"for i in 0..n - 1 {{ {w}[i + 1] = {value} }}")
            case "ahead":
                self.emit(f"{w}[n - 1] = {self.either('0.3', x)}")
                self.emit(f"for i in 0..n - 1 {{ {w}[i] = {other} }}")
            case "turned":
                self.emit(f"for i in 0..n {{ {w}[n - 1 - i] = {value} }}")
            case _:
                self.emit(f"for i in 0..n {{ {w}[i] = if i == 0 then {x} else 0.5 * {w}[max(i - 1, 0)] + {value} }}")
        if self.chance(0.3):
            self.emit(f"for i in 0..n {{ if {w}[{self.either('i', '0')}] > t[i] {{ {self.term('i', f'{z}[i]')} }} }}")
        if self.chance(0.3):  # a loop that tests what it has filled itself
            v = self.fresh("v")
            self.emit(f"var {v}: real[n]")
            self.emit("for i in 0..n {")
            self.emit(f"    {v}[i] = {self.either(f'{w}[i] * {x}', f'{w}[i] + {z}[i]', f'{z}[i] * {x}')}")
            self.emit(f"    if {v}[{self.either('0', '0', 'i')}] > {self.either('0.2', x)} {{ {self.term('i', x)} }}")
            self.emit("}")
        self.tested(n, self.either(f"{w}[i]", f"{z}[i]", f"({w}[i] - {z}[i])"), x, f"{w}[i]", f"{z}[i]")
