"""The phases, in order. It neither prints nor exits; the command line and the Python API both call it.

source -> tree -> AST (syntax) -> core program (elaborate, fuse) -> regions (regions) -> JAX source (emit)
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property

from ppl.core.fuse import fuse
from ppl.diagnostics import Diagnostic, Diagnostics, in_source_order
from ppl.elaborate import elaborate
from ppl.elaborate.program import Elaborated
from ppl.regions import Regions, extract
from ppl.regions.choice import Asked, Wish, wishes
from ppl.regions.model import Learned
from ppl.resources import read_text, stdlib_path
from ppl.syntax import ast, parse


@dataclass(frozen=True)
class Compiled:
    """Everything the phases produced for one program."""

    name: str
    tree: ast.Module
    elaborated: Elaborated
    regions: Regions
    file: str
    diagnostics: tuple[Diagnostic, ...]  # warnings and notes
    said: tuple[Diagnostic, ...]  # those of them that do not depend on how guards are classified
    sources: dict[str, str]
    optimize: tuple[str, ...] | None = None
    asked: tuple[Wish, ...] = ()

    @cached_property
    def source_code(self) -> str:
        """The emitted JAX module, made when it is first asked for: checking a program does not need it."""
        from ppl.emit import emit

        with deep_recursion():
            return emit(self.regions, self.file)

    @property
    def data(self) -> tuple[ast.Data, ...]:
        return tuple(s for s in self.tree.statements if isinstance(s, ast.Data))


def compile_source(
    text: str, file: str, name: str, folder: str | None = None, optimize: Iterable[str] | None = None,
    lines: Asked = None,
) -> Compiled:  # fmt: skip
    """Runs all phases on a program. Raises PplError with everything that is wrong with it.

    `file` is the name that diagnostics show, `folder` where `use NAME` looks beside the standard library, `optimize`
    the names of the optimisations to do (see `ppl.regions.optimize`; None: all), `lines` the lines that guards shall
    have (see `ppl.regions.choice.wishes`; None: those of the rule).
    """
    asked, optimize = wishes(lines), None if optimize is None else tuple(optimize)
    sink = Diagnostics({file: text})
    tree = parse(text, file, sink)
    imported = imports(tree, folder, sink)
    sink.raise_if_errors()
    with deep_recursion():
        elaborated = elaborate(name, tree, imported, sink)
        sink.raise_if_errors()
        program, definitions = fuse(elaborated.program, elaborated.definitions)
        elaborated = replace(elaborated, program=program, definitions=definitions)
        said = tuple(sink.items)
        regions = extract(elaborated, sink, optimize, asked, file)
        sink.raise_if_errors()
    found = in_source_order(sink.items)
    return Compiled(name, tree, elaborated, regions, file, found, said, dict(sink.sources), optimize, asked)


def with_learned(compiled: Compiled, learned: Learned) -> Compiled:
    """The program with its guards classified anew, by what the data say of them too, which may retract warnings."""
    sink = Diagnostics(dict(compiled.sources), list(compiled.said))
    with deep_recursion():
        regions = extract(compiled.elaborated, sink, compiled.optimize, compiled.asked, compiled.file, learned)
    return replace(compiled, regions=regions, diagnostics=in_source_order(sink.items))


@contextmanager
def deep_recursion(frames: int = 20_000) -> Generator[None]:
    """Room for expressions as deep as the parser admits (250 levels), whatever the caller's limit."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, frames))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def imports(tree: ast.Module, folder: str | None, sink: Diagnostics) -> tuple[ast.Module, ...]:
    """The prelude and every file that is used, each once, in the order they are met."""
    modules: list[ast.Module] = []
    seen: set[str] = {"prelude"}
    queue: list[ast.Use | None] = [None, *(s for s in tree.statements if isinstance(s, ast.Use))]
    while queue:
        use = queue.pop(0)
        if use is not None and use.name in seen:
            continue
        name = "prelude" if use is None else use.name
        seen.add(name)
        found = read_module(name, use, folder, sink)
        if found is None:
            continue
        file, text = found
        sink.sources[file] = text
        module = parse(text, file, sink)
        modules.append(module)
        queue.extend(s for s in module.statements if isinstance(s, ast.Use))
    return tuple(modules)


def read_module(name: str, use: ast.Use | None, folder: str | None, sink: Diagnostics) -> tuple[str, str] | None:
    """(file, text) of a used module: from the standard library or from beside the model, never from both."""
    library = os.path.join(stdlib_path(), f"{name}.ppl")
    beside = None if folder is None or use is None else os.path.join(folder, f"{name}.ppl")
    in_library, is_beside = os.path.isfile(library), beside is not None and os.path.isfile(beside)
    span = None if use is None else use.name_span
    if in_library and is_beside:
        sink.error("PPL107", f"`{name}` is in the standard library and beside the model", span, "rename your file")
        return None
    if in_library:
        return f"stdlib/{name}.ppl", read_text(library)
    if beside is not None and is_beside:
        try:
            return beside, read_text(beside)
        except (OSError, UnicodeDecodeError) as e:
            sink.error("PPL107", f"`{name}.ppl` cannot be read: {e}", span)
            return None
    sink.error(
        "PPL107", f"no `{name}.ppl` in the standard library or beside the model", span, "`use` takes a file's name"
    )
    return None
