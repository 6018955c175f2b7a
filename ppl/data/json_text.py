"""JSON text to data fields, with a place in the text for everything that is wrong with it."""

from __future__ import annotations

import json
import re
from typing import NoReturn, cast

from ppl.data.faults import reject, shown
from ppl.diagnostics import Span

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"?|[{}\[\]:,]', re.DOTALL)
_MAX_DEPTH = 200


class _DuplicateKey(Exception):
    pass


def parse_json(text: str, file: str) -> dict[str, object]:
    """The fields of one JSON object. NaN and Infinity are read, so that the field that holds them can be named.

    Raises:
        DataError: not JSON, a key twice, nested too deeply, or not an object.
    """
    try:
        value = _loads(text)
    except json.JSONDecodeError as error:
        _reject_syntax(error, text, file)
    except _DuplicateKey as error:
        key, span = str(error), _place_of_duplicate(text, file)
        reject(f"the key `{shown(key)}` occurs twice in one object", span, text)
    except RecursionError:
        reject(f"brackets are nested deeper than {_MAX_DEPTH}", _place_of_depth(text, file), text)
    if not isinstance(value, dict):
        came = "an array" if isinstance(value, list) else "a single value"
        hint = 'write { "name": value, ... }'
        reject(f"data must be one JSON object of named fields, and this is {came}", Span(file, 1, 1, 1, 2), text, hint)
    return cast("dict[str, object]", value)


def _loads(text: str) -> object:
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError:
        raise
    except ValueError:  # an int of more digits than Python reads: rare, so the slow way is taken only then
        return json.loads(text, object_pairs_hook=_unique, parse_int=_any_int)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _DuplicateKey(key)
            seen.add(key)
    return result


def _any_int(digits: str) -> int:
    """An int; one of hundreds of digits becomes another beyond every range, as it is reported without its digits."""
    return int(digits) if len(digits) <= 400 else (-1 if digits[0] == "-" else 1) * 10**400


_WORDS = {
    "Expecting value": "a value is expected here",
    "Expecting ',' delimiter": "a comma or a closing bracket is expected here",
    "Expecting ':' delimiter": "a colon is expected here",
    "Expecting property name enclosed in double quotes": "a field name in double quotes is expected here",
    "Illegal trailing comma before end of object": "a comma before the closing brace",
    "Illegal trailing comma before end of array": "a comma before the closing bracket",
    "Extra data": "text after the end of the data",
}


def _reject_syntax(error: json.JSONDecodeError, text: str, file: str) -> NoReturn:
    if not text.strip():
        reject("the file is empty", file, hint='write a JSON object: { "name": value, ... }')
    said = error.msg.rstrip(":")
    said = _WORDS.get(said, said[:1].lower() + said[1:])
    at_end = " (the text ends early)" if error.pos >= len(text.rstrip()) else ""
    span = Span(file, error.lineno, error.colno, error.lineno, error.colno + 1)
    reject(f"this is not JSON: {said}{at_end}", span, text)


def _place(text: str, file: str, start: int, end: int) -> Span:
    line = text.count("\n", 0, start) + 1
    column = start - (text.rfind("\n", 0, start) + 1) + 1
    return Span(file, line, column, line, column + end - start)


def _place_of_depth(text: str, file: str) -> Span:
    depth = 0
    for token in _TOKEN.finditer(text):
        depth += (token[0] in "[{") - (token[0] in "]}")
        if depth > _MAX_DEPTH:
            return _place(text, file, token.start(), token.end())
    return Span(file, 1, 1, 1, 2)


def _place_of_duplicate(text: str, file: str) -> Span:
    """Where the first key stands that its object has already. The text is known to be JSON up to there."""
    keys: list[set[str] | None] = []  # of each open bracket; None for an array
    string: re.Match[str] | None = None
    for token in _TOKEN.finditer(text):
        if token[0] in ("{", "["):
            keys.append(set() if token[0] == "{" else None)
        elif token[0] in ("}", "]"):
            keys.pop()
        elif token[0] == ":" and string is not None:
            open_keys, key = keys[-1], json.loads(string[0])
            if open_keys is not None and key in open_keys:
                return _place(text, file, string.start(), string.end())
            if open_keys is not None:
                open_keys.add(key)
        string = token if token[0][0] == '"' else None
    return Span(file, 1, 1, 1, 2)
