"""The evaluator against values worked out by hand, and against plain Python on random expressions."""

import math
import operator
import warnings
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from ppl.bind.evaluate import Evaluator, Space, array_types, batched, top
from ppl.bind.functions import TABLE
from ppl.core import ir
from ppl.driver import compile_source
from ppl.language.functions import FUNCTIONS

DATA = {
    "n": 3,
    "k": -7,
    "r": 0.25,
    "x": np.array([1.0, 2.5, -4.0]),
    "g": np.array([2, 0, 1]),
    "m": np.arange(6.0).reshape(3, 2),
}
HEAD = "data n: int\ndata k: int\ndata r: real\ndata x: real[n]\ndata g: int[n]\ndata m: real[n, 2]\n"


def evaluate(expression: str) -> object:
    c = compile_source(HEAD + f"report out = {expression}", "m.ppl", "m")
    program = c.regions.program
    ev = Evaluator(batched(DATA), c.elaborated.definitions, array_types(program), top())
    (report,) = (s for s in program.body if isinstance(s, ir.Report))
    found = ev.value(report.value)
    assert found is not None and found.shape[0] == 1
    return found[0].tolist()


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("k // 2", -4), ("k % 2", 1), ("k / 2", -3.5), ("7 // (-2)", -4), ("r // 0.1", 2), ("k ^ 2", 49),
        ("2 ^ k", 1 / 128),
        ("-r ^ 2", -0.0625), ("n * k + 1", -20), ("x[g[0]]", -4.0), ("m[1]", [2.0, 3.0]), ("m[2, 1]", 5.0),
        ("x + 1", [2.0, 3.5, -3.0]), ("2 * g", [4, 0, 2]), ("x[1..n]", [2.5, -4.0]), ("x[1..1]", []),
        ("m[0..2]", [[0.0, 1.0], [2.0, 3.0]]),
        ("sum(x)", -0.5), ("sum(g)", 3), ("mean(x)", -0.5 / 3), ("prod(x)", -10.0), ("min(x)", -4.0), ("max(g)", 2),
        ("max(k, n)", 3),
        ("min(x, r)", [0.25, 0.25, -4.0]), ("clamp(r, 0.5, 1)", 0.5), ("dot(x, x)", 23.25), ("cumsum(g)", [2, 2, 3]),
        ("length(x)", 3),
        ("[r, 1, x[0]]", [0.25, 1.0, 1.0]), ("[x, x][1]", [1.0, 2.5, -4.0]), ("abs(k)", 7), ("relu(k)", 0),
        ("sign(k)", -1),
        ("step(r)", 1), ("step(0 * r)", 0), ("floor(-r)", -1), ("ceil(r)", 1), ("round(2.5 + 0 * r)", 2),
        ("round(3.5 + 0 * r)", 4),
        ("if k < 0 then x[0] else x[k]", 1.0), ("if k < 0 and x[0] > 0 then 1 else 2", 1),
        ("if not (n == 3) or r > 1 then 1 else 2", 2),
        ("log_sum_exp(0 * x)", math.log(3)), ("lgamma(r + 3.75)", math.log(6)), ("lchoose(n + 2, 2)", math.log(10)),
        ("lbeta(n, 2)", math.log(1 / 12)), ("digamma(1.0 * n)", 1.5 - 0.5772156649015329),
        ("digamma(r - 0.75)", 0.03648997397857652),
        ("inv_Phi(0.975 + 0 * r)", 1.959963984540054), ("Phi(1.0 * n)", 0.9986501019683699), ("inv(r)", 4.0),
        ("square(r)", 0.0625),
        ("log1m_exp(-r)", math.log(1 - math.exp(-0.25))),
        ("log_diff_exp(n, r)", math.log(math.exp(3) - math.exp(0.25))),
        ("inv_logit(k)", 1 / (1 + math.exp(7))), ("hypot(n, n + 1)", 5.0), ("atan2(r, r)", math.pi / 4),
    ],
)  # fmt: skip
def test_by_hand(expression: str, expected: object) -> None:
    found = evaluate(expression)
    assert np.shape(found) == np.shape(expected)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=0)
    assert np.asarray(found).dtype.kind == np.asarray(expected).dtype.kind or found == []


def test_every_function_of_the_language_is_there() -> None:
    assert set(FUNCTIONS) - {"length"} <= set(TABLE)


def scalar_reference() -> dict[str, Callable[..., float]]:
    """The elementwise functions by the standard library and scipy, one number at a time."""
    same = "exp expm1 sinh cosh tanh asinh acosh atanh sin cos tan asin acos atan"
    same += " atan2 hypot log log2 log10 log1p sqrt erf erfc"
    return {name: getattr(math, name) for name in same.split()} | {
        "pow": math.pow,
        "square": lambda x: x * x,
        "inv": lambda x: 1 / x,
        "log1m": lambda x: math.log1p(-x),
        "log1p_exp": lambda x: math.log(1 + math.exp(x)),
        "log1m_exp": lambda x: math.log(1 - math.exp(x)),
        "log_diff_exp": lambda x, y: math.log(math.exp(x) - math.exp(y)),
        "log_sum_exp": lambda x, y=None: x if y is None else math.log(math.exp(x) + math.exp(y)),
        "inv_logit": special.expit,
        "logit": special.logit,
        "log_inv_logit": special.log_expit,
        "Phi": special.ndtr,
        "inv_Phi": special.ndtri,
        "lgamma": special.gammaln,
        "digamma": special.digamma,
        "lbeta": special.betaln,
        "lchoose": lambda n, k: math.log(special.binom(n, k)),
        "abs": abs,
        "relu": lambda x: max(x, 0.0),
        "min": lambda x, y=math.inf: min(x, y),
        "max": lambda x, y=-math.inf: max(x, y),
        "clamp": lambda x, low, high: min(max(x, low), high),
        "floor": math.floor,
        "ceil": math.ceil,
        "round": round,
        "sign": lambda x: (x > 0) - (x < 0),
        "step": lambda x: int(x > 0),
    }


@pytest.mark.parametrize("name", sorted(n for n, f in FUNCTIONS.items() if f.kind in ("elementwise", "kink", "jump")))
def test_functions(name: str) -> None:
    rng = np.random.default_rng(2)
    for arity in FUNCTIONS[name].arity:
        args = [rng.uniform(0.05, 0.95, (50, 1)) for _ in range(arity)]
        match name:
            case "log1m_exp":
                args = [-args[0]]
            case "log_diff_exp" | "acosh":
                args = [args[0] + 1, *args[1:]]
            case "lchoose":
                args = [args[0] + 3, args[1]]
            case "relu" | "sign" | "step" | "abs" | "floor" | "ceil" | "round":
                args = [8 * args[0] - 4]
        expected = [scalar_reference()[name](*(float(a[k, 0]) for a in args)) for k in range(50)]
        np.testing.assert_allclose(TABLE[name](*args).reshape(-1), expected, rtol=1e-12, atol=1e-14)


def test_what_is_undefined_is_silent() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert math.isnan(float(evaluate("log(1.0 * k)")))  # type: ignore[arg-type]
        assert evaluate("1 / (r - 0.25)") == math.inf
        assert math.isnan(float(evaluate("lgamma(1.0 * k) - lgamma(1.0 * k)")))  # type: ignore[arg-type]


def test_loop_variables_are_axes_and_latents_are_unknown() -> None:
    loop_text = "for i in 0..n { d = 2 * x[g[i]] + m[i, 1]\n factor a * d\n less = d - i }"
    c = compile_source(HEAD + "a ~ Normal(0, 1)\n" + loop_text, "m.ppl", "m")
    program = c.regions.program
    (loop,) = c.regions.loops.values()
    zeros = np.zeros(4, np.int64)
    space = Space((loop,), 4, {loop.var.name: np.array([0, 2, 1, 0])}, zeros, top(), zeros)
    ev = Evaluator(batched(DATA), c.elaborated.definitions, array_types(program), space)
    lets = {s.var.name: s.value for s in loop.body if isinstance(s, ir.Let)}
    np.testing.assert_array_equal(ev.value(lets["d"]), [-7.0, 10.0, 5.0, -7.0])
    np.testing.assert_array_equal(ev.value(lets["less"]), [-7.0, 8.0, 4.0, -7.0])
    (factor,) = (s for s in loop.body if isinstance(s, ir.Term))
    assert ev.value(factor.value) is None


# ------------------------------------------------------- random expressions

VARIABLES = ("i", "j")
Tree = tuple[object, ...]


def leaves(base: str) -> st.SearchStrategy[Tree]:
    number = st.integers(-9, 9) if base == "int" else st.floats(-9, 9, allow_nan=False).map(lambda v: round(v, 3))
    literals = number.map(lambda v: ("lit", v))
    return st.one_of(literals, st.sampled_from(VARIABLES).map(lambda v: ("var", v))) if base == "int" else literals


def trees(base: str, depth: int) -> st.SearchStrategy[Tree]:
    if depth == 0:
        return leaves(base)
    deeper = trees(base, depth - 1)
    ops = ("add", "sub", "mul", "floordiv", "mod") if base == "int" else ("add", "sub", "mul", "div")
    return st.one_of(
        leaves(base),
        st.tuples(st.sampled_from(ops), deeper, deeper),
        st.tuples(st.sampled_from(("neg", "abs")), deeper),
        st.tuples(st.sampled_from(("min", "max")), deeper, deeper),
        st.tuples(st.just("if"), conditions(depth - 1), deeper, deeper),
        *(() if base == "int" else (trees("int", depth - 1).map(lambda t: ("to_real", t)),)),
    )


def conditions(depth: int) -> st.SearchStrategy[Tree]:
    number = trees("int", max(depth - 1, 0))
    one = st.tuples(st.sampled_from(("lt", "le", "eq", "ne")), number, number)
    return st.one_of(one, st.tuples(st.sampled_from(("and", "or")), one, one), st.tuples(st.just("not"), one))


def core(t: Tree, base: str) -> ir.Expr:
    match t:
        case ("lit", v):
            return ir.literal(v)  # type: ignore[arg-type]
        case ("var", name):
            return ir.LoopVar(str(name))
        case ("if", c, a, b):
            return ir.Select(core(c, "bool"), core(a, base), core(b, base), ir.Type(base), False)  # type: ignore[arg-type]
        case (op, *args):
            inner = base
            if op == "to_real" or (base == "bool" and op not in ("and", "or", "not")):
                inner = "int"
            return ir.Op(str(op), tuple(core(a, inner) for a in args), ir.Type(base), False)  # type: ignore[arg-type]
        case _:
            raise AssertionError(t)


class Undefined(Exception):
    """A division by zero on the way."""


def plain(t: Tree, env: dict[str, int]) -> int | float | bool:
    """The same by Python's own operators, one iteration at a time; branches not taken are not evaluated."""
    match t:
        case ("lit", v):
            return v  # type: ignore[return-value]
        case ("var", name):
            return env[str(name)]
        case ("if", c, a, b):
            return plain(a if plain(c, env) else b, env)  # type: ignore[arg-type]
        case ("and", a, b):
            return plain(a, env) and plain(b, env)  # type: ignore[arg-type]
        case ("or", a, b):
            return plain(a, env) or plain(b, env)  # type: ignore[arg-type]
        case (op, *args):
            v = [plain(a, env) for a in args]  # type: ignore[arg-type]
            if op in ("floordiv", "mod", "div") and v[1] == 0:
                raise Undefined
            table = {
                "add": operator.add, "sub": operator.sub, "mul": operator.mul, "div": operator.truediv,
                "floordiv": operator.floordiv, "mod": operator.mod, "neg": operator.neg, "abs": abs,
                "min": min, "max": max, "lt": operator.lt, "le": operator.le,
                "eq": operator.eq, "ne": operator.ne, "not": operator.not_, "to_real": float,
            }  # fmt: skip
            return table[str(op)](*v)
        case _:
            raise AssertionError(t)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.sampled_from(("int", "real")).flatmap(lambda base: st.tuples(st.just(base), trees(base, 3))))
def test_random_expressions(case: tuple[str, Tree]) -> None:
    base, tree = case
    i, j = (a.reshape(-1) for a in np.mgrid[-2:2, -1:3])
    space = Space((), i.size, {"i": i, "j": j}, np.zeros(i.size, np.int64))
    found = Evaluator({}, {}, {}, space).value(core(tree, base))
    assert found is not None and found.shape[0] in (1, i.size)
    found = np.broadcast_to(found, i.shape)
    for k in range(i.size):
        try:
            expected = plain(tree, {"i": int(i[k]), "j": int(j[k])})
        except Undefined:
            continue
        if math.isfinite(expected) and abs(expected) < 2**62:
            assert found[k] == pytest.approx(expected, rel=1e-12, abs=0), (tree, i[k], j[k])
