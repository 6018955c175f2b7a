"""pplc: a compiler for probabilistic programs that branch.

    import ppl
    model = ppl.load("model.ppl")
    fit = model.infer("data.json")

The command line is ``pplc``; see the README. Nothing here imports jax until data is bound.
"""

from typing import TYPE_CHECKING

from ppl.diagnostics import DataError, Diagnostic, InferenceError, InternalError, PplError, Span
from ppl.model import Model, load
from ppl.model import compile_text as compile

if TYPE_CHECKING:
    from ppl.infer import Fit, load_fit
    from ppl.problem import Problem

__version__: str

__all__ = [
    "DataError",
    "Diagnostic",
    "Fit",
    "InferenceError",
    "InternalError",
    "Model",
    "PplError",
    "Problem",
    "Span",
    "__version__",
    "compile",
    "load",
    "load_fit",
]


def __getattr__(name: str) -> object:
    """What takes long to import is imported when it is first asked for: names that need jax, and the version."""
    if name == "__version__":
        return _version()
    if name in ("Fit", "load_fit"):
        import ppl.infer

        return getattr(ppl.infer, name)
    if name == "Problem":
        from ppl.problem import Problem

        return Problem
    raise AttributeError(f"module 'ppl' has no attribute {name!r}")


def _version() -> str:
    """The version of the installed package; reading it imports a mail parser, among others."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("pplc")
    except PackageNotFoundError:  # a source tree that was never installed
        return "0+unknown"
