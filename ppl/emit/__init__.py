"""Regions -> the text of a JAX module."""

from ppl.emit.module import emit

__all__ = ["emit"]
