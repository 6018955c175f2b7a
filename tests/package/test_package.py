"""The package on disk, the wheel and the source distribution: complete, and usable away from the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SOURCES = ("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md")
FOLDERS = ("ppl", "grammar", "stdlib", "programs", "docs")


def test_every_package_is_listed() -> None:
    found = {".".join(p.parent.relative_to(ROOT).parts) for p in (ROOT / "ppl").rglob("__init__.py")}
    listed = set(PROJECT["tool"]["setuptools"]["packages"])
    assert found | {"ppl._grammar", "ppl._stdlib"} == listed


def test_licence() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text and "END OF TERMS AND CONDITIONS" in text
    assert PROJECT["project"]["license"] == "Apache-2.0"


def test_requirements_are_what_is_imported() -> None:
    """Every distribution that the package imports is declared, and the other way round."""
    names = {r.split(">")[0].split("<")[0].strip().replace("-", "_") for r in PROJECT["project"]["dependencies"]}
    text = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "ppl").rglob("*.py"))
    # jaxlib is the other half of jax; xarray writes netCDF through h5netcdf, by its name, and that through h5py.
    assert not [
        n for n in names - {"jaxlib", "h5netcdf", "h5py"} if f"import {n}" not in text and f"from {n}" not in text
    ]
    assert '"h5netcdf"' in text


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the source distribution, so that both are covered. Nothing is downloaded."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in SOURCES:
        shutil.copy(ROOT / name, source)
    for name in FOLDERS:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    build = "import setuptools.build_meta as b, sys; print(getattr(b, sys.argv[1])(sys.argv[2]))"
    run([sys.executable, "-c", build, "build_sdist", str(out)], source)
    (archive,) = out.glob("pplc-*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(out, filter="data")
    run([sys.executable, "-c", build, "build_wheel", str(out)], out / archive.name.removesuffix(".tar.gz"))
    (path,) = out.glob("pplc-*.whl")
    return path


def run(command: list[str], cwd: Path, **env: str) -> str:
    done = subprocess.run(command, cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_wheel_is_complete(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {str(p.relative_to(ROOT)) for p in (ROOT / "ppl").rglob("*.py")} | {"ppl/py.typed"}
    expected |= {f"ppl/_grammar/{p.name}" for p in (ROOT / "grammar").iterdir() if p.is_file()}
    expected |= {f"ppl/_stdlib/{p.name}" for p in (ROOT / "stdlib").iterdir() if p.is_file()}
    assert not expected - names
    assert not [n for n in names - expected if ".dist-info/" not in n]
    assert any(n.endswith("licenses/LICENSE") for n in names)


@pytest.fixture(scope="module")
def elsewhere(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the unpacked wheel in ``site`` and a copied program."""
    folder = tmp_path_factory.mktemp("elsewhere")
    zipfile.ZipFile(wheel).extractall(folder / "site")
    shutil.copy(ROOT / "programs" / "one_if.ppl", folder)
    return folder


@pytest.mark.parametrize("arguments", [
    ["check", "one_if.ppl"], ["explain", "one_if.ppl"], ["emit", "one_if.ppl"],
    ["infer", "one_if.ppl", "--steps", "5", "--starts", "1", "--draws", "50", "-q"],
], ids=lambda a: a[0])  # fmt: skip
def test_wheel_works_elsewhere(elsewhere: Path, arguments: list[str]) -> None:
    site = str(elsewhere / "site")
    code = (
        "import sys\nimport ppl\nfrom ppl.cli import main\n"
        f"assert ppl.__file__.startswith({site!r}), ppl.__file__\n"
        f"sys.exit(main({arguments!r}))"
    )
    out = run([sys.executable, "-P", "-c", code], elsewhere, PYTHONPATH=site)
    assert out or arguments[0] == "check"


def test_wheel_finds_the_standard_library(elsewhere: Path) -> None:
    program = "use curves\nx ~ Normal(0, 1)\nfactor hinge(x, 1) + seasonal(x, 1, 1, 0)\n"
    code = f"import ppl; print(ppl.compile({program!r}).source_code)"
    assert "def model" in run([sys.executable, "-P", "-c", code], elsewhere, PYTHONPATH=str(elsewhere / "site"))
