"""The phases import one way only, and what needs no jax does not load it."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "ppl"
# Each part of the package may import from the parts before it. `runtime` is what emitted code needs: it stands alone.
ORDER = (
    "runtime", "record", "diagnostics", "resources", "language", "syntax", "core", "elaborate", "regions", "emit",
    "driver", "data", "bind", "problem", "predict", "infer", "plot", "sample", "testing", "model", "ppl", "cli",
)  # fmt: skip
WITHOUT_JAX = ORDER[ORDER.index("record") : ORDER.index("problem")]


def parts() -> list[str]:
    """The folders and modules of the package; ``ppl`` is its ``__init__``."""
    names = [p.stem for p in PACKAGE.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()]
    return sorted("ppl" if n == "__init__" else n for n in names)


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """(part of the package, line) of each import of ours in a file, those inside functions included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules = [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "ppl":
            modules = [f"ppl.{a.name}" if a.name in parts() else "ppl.ppl" for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            modules = [node.module or ""]
        else:
            continue
        for module in modules:
            first, *rest = module.split(".")
            if first == "ppl":
                yield (rest or ["ppl"])[0], node.lineno


def files(part: str) -> list[Path]:
    if part == "ppl":
        return [PACKAGE / "__init__.py"]
    folder = PACKAGE / part
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [PACKAGE / f"{part}.py"]


def test_the_order_names_every_part() -> None:
    assert sorted(ORDER) == parts()


@pytest.mark.parametrize("part", ORDER)
def test_imports_go_one_way(part: str) -> None:
    allowed = {part, *ORDER[: ORDER.index(part)]}
    if part == "infer":
        allowed.add("ppl")  # the version, written into saved fits
    if part == "ppl":
        allowed -= {"runtime"}
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path in files(part)
        for module, line in imports(path)
        if module not in allowed
    ]
    assert not wrong


@pytest.mark.parametrize("part", WITHOUT_JAX)
def test_phases_do_without_jax(part: str) -> None:
    for path in files(part):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            heavy = [n for n in names if n.split(".")[0] in ("jax", "optax", "xarray") or n.startswith("ppl.runtime")]
            assert not heavy, f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)} imports {heavy}"


TEXTMSG = str(ROOT / "programs" / "textmsg.ppl")


@pytest.mark.parametrize("arguments", [
    None, ["--help"], ["--version"], ["infer", "--help"], ["gradcheck", "--help"], ["sample", "--help"],
    ["compare", "--help"], ["rule", "PPL209"], ["check", TEXTMSG],
    ["explain", TEXTMSG], ["explain", "--json", TEXTMSG], ["emit", TEXTMSG],
], ids=lambda a: "import" if a is None else " ".join(Path(x).name for x in a))  # fmt: skip
def test_starts_without_jax(arguments: list[str] | None) -> None:
    """`import ppl` and every command that only looks at programs."""
    run = "import ppl" if arguments is None else f"from ppl.cli import main\nassert main({arguments!r}) == 0"
    code = (
        f"{run}\nimport sys\n"
        "heavy = sorted({'jax', 'jaxlib', 'lark', 'numpy', 'optax', 'xarray', 'scipy', 'rich'} & set(sys.modules))\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_program_compiles_without_jax() -> None:
    code = f"import ppl, sys\nm = ppl.load({TEXTMSG!r})\nm.source_code, m.explain()\nassert 'jax' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_importing_leaves_the_configuration_of_jax_alone() -> None:
    code = (
        "import jax\nbefore = dict(jax.config.values)\nimport ppl, ppl.infer, ppl.problem\n"
        "changed = {k for k, v in jax.config.values.items() if before.get(k) != v}\nassert not changed, changed\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
