"""The wording of data diagnostics that several places share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ppl.data.evaluate import names_in
from ppl.data.faults import shown
from ppl.data.grid import Value
from ppl.diagnostics import Diagnostic, did_you_mean
from ppl.syntax import ast

# Fields that explain the data rather than being data.
_DOCUMENTATION = frozenset(
    {"source", "sources", "note", "notes", "comment", "comments", "description", "license", "licence", "url"}
)
_MISSING_HINT = "give it in the data{}, or write `= VALUE` behind its type as a default"
_WHERE_DATA_ARE = " (`--data FILE`, or NAME.data.json beside NAME.ppl)"  # for who has given none yet
_NAMES_SHOWN = 5
_COMPARED = 200  # names considered for did-you-mean; comparing is quadratic in their number and length


def element_name(name: str, index: tuple[int, ...]) -> str:
    """`` `x` `` or `` `x[3, 1]` ``, as the language writes it."""
    return f"`{name}[{', '.join(map(str, index))}]`" if index else f"`{name}`"


def declared(d: ast.Data, values: Mapping[str, Value], sources: Mapping[str, str]) -> str:
    """`` `count` is declared `int[n]` with n = 6 ``."""
    return f"`{d.name}` is declared `{_type_text(d.type, sources)}`{_with_sizes(d.type, values)}"


def type_text(type_: tuple[str, int]) -> str:
    """A base type and a number of dimensions in words: ``a real``, ``an array of int with 2 dimensions``."""
    base, rank = type_
    if not rank:
        return f"an {base}" if base == "int" else f"a {base}"
    return f"an array of {base}" + (f" with {rank} dimensions" if rank > 1 else "")


def _type_text(type_: ast.TypeExpr, sources: Mapping[str, str]) -> str:
    span = type_.span
    if span.file in sources and span.line == span.end_line:
        lines = sources[span.file].split("\n")
        text = lines[span.line - 1][span.column - 1 : span.end_column - 1] if span.line <= len(lines) else ""
        if text.startswith(type_.base):
            return text.strip()
    return type_.base + (f"[{', '.join(map(_dim_text, type_.dims))}]" if type_.dims else "")


def _dim_text(expr: ast.Expr | None) -> str:
    if isinstance(expr, ast.Name):
        return expr.name
    return str(expr.value) if isinstance(expr, ast.Number) else "..."


def _with_sizes(type_: ast.TypeExpr, values: Mapping[str, Value]) -> str:
    sizes = _sizes(names_in(type_), values)
    return f" with {sizes}" if sizes else ""


def sizes_text(names: Iterable[str], values: Mapping[str, Value]) -> str:
    """`` (n = 6, k = 2)``, for those of the names that are scalars; empty if none is."""
    sizes = _sizes(names, values)
    return f" ({sizes})" if sizes else ""


def _sizes(names: Iterable[str], values: Mapping[str, Value]) -> str:
    scalars = {name: values[name] for name in names if isinstance(values.get(name), (int, float))}
    return ", ".join(f"{name} = {value}" for name, value in sorted(scalars.items()))


def missing_field(d: ast.Data, text: str, undeclared: Sequence[str], file: str | None) -> tuple[str, str, str]:
    """Code, message and hint for a field that has no value from anywhere."""
    where = f" in {shown(file)}" if file else ""
    close = next((name for name in _comparable(undeclared) if did_you_mean(name, [d.name])), None)
    hint = _MISSING_HINT.format("" if file else _WHERE_DATA_ARE)
    if close:
        hint = f"`{close}` is not declared: is it meant to be `{d.name}`?"
    return "PPL501", f"no value for `{d.name}`{where}; {text}", hint


def undeclared_note(undeclared: Sequence[str], absent: Sequence[str], file: str | None) -> Diagnostic | None:
    """One note about all given fields that the program does not declare, or None."""
    names = [n for n in undeclared if not (n.lower() in _DOCUMENTATION or n.startswith("_"))]
    if not names:
        return None
    listed = ", ".join(f"`{shown(name)}`" for name in names[:_NAMES_SHOWN])
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    fields, verb = ("field", "is") if len(names) == 1 else ("fields", "are")
    where = f" in {shown(file)}" if file else ""
    message = f"data {fields} {listed}{more}{where} {verb} not declared by the program, and ignored"
    close = next(((n, h) for n in _comparable(names) if (h := did_you_mean(n, absent))), None)
    hint = None if close is None else close[1] if len(names) == 1 else f"`{close[0]}`: {close[1]}"
    return Diagnostic("PPL508", message, None, hint, "note")


def _comparable(names: Sequence[str]) -> list[str]:
    return [name for name in names if len(name) <= 64][:_COMPARED]
