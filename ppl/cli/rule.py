"""``pplc rule``: what a diagnostic code means."""

from __future__ import annotations

import argparse
import textwrap

from ppl.cli.console import UsageError, put
from ppl.cli.main import FINE
from ppl.cli.rules import FAMILIES, RULES
from ppl.diagnostics import CODES

WIDTH = 100


def rule(options: argparse.Namespace) -> int:
    code = str(options.code).upper()
    code = code if code.startswith("PPL") else f"PPL{code}"
    if code not in CODES:
        from difflib import get_close_matches

        near = get_close_matches(code, CODES, 1)
        way_out = f"did you mean {near[0]}?" if near else "codes stand in square brackets in messages, such as PPL209"
        raise UsageError(f"no diagnostic {options.code}: {way_out}")
    parts = [f"{code}: {CODES[code]}", *([textwrap.fill(RULES[code], WIDTH)] if code in RULES else [])]
    put("\n\n".join([*parts, f"Family {code[3]}xx: {FAMILIES[code[3]]}."]) + "\n")
    return FINE
