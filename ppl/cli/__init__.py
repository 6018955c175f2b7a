"""The command line, ``pplc``. Importing it imports nothing heavy."""

from ppl.cli.main import main

__all__ = ["main"]
