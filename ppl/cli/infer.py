"""``pplc infer``."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from ppl.cli.console import UsageError, is_watched, put, tell
from ppl.cli.hosts import joined
from ppl.cli.inspect import data_for, load_model, noted
from ppl.cli.main import FINE
from ppl.cli.output import check_writable, why
from ppl.cli.parser import budget_asked, lines_asked
from ppl.diagnostics import counted

if TYPE_CHECKING:
    from ppl.infer import Fit, Progress
    from ppl.problem import Problem

OF_FITS = (
    "guide", "steps", "samples", "lr", "starts", "minibatch", "boundary_budget", "line", "checkpoint", "resume", "init",
    "devices", "distributed", "coordinator",
)  # fmt: skip


def infer(options: argparse.Namespace) -> int:
    """Fits, prints, saves. What can be refused is refused before the fit starts."""
    if options.resume and options.checkpoint is None:
        raise UsageError("--resume needs --checkpoint PATH")
    if options.method != "vi":
        for name in OF_FITS:
            if getattr(options, name) not in (None, False):
                raise UsageError(f"--{name.replace('_', '-')} is for fits: --method {options.method} has no use for it")
    with joined(options) as hosts:
        first = hosts is None or hosts.first
        options.quiet = options.quiet or not first
        with nullcontext() if hosts is None else hosts.together():
            problem = _problem(options, first)
        if options.method != "vi":
            from ppl.cli.sampling import infer_by_sampling

            return infer_by_sampling(problem, options)
        result = _fitted(problem, options)
    if first:
        try:
            _show(result, options.json)
        finally:  # a stdout that cannot be written must not lose the fit
            if options.out is not None:
                _save(result, options.out)
    if options.require_converged:  # not before: hours of work are worth a look, and a place to go on from
        from ppl.infer import check_converged

        check_converged(result)
    return FINE


def _problem(options: argparse.Namespace, writes: bool) -> Problem:
    """The program with its data; `writes`: whether this process saves what comes of it."""
    for path in (options.out, options.checkpoint):
        if path is not None and writes:
            check_writable(path)
    return bound_problem(options.file, options, lines_asked(options))


def bound_problem(file: str, options: argparse.Namespace, lines: Mapping[str | int, str] | None = None) -> Problem:
    """The program in `file` with its data, its warnings shown on stderr. `lines`: see `ppl.load`."""
    model = load_model(file, lines)
    configure_jax(options.precision)
    with noted(model, options.quiet) as said:
        problem = model.bind(data_for(file, options.data))
        said[:] = problem.diagnostics
    return problem


def _fitted(problem: Problem, options: argparse.Namespace) -> Fit:
    _remark(problem, options)
    from ppl.infer import SettingsError, fit

    try:
        with fit_progress(options.quiet) as progress:
            return fit(
                problem,
                guide=options.guide,
                estimator=options.estimator,
                seed=options.seed,
                steps=options.steps,
                samples=options.samples,
                lr=options.lr,
                starts=options.starts,
                noise=options.noise,
                stl=options.stl,
                minibatch=options.minibatch,
                init=options.init or "prior",
                progress=progress,
                checkpoint=options.checkpoint,
                resume=options.resume,
                **budget_asked(options),
                devices=options.devices,
                **({} if options.draws is None else {"draws": options.draws}),
            )
    except SettingsError as error:
        raise UsageError(str(error)) from error
    except OSError as error:
        raise UsageError(f"cannot open {options.init}: {error.strerror or error}") from error
    except KeyboardInterrupt:
        if options.checkpoint is not None:
            tell(f"the run so far is in {options.checkpoint}; --resume continues it")
        raise


def _remark(problem: Problem, options: argparse.Namespace) -> None:
    """What the user may not expect of what the options ask for."""
    if options.quiet:
        return
    if options.estimator == "interior":
        tell("the interior estimator ignores every boundary: its gradient, and so this fit, is biased")
    if problem.own_guide is not None and options.guide not in (None, "program", "auto"):
        tell(f"the `guide` block of the program is set aside for --guide {options.guide}")
    from ppl.infer.devices import share
    from ppl.infer.settings import Settings

    starts, samples = options.starts or Settings().starts, options.samples or Settings().samples
    devices = share(options.devices, starts, samples)
    if devices is not None and devices.idle:
        work = f"{counted(starts, 'start')} and {counted(samples, 'sample')}"
        tell(f"{counted(devices.idle, 'device')} idle: {work} share evenly among {devices.mesh.size} at most")


def configure_jax(bits: int | None) -> None:
    """Precision, and a folder for compiled programs: the second fit of a model need not compile it again."""
    import jax

    cache = _cache_folder()
    config: Any = jax.config  # its own annotations do not say what it takes
    if cache is not None:
        config.update("jax_compilation_cache_dir", cache)
        config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    wide = bits == 64 if bits is not None else jax.default_backend() == "cpu"
    config.update("jax_enable_x64", wide)


def _cache_folder() -> str | None:
    """The user's cache folder for pplc; None if it cannot be used, PPLC_NO_CACHE is set, or JAX's own variable names
    another one."""
    if os.environ.get("PPLC_NO_CACHE") or "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return None
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = os.path.join(base, "pplc", "jax")
    if not os.path.isabs(folder):
        return None
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK | os.X_OK) else None


def _show(fit: Fit, as_json: bool) -> None:
    if as_json:
        put(json.dumps(fit.to_json(), sort_keys=True, allow_nan=False) + "\n")
        return
    from ppl.cli.posterior import posterior_report

    put(posterior_report(fit) + "\n")


def _save(fit: Fit, path: str) -> None:
    try:
        fit.save(path)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {why(error)}") from error


@contextmanager
def fit_progress(quiet: bool) -> Generator[Callable[[Progress], None] | None]:
    """A callback that draws progress on stderr, or None where nobody is looking."""
    if quiet or not is_watched():
        yield None
        return
    from rich.console import Console
    from rich.status import Status

    with Status("compiling", console=Console(stderr=True)) as status:

        def show(p: Progress) -> None:
            total = "" if p.total is None else f" of {p.total}"
            status.update(f"step {p.step}{total}   ELBO {p.elbo:.2f} +- {p.elbo_se:.2f}   {p.seconds:.0f} s")

        yield show
