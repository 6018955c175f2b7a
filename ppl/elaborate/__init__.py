"""Names, types, scopes and shapes are checked, functions inlined: syntax tree -> core program."""

from ppl.elaborate.program import elaborate

__all__ = ["elaborate"]
