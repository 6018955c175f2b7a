"""What the command line accepts."""

from __future__ import annotations

import argparse
import math
from typing import Any, NoReturn

from ppl.cli.console import complain, put
from ppl.language.budget import AUTO, Budget

DESCRIPTION = "A compiler for probabilistic programs that branch, and the inference that goes with it."
EPILOG = """\
exit codes: 0 fine; 1 the program is rejected; 2 wrong usage, or a FILE that cannot be opened; 3 the data do not fit
the model or cannot be read; 4 inference failed; 5 gradcheck found the estimator biased; 70 a bug of pplc;
130 interrupted.

FILE is NAME.ppl, or - for standard input. Without --data, NAME.data.json beside it is used when it is there."""


def build_parser() -> argparse.ArgumentParser:
    """The parser of ``pplc``; ``command`` in its result names the subcommand."""
    parser = _Parser(
        prog="pplc", description=DESCRIPTION, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress, notes or warnings on stderr")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)

    def command(name: str, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        sub.add_argument("-q", "--quiet", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        return sub

    _infer_options(command("infer", "fit a program and print its posterior"))
    check = command("check", "parse and check programs")
    check.add_argument("files", metavar="FILE", nargs="+")
    explain = command("explain", "say what becomes of every guard")
    _add_file(explain)
    _add_budget(explain)
    _add_lines(explain)
    explain.add_argument("--json", action="store_true", help='print {"sites": [...], "guards": [...], ...} on stdout')
    emit = command("emit", "print the JAX module that a program compiles to")
    emit.add_argument("file", metavar="FILE")
    _add_lines(emit)
    emit.add_argument("-o", "--output", metavar="OUT.py", help="write there instead of to stdout")
    _gradcheck_options(
        command("gradcheck", "check that the gradient of a program is unbiased, and how biased plain AD is")
    )
    summary = command("summary", "print the posterior table of a saved fit")
    summary.add_argument("fit", metavar="FIT.nc")
    summary.add_argument("--json", action="store_true", help="print it as one JSON object on stdout")
    plot = command("plot", "draw a saved fit: the ELBO, the posterior beside the prior, the branches")
    plot.add_argument("fit", metavar="FIT.nc")
    plot.add_argument("-o", "--output", metavar="FILE", help="a .png, .svg or .pdf (default: FIT.png)")
    plot.add_argument("--kind", choices=("overview", "trace", "posterior", "branches"), default="overview",
                      help="default: overview, which is all of them")  # fmt: skip
    _compare_options(command("compare", "put a saved fit beside another, or beside a sampler"))
    rule = command("rule", "explain a diagnostic code")
    rule.add_argument("code", metavar="CODE", help="such as PPL209")
    _sample_options(command("sample", "draw from the prior or a posterior, and replicate the observations"))
    return parser


class _Parser(argparse.ArgumentParser):
    """No abbreviated options: a script that relies on one breaks when another option is added."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs, allow_abbrev=False)

    def print_help(self, file: object = None) -> None:
        put(self.format_help())

    def error(self, message: str) -> NoReturn:
        complain(f"{self.format_usage()}{self.prog}: error: {message}\n")
        raise SystemExit(2)


def _add_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("--data", metavar="D", help="data: a .json, .csv or .npz file")


def _infer_options(parser: argparse.ArgumentParser) -> None:
    _add_file(parser)
    option = parser.add_argument
    option("--method", choices=("vi", "nuts", "smc"), default="vi",
           help="default: vi, a fit; nuts and smc sample with BlackJAX, to check fits against")  # fmt: skip
    option("--guide",
           help="meanfield (default), fullrank, lowrank, lowrank:RANK or chain; flow, or flow: and one of these, for "
           "latents with skewed posteriors; program, the one that it describes in a `guide` block (default if it "
           "does); a description, such as 'x, y ~ FullRank(); z ~ MeanField()'; or auto, which compares")  # fmt: skip
    option("--estimator", choices=("combined", "interior", "score"), default="combined",
           help="default: combined; interior is what plain automatic differentiation gives, and biased")  # fmt: skip
    option("--steps", type=_count, metavar="N", help="make exactly N steps (default: until converged)")
    option("--samples", type=_count, metavar="N", help="draws behind each gradient (default: 2)")
    option("--noise", choices=("antithetic", "independent", "qmc"), default="antithetic",
           help="how these draws depend on each other (default: antithetic pairs)")  # fmt: skip
    option("--minibatch", type=_count, metavar="M",
           help="iterations of each observation loop that a draw sees, chosen at random (default: all)")  # fmt: skip
    _add_budget(parser)
    _add_lines(parser)
    option("--stl", action="store_true", help="sticking the landing: less noise where the guide fits well")
    option("--lr", type=_positive, metavar="X", help="first step in prior standard deviations (default: 0.05)")
    option("--starts", type=_count, metavar="N", help="optimisations side by side, the best is kept (default: 16)")
    option("--init", metavar="prior|median|FILE",
           help="where starts are: prior (default), median, saved as FIT.nc, or values in a .json file")  # fmt: skip
    option("--seed", type=_seed, default=0, metavar="N", help="default: 0; equal seeds give equal results")
    option("--draws", type=_count, metavar="N", help="posterior draws (default: 4000; of a sampler, 1000 per chain)")
    _add_chains(parser)
    option("--out", metavar="FIT.nc", help="save the fit as netCDF, for ArviZ and ppl.load_fit")
    option("--checkpoint", metavar="PATH", help="save the run there as it goes")
    option("--resume", action="store_true", help="continue from --checkpoint if there is something")
    option("--require-converged", action="store_true", help="exit 4 if the run ends before it converged")
    option("--devices", type=_count, metavar="N", help="devices of this machine that share the work (default: all)")
    option("--distributed", action="store_true",
           help="one of several processes, started by a launcher that jax knows (Slurm, Open MPI, ...)")  # fmt: skip
    option("--coordinator", metavar="HOST:PORT",
           help="without such a launcher: where process 0 can be reached, and a free port there")  # fmt: skip
    option("--processes", type=_count, metavar="N", help="how many there are")
    option("--process", type=_seed, metavar="I", help="which one this is; process 0 prints and writes files")
    option("--join-timeout", type=_count, metavar="SECONDS", help="how long to wait for the others (default 300)")
    _add_precision(parser)
    option("--json", action="store_true", help="print the result as one JSON object on stdout")


def _gradcheck_options(parser: argparse.ArgumentParser) -> None:
    _add_file(parser)
    option = parser.add_argument
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--at", choices=("start", "init", "fitted"), default="start",
                       help="parameters: where a fit starts (default), standard normal, or fitted now")  # fmt: skip
    where.add_argument("--params", metavar="FIT.nc", help="the parameters of a fit that infer --out saved")
    option("--guide", help="family of the approximation, as for infer (default: that of --params)")
    option("--estimator", choices=("combined", "interior", "score"), default="combined",
           help="the one that decides the exit code (default: combined); interior is plain AD")  # fmt: skip
    _add_budget(parser)
    _add_lines(parser)
    option("--draws", type=_count, metavar="N", help="draws behind each estimate (default: 100000)")
    option("--seed", type=_seed, default=0, metavar="N", help="default: 0; equal seeds give equal results")
    _add_precision(parser)
    option("--json", action="store_true", help="print every gradient in one JSON object on stdout")
    parser.epilog = (
        "exit codes: 0 no bias found; 5 the estimator is biased or not finite; 4 the log density is not finite, a fit "
        "failed, or the noise is too large to say anything; 1, 2, 3 as for infer"
    )


def _compare_options(parser: argparse.ArgumentParser) -> None:
    option = parser.add_argument
    option("fit", metavar="FIT.nc")
    option("other", metavar="OTHER.nc", nargs="?")
    option("--method", choices=("nuts", "smc"), help="compare with a sampler of BlackJAX, run now")
    option("--program", metavar="FILE", help="the program of the fit, for --method")
    option("--data", metavar="D", help="its data: a .json, .csv or .npz file")
    _add_chains(parser)
    option("--draws", type=_count, metavar="N", help="draws of each chain (default: 1000)")
    option("--seed", type=_seed, default=0, metavar="N", help="default: 0; equal seeds give equal results")
    _add_precision(parser)
    option("--json", action="store_true", help="print both and their differences as one JSON object on stdout")


def _add_budget(parser: argparse.ArgumentParser) -> None:
    text = (
        "instances of a guard that a draw evaluates where each takes the program once more: exact up to there, an "
        f"unbiased random subset of that size beyond; {AUTO}, the default, is what a cost model finds for each guard"
    )
    parser.add_argument("--boundary-budget", type=_budget, metavar="K|all|auto", help=text)


def _add_lines(parser: argparse.ArgumentParser) -> None:
    text = (
        "along which line the guard at LINE or LINE:COLUMN is crossed, or all that can be: normal, coordinate, or the "
        "latent that moves; may be given several times (default: the one that explain shows)"
    )
    parser.add_argument("--line", type=_line, action="append", metavar="[WHERE=]WHICH", help=text)


def _add_chains(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--chains", type=_count, metavar="N", help="chains of a sampler, side by side (default: 4)")
    parser.add_argument("--warmup", type=_count, metavar="N", help="steps in which nuts adapts (default: 1000)")


def _sample_options(parser: argparse.ArgumentParser) -> None:
    _add_file(parser)
    option = parser.add_argument
    option("--from", dest="source", default="prior", metavar="prior|FIT.nc",
           help="the prior (default), or a fit that infer --out saved")  # fmt: skip
    option("--predictive", action="store_true", help="draw what is observed, too")
    option("--draws", type=_count, default=1000, metavar="N", help="default: 1000")
    option("--seed", type=_seed, default=0, metavar="N", help="default: 0; equal seeds give equal results")
    option("--out", metavar="F", help="save all draws: .nc for ArviZ, .csv with a row per draw, or .json")
    _add_precision(parser)
    option("--json", action="store_true", help="print summaries as one JSON object on stdout")


def _add_precision(parser: argparse.ArgumentParser) -> None:
    text = "bits of a number (default: 64 on a CPU, 32 elsewhere)"
    parser.add_argument("--precision", type=int, choices=(32, 64), help=text)


def _count(text: str) -> int:
    value = _integer(text)
    if not 1 <= value < 2**31:
        raise argparse.ArgumentTypeError(f"must be an integer of at least 1, not {text}")
    return value


def _budget(text: str) -> int | str:
    return text if text in ("all", AUTO) else _count(text)


def budget_asked(options: argparse.Namespace) -> dict[str, Budget]:
    """What --boundary-budget says, as an argument of functions; nothing if it is not given."""
    asked = options.boundary_budget
    return {} if asked is None else {"boundary_budget": None if asked == "all" else asked}


def _line(text: str) -> tuple[str, str]:
    """(where, which)"""
    from ppl.regions.choice import ALL, wishes

    where, separator, which = text.partition("=")
    asked = (where, which) if separator else (ALL, text)
    try:
        wishes(dict([asked]))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return asked


def lines_asked(options: argparse.Namespace) -> dict[str | int, str] | None:
    """What --line says; of two for one place the last."""
    return None if options.line is None else dict(options.line)


def _seed(text: str) -> int:
    value = _integer(text)
    if not 0 <= value < 2**32:
        raise argparse.ArgumentTypeError(f"must be an integer from 0 to 2^32 - 1, not {text}")
    return value


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be an integer, not {text!r}") from None


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a positive number, not {text!r}")
    return value
