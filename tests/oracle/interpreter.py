"""An interpreter of the syntax tree in plain NumPy: what a program means, computed for many points at once.

It shares nothing with the compiler behind the parser. A value is an array whose leading axis is the batch: 1 for what
depends on data alone, the number of points for what depends on a latent. Both branches of a condition on a latent are
evaluated under masks; those of a condition on data are not, as the language says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from densities import DISCRETE, LOG_DENSITY, PARAMETERS, SAMPLED, between, forward, from_normal, support
from interpreter_expressions import Expressions, Rejected, align, as_value
from joints import coordinates, is_joint, joint_density, joint_forward
from scipy import special

from ppl.diagnostics import Diagnostics
from ppl.syntax import ast, parse

STDLIB = Path(__file__).resolve().parents[2] / "stdlib"
A = np.ndarray


@dataclass(frozen=True)
class Shape:
    """A site: its shape without the batch axis, whether it is noise, and from which distribution.

    A discrete latent has `outcomes`, of which the first has the value `lowest`. One that is drawn as a whole has
    coordinates of another shape, `free`.
    """

    dims: tuple[int, ...]
    noise: bool
    distribution: str
    outcomes: int = 0
    lowest: int = 0
    free: tuple[int, ...] | None = None

    @property
    def coordinates(self) -> tuple[int, ...]:
        return self.dims if self.free is None else self.free


@dataclass
class Result:
    """One evaluation at N points: all arrays have N rows."""

    log_joint: A  # log p(data, z), noise conditioned on
    log_jacobian: A  # sum of log |dT/du| over the latents that exist
    noise_density: A  # log density of the noise that is given as it is drawn
    exists: dict[str, A]  # N x shape of the site's coordinates
    z: dict[str, A]
    path: A  # uint64; equal on two points exactly where all decisions are equal


def sites(module: ast.Module, data: Mapping[str, Any]) -> dict[str, Shape]:
    """The sites of a program with their shapes, in the order of the text."""
    run = Interpreter(1, data, {}, constrained=True)
    found: dict[str, Shape] = {}
    declared: dict[str, tuple[int, ...]] = {}

    def visit(stmts: tuple[ast.Statement, ...]) -> None:
        for s in stmts:
            match s:
                case ast.Data():
                    run.data_statement(s)
                case ast.Var():
                    declared[s.name] = run.dims(s.type)
                case ast.Sample():
                    name = s.target.name
                    dims = declared[name] if name in declared else run.dims(s.type) if s.type else ()
                    law = s.distribution.name
                    discrete = law in DISCRETE and not s.noise
                    low, count = run.outcomes(s.distribution) if discrete and name not in found else (0, 0)
                    dims = run.joint_shape(s.distribution, dims)
                    free = coordinates(law, dims) if is_joint(law, base_of(s)) else None
                    found.setdefault(name, Shape(dims, s.noise, law, count, low, free))
                case ast.If():
                    visit(s.then)
                    visit(s.orelse)
                case ast.For() | ast.While():
                    visit(s.body)
                case _:
                    pass

    visit(module.statements)
    return found


def base_of(s: ast.Sample) -> str:
    """What is written before the size of a latent's type."""
    return s.type.base if s.type else ""


def evaluate(
    module: ast.Module, data: Mapping[str, Any], values: Mapping[str, A], n: int, *, constrained: bool = False
) -> Result:
    """Runs the program at `n` points.

    `values` maps each site to n x shape: unconstrained latents and standard normal noise (the draws themselves where a
    distribution is in SAMPLED), or with `constrained` all values on their supports.
    """
    with np.errstate(all="ignore"):
        run = Interpreter(n, data, values, constrained)
        run.functions |= library("prelude")
        for name, s in sites(module, data).items():
            run.exists[name] = np.zeros((n, *s.coordinates), bool)
            run.z[name] = np.full((n, *s.dims), np.nan)
        run.block(module.statements, np.ones(1, bool))
        return Result(run.log_joint, run.log_jacobian, run.noise_density, run.exists, run.z, run.path)


@cache
def library(name: str) -> dict[str, ast.Function]:
    """The functions of a file of the standard library."""
    text = (STDLIB / f"{name}.ppl").read_text(encoding="utf-8")
    module = parse(text, f"stdlib/{name}.ppl", Diagnostics())
    return {s.name: s for s in module.statements if isinstance(s, ast.Function)}


@dataclass
class Interpreter(Expressions):
    """Runs statements."""

    # ------------------------------------------------------------- statements

    def block(self, stmts: tuple[ast.Statement, ...], mask: A) -> None:
        for s in stmts:
            self.statement(s, mask)

    def statement(self, s: ast.Statement, mask: A) -> None:
        match s:
            case ast.Data():
                self.data_statement(s)
            case ast.Function():
                self.functions[s.name] = s
            case ast.Use():
                self.functions |= library(s.name)
            case ast.Sample():
                self.sample(s, mask)
            case ast.Var():
                self.arrays.add(s.name)
                empty = -(10**6) if s.type.base == "int" else np.nan
                self.env[s.name] = np.full((1, *self.dims(s.type)), empty)
            case ast.Assign():
                self.assign(s.target, self.expression(s.value, mask), mask)
            case ast.For() | ast.While():
                self.loop(s, mask)
            case ast.If():
                self.branch(s, mask)
            case ast.Observe():
                value = self.expression(s.value, mask)
                self.add(self.log_density(s.distribution, value, self.arguments(s.distribution, mask), mask), mask)
            case ast.Factor():
                self.add(self.expression(s.value, mask).astype(float), mask)
            case ast.Report():
                self.expression(s.value, mask)
            case _:
                raise NotImplementedError(type(s).__name__)

    def data_statement(self, s: ast.Data) -> None:
        if s.name in self.data:
            dtype = {"real": float, "int": np.int64, "bool": bool}[s.type.base]
            value = as_value(np.asarray(self.data[s.name], dtype))
        elif s.default is not None:
            value = self.expression(s.default, np.ones(1, bool))
        else:
            raise Rejected(f"no data for {s.name}")
        self.env[s.name] = self.globals[s.name] = value

    def add(self, term: A, mask: A) -> None:
        self.log_joint = self.log_joint + np.where(mask, term.reshape(term.shape[0], -1).sum(axis=1), 0.0)

    def store(self, name: str, value: A, mask: A) -> None:
        old = self.env.get(name)
        if old is None or (mask.shape == (1,) and mask[0]):
            self.env[name] = value
            return
        m, old, value = align(mask, old, value)
        self.env[name] = np.where(m, value, old)

    def assign(self, target: ast.Target, value: A, mask: A) -> None:
        if not target.indices:
            self.store(target.name, value, mask)
            return
        place = self.place(target)
        old = self.env[target.name]
        rows = max(len(old), len(value), len(mask))
        new = np.broadcast_to(old, (rows, *old.shape[1:])).astype(np.result_type(old, value)).copy()
        new[(slice(None), *place)] = np.where(mask, value, new[(slice(None), *place)])
        self.env[target.name] = new

    def place(self, target: ast.Target) -> tuple[int, ...]:
        return tuple(self.static(i) for i in target.indices)

    def sample(self, s: ast.Sample, mask: A) -> None:
        name, args = s.target.name, self.arguments(s.distribution, mask)
        place = (slice(None), *self.place(s.target))
        u, law = self.values[name][place], s.distribution.name
        if s.noise:
            fixed = self.constrained or law in SAMPLED
            value = u if fixed else from_normal(law, *align(u, *args)[:1], align(u, *args)[1:])
            if fixed and not self.constrained:
                density = self.log_density(s.distribution, value, args, mask)
                self.noise_density += np.where(mask, density.reshape(len(density), -1).sum(axis=1), 0.0)
        elif law in DISCRETE:
            value = u if self.constrained else u + self.outcomes(s.distribution)[0]
            self.add(self.log_density(s.distribution, value, args, mask), mask)
        else:
            kind, bounds = self.within(support(law, args), s.distribution, mask)
            value = u
            if is_joint(law, base_of(s)):
                self.sample_whole(s, u, args, (kind, bounds), mask)
                return
            if not self.constrained:
                u, *bounds = align(u, *bounds)
                value, jacobian = forward(kind, u, tuple(bounds))
                jacobian = np.broadcast_to(jacobian, u.shape)
                self.log_jacobian += np.where(mask, jacobian.reshape(self.n, -1).sum(axis=1), 0.0)
            self.add(self.log_density(s.distribution, value, args, mask), mask)
        (m, _) = align(np.broadcast_to(mask, (self.n,)), value)
        if np.any(self.exists[name][place] & m):
            raise Rejected(f"{name} is drawn twice on one path")
        self.exists[name][place] |= m
        self.z[name][place] = np.where(m, value, self.z[name][place])
        if s.target.indices:
            self.assign(s.target, value, mask)
        else:
            self.store(name, value, mask)

    def sample_whole(
        self, s: ast.Sample, u: A, args: tuple[A, ...], support: tuple[str, tuple[A, ...]], mask: A
    ) -> None:
        """A latent whose elements do not vary freely."""
        name, law, value = s.target.name, s.distribution.name, u
        if not self.constrained:
            value, jacobian = joint_forward(law, u, *support)
            self.log_jacobian += np.where(mask, jacobian, 0.0)
        density = joint_density(law, value, args)
        if density is None:  # all orders of independent draws
            each = self.log_density(s.distribution, value, args, mask)
            density = each.sum(axis=1) + special.gammaln(value.shape[1] + 1)
        self.add(density, mask)
        there = np.broadcast_to(mask, (self.n,))
        self.exists[name] |= there.reshape(-1, *(1,) * (self.exists[name].ndim - 1))
        self.z[name] = np.where(there.reshape(-1, *(1,) * (value.ndim - 1)), value, self.z[name])
        self.store(name, value, mask)

    def joint_shape(self, law: ast.Law, dims: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of a site, which a distribution of vectors or matrices says."""
        if law.name == "Dirichlet":
            return self.expression(law.args[0].value, np.ones(1, bool)).shape[1:]
        return (self.static(law.args[0].value),) * 2 if law.name == "LKJCholesky" else dims

    def branch(self, s: ast.If, mask: A) -> None:
        c = self.expression(s.condition, mask)
        if len(c) == 1:
            self.block(s.then if c[0] else s.orelse, mask)
            return
        # A name that both branches bind first must not see the other branch's value.
        before = dict(self.env)
        self.block(s.then, mask & c)
        after_then, self.env = self.env, before
        self.block(s.orelse, mask & ~c)
        for name, then in after_then.items():
            other = self.env.get(name)
            if other is None:
                self.env[name] = then
            elif then is not other:
                m, a, b = align(c, then, other)
                self.env[name] = np.where(m, a, b)

    def loop(self, s: ast.For | ast.While, mask: A) -> None:
        if isinstance(s, ast.For):
            steps, name = range(self.static(s.range.lo), self.static(s.range.hi)), s.variable
        else:
            steps, name = range(self.static(s.limit)), None
        outer = set(self.env)
        shadowed = self.env.get(name) if name else None
        for i in steps:
            if name:
                self.env[name] = as_value(i)
            if s.condition is not None:
                mask = mask & self.expression(s.condition, mask)
                if not np.any(mask):
                    break
            self.block(s.body, mask)
            for local in set(self.env) - outer - ({name} if name else set()):
                if local not in self.exists:
                    del self.env[local]
        if name:
            self.env.pop(name, None)
            if shadowed is not None:
                self.env[name] = shadowed

    # ---------------------------------------------------------- distributions

    def outcomes(self, law: ast.Law) -> tuple[int, int]:
        """The lowest value of a discrete latent, and the number of its values."""
        if isinstance(law, ast.Truncated):
            low = self.static(law.lower)
            return low, self.static(law.upper) - low + 1
        if law.name == "Binomial":
            n = next(a.value for a in law.args if a.name in (None, "n"))
            return 0, self.static(n) + 1
        if law.name == "Categorical":
            return 0, self.expression(law.args[0].value, np.ones(1, bool)).shape[1]
        return 0, 2

    def within(self, found: tuple[str, tuple[A, ...]], law: ast.Law, mask: A) -> tuple[str, tuple[A, ...]]:
        """A support cut to the interval of a truncation."""
        if not isinstance(law, ast.Truncated):
            return found
        kind, bounds = found
        low = bounds[0] if bounds else np.full(1, -np.inf)
        high = bounds[1] if kind == "interval" else np.full(1, np.inf)
        low = np.maximum(low, self.expression(law.lower, mask).astype(float))
        high = np.minimum(high, self.expression(law.upper, mask).astype(float))
        open_below, open_above = np.all(np.isinf(low)), np.all(np.isinf(high))
        if open_below and open_above:
            return "real", ()
        if open_above:
            return "lower", (low,)
        return ("upper", (high,)) if open_below else ("interval", (low, high))

    def arguments(self, law: ast.Law, mask: A) -> tuple[A, ...]:
        call = law.call if isinstance(law, ast.Truncated) else law
        names = PARAMETERS[call.name]
        given = {a.name or names[k]: self.expression(a.value, mask) for k, a in enumerate(call.args)}
        return tuple(given[n] for n in names)

    def log_density(self, law: ast.Law, value: A, args: tuple[A, ...], mask: A) -> A:
        if isinstance(law, ast.Truncated):
            low, high = self.expression(law.lower, mask), self.expression(law.upper, mask)
            whole, part = align(self.log_density(law.call, value, args, mask), between(law.name, args, low, high))
            return np.asarray(whole - part)
        if law.name == "Categorical":
            probs = args[0]
            rows = max(len(value), len(probs))
            v, p = np.broadcast_to(value, (rows, *value.shape[1:])), np.broadcast_to(probs, (rows, *probs.shape[1:]))
            return np.log(np.take_along_axis(p, v.reshape(rows, -1), axis=1))
        value, *rest = align(value.astype(float), *(a.astype(float) for a in args))
        return np.asarray(LOG_DENSITY[law.name](value, *rest))

    # -------------------------------------------------------------- functions

    def user_call(self, f: ast.Function, args: list[A], mask: A) -> A:
        outer, self.env = self.env, dict(self.globals)
        for p, a in zip(f.parameters, args, strict=True):
            self.env[p.name] = a.astype(float) if p.type.base == "real" else a
        value, _ = self.body(f.body, mask)
        self.env = outer
        if value is None:
            raise Rejected(f"{f.name} has a path without return")
        return value.astype(float) if f.result.base == "real" else value

    def body(self, stmts: tuple[ast.Statement, ...], mask: A) -> tuple[A | None, A]:
        """The value returned by a statement list, and where it has not returned."""
        value: A | None = None
        for s in stmts:
            if isinstance(s, ast.Return):
                new, left = self.expression(s.value, mask), np.zeros(1, bool)
            elif isinstance(s, ast.If):
                new, left = self.returning_branch(s, mask)
            else:
                self.statement(s, mask)
                continue
            if new is not None:
                # `mask` is where this statement runs; what an earlier one returned stays elsewhere.
                value = new if value is None else np.where(align(mask, new)[0], *align(new, value))
            if len(left) == 1 and not left[0]:
                return value, left
            mask = left
        return value, mask

    def returning_branch(self, s: ast.If, mask: A) -> tuple[A | None, A]:
        c = self.expression(s.condition, mask)
        if len(c) == 1:
            return self.body(s.then if c[0] else s.orelse, mask)
        before = dict(self.env)
        a, left_a = self.body(s.then, mask & c)
        after, self.env = self.env, before
        b, left_b = self.body(s.orelse, mask & ~c)
        for name, then in after.items():
            other = self.env.get(name)
            self.env[name] = then if other is None or other is then else np.where(*align(c, then, other))
        left = np.where(c, left_a & mask, left_b & mask)
        if a is None or b is None:
            return (a if b is None else b), left
        return np.where(*align(c, a, b)), left if np.any(left) else np.zeros(1, bool)
