"""The syntax phase: from text to an AST with spans. See :func:`parse`."""

from ppl.syntax.parse import parse

__all__ = ["parse"]
