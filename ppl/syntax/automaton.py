"""The LALR automaton: a stack of states and one of values, fed with tokens by hand, so that an error can be mended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ppl.syntax.tables import Rule, Tables, tables
from ppl.syntax.tokens import Lexeme


class Unexpected(Exception):
    """The grammar does not allow the token here."""


@dataclass(slots=True, eq=False, repr=False)
class Automaton:
    tables: Tables = field(default_factory=tables)
    states: list[int] = field(default_factory=lambda: [0])
    values: list[Any] = field(default_factory=list[Any])

    def feed(self, token: Lexeme) -> None:
        """Reads a token. Raises Unexpected, after the reductions that come before any token here."""
        while (action := self._action(token.type)) < 0:
            self._reduce(self.tables.rules[-1 - action])
        self.states.append(action)
        self.values.append(token)

    def finish(self) -> Any:
        """The value of the whole text. Raises Unexpected if the text is not complete."""
        while self.states[-1] != self.tables.end:
            self._reduce(self.tables.rules[-1 - self._action("$END")])
        return self.values[-1]

    def _reduce(self, rule: Rule) -> None:
        kept = len(self.values) - rule.size
        value = rule.reduce(self.values[kept:])
        del self.values[kept:], self.states[kept + 1 :]
        self.states.append(self.tables.states[self.states[-1]][rule.origin])
        self.values.append(value)

    def _action(self, symbol: str) -> int:
        action = self.tables.states[self.states[-1]].get(symbol)
        if action is None:
            raise Unexpected
        return action

    def accepts(self) -> frozenset[str]:
        """The terminals that can follow."""
        return frozenset(t for t in self.tables.states[self.states[-1]] if t.isupper() and self._can_read(t))

    def _can_read(self, terminal: str) -> bool:
        """Whether the reductions that `terminal` causes end in a state that reads it."""
        stack, table = list(self.states), self.tables.states
        while (action := table[stack[-1]].get(terminal)) is not None and action < 0:
            rule = self.tables.rules[-1 - action]
            del stack[len(stack) - rule.size :]
            stack.append(table[stack[-1]][rule.origin])
        return action is not None

    @property
    def height(self) -> int:
        return len(self.states)

    def cut(self, height: int) -> None:
        """Forgets what was read since the stack had this height. States are one more than values."""
        del self.states[height:], self.values[height - 1 :]
