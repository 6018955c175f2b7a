"""Square-free decomposition of polynomials in several atoms: ``p = rest * f1^m1 * f2^m2 * ...``, exactly.

Yun's algorithm (On square-free decomposition algorithms, SYMSAC 1976) in one atom after the other, with greatest common
divisors by primitive pseudo-remainder sequences over the integers (Knuth, The Art of Computer Programming, vol. 2,
4.6.1). A polynomial that has no repeated factor is found to be such from its values modulo a prime, which is quick.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fractions import Fraction

from ppl.core import poly
from ppl.core.ir import Expr
from ppl.record import record

PRIME = 2**61 - 1
WORK = 100_000  # products of coefficients of one word each, after which a decomposition is given up
NEAR = 1e-14  # relative: how far rounding takes a coefficient from what was meant

Terms = Mapping[tuple[int, ...], int]  # powers of the atoms in one order, and an integer coefficient


@record
class Factors:
    """``rest * f1^m1 * f2^m2 * ...`` with square-free factors, no two of which have a factor in common."""

    rest: poly.Poly  # without random reals
    factors: tuple[tuple[poly.Poly, int], ...]


class TooMuch(Exception):
    """The decomposition would take longer than a compiler may."""


def decompose(p: poly.Poly) -> Factors | None:
    """The factors of `p` in its random reals, by multiplicity; None if none is repeated. May raise `TooMuch`.

    Coefficients are read as the short decimals or fractions that they are next to, if there are any, because
    ``(x - 0.1 * y)^3`` has been multiplied out in floating point.
    """
    atoms = poly.atoms(p)
    mains = [k for k, a in enumerate(atoms) if moves(a) and any(dict(m).get(a, 0) > 1 for m in p)]
    if not mains:
        return None
    for read in (meant, Fraction):
        terms = _integers(p, atoms, read)
        if any(not _simple(terms, k) for k in mains):
            return _factors(p, terms, atoms)
    return None


def have_common_factor(p: poly.Poly, q: poly.Poly) -> bool:
    """Whether some factor in a random real is in both polynomials; False too where to find out would take too long."""
    atoms = list(dict.fromkeys((*poly.atoms(p), *poly.atoms(q))))
    try:
        common = _Ring(len(atoms)).gcd(_integers(p, atoms, meant), _integers(q, atoms, meant))
    except TooMuch:
        return False
    return any(_degree(common, k) for k, a in enumerate(atoms) if moves(a))


def meant(c: float) -> Fraction:
    """The short fraction or decimal that a coefficient is next to, else what it is."""
    for f in (Fraction(c).limit_denominator(1000), Fraction(f"{c:.14g}")):
        if abs(f - Fraction(c)) <= NEAR * abs(Fraction(c)):
            return f
    return Fraction(c)


def _integers(p: poly.Poly, atoms: list[Expr], read: Callable[[float], Fraction]) -> Terms:
    numbers = {m: read(c) for m, c in p.items()}
    scale = math.lcm(*(f.denominator for f in numbers.values()))
    out: dict[tuple[int, ...], int] = {}
    for m, f in numbers.items():
        powers = dict(m)
        out[tuple(powers.get(a, 0) for a in atoms)] = int(f * scale)
    return out


def _factors(p: poly.Poly, terms: Terms, atoms: list[Expr]) -> Factors | None:
    ring = _Ring(len(atoms))
    found: list[tuple[Terms, int]] = []
    for k, a in enumerate(atoms):
        if moves(a) and _degree(terms, k):
            content, primitive = ring.split(terms, k)
            found += ring.yun(primitive, k)
            terms = {m: (1 if _leading(primitive) > 0 else -1) * c for m, c in content.items()}
    if all(power == 1 for _, power in found):
        return None
    whole = all(c.is_integer() for c in p.values())

    def back(f: Terms) -> poly.Poly:
        scale = 1 if whole else abs(_leading(f))
        out: dict[poly.Monomial, float] = {}
        for m, c in f.items():
            try:
                out[tuple((a, k) for a, k in zip(atoms, m, strict=True) if k)] = float(Fraction(c, scale))
            except OverflowError:
                raise TooMuch from None
        return {poly.product(m, poly.ONE): c for m, c in out.items()}  # with atoms in the order of their text

    return Factors(back(terms), tuple((back(f), power) for f, power in found))


def moves(a: Expr) -> bool:
    """Whether the zeros of a factor in this atom can be boundaries."""
    return a.random and a.type.base == "real"


def _simple(p: Terms, k: int) -> bool:
    """Whether `p` certainly has no repeated factor in which atom `k` occurs."""
    degree = _degree(p, k)
    f = [0] * (degree + 1)
    for m, c in p.items():
        for i, power in enumerate(m):
            c = c * (pow(7, power * (1009 + 101 * i), PRIME) if i != k else 1) % PRIME
        f[m[k]] = (f[m[k]] + c) % PRIME
    if not f[degree]:
        return False  # a rare accident
    return len(_gcd_of_prime(f, [i * c % PRIME for i, c in enumerate(f)][1:])) == 1


def _gcd_of_prime(a: list[int], b: list[int]) -> list[int]:
    """The greatest common divisor of two polynomials modulo PRIME, lowest power first."""
    while b:
        inverse = pow(b[-1], -1, PRIME)
        rest = list(a)
        while len(rest) >= len(b):
            q = rest[-1] * inverse % PRIME
            shift = len(rest) - len(b)
            for i, c in enumerate(b):
                rest[shift + i] = (rest[shift + i] - q * c) % PRIME
            rest.pop()
        while rest and not rest[-1]:
            rest.pop()
        a, b = b, rest
    return a


def _degree(p: Terms, k: int) -> int:
    return max((m[k] for m in p), default=0)


def _leading(p: Terms) -> int:
    return p[max(p)]


class _Ring:
    """Polynomials with integer coefficients in a number of atoms."""

    def __init__(self, size: int) -> None:
        self.one: Terms = {(0,) * size: 1}
        self.size = size
        self.left = WORK

    def spend(self, work: int) -> None:
        self.left -= work
        if self.left < 0:
            raise TooMuch

    def sub(self, p: Terms, q: Terms) -> Terms:
        out = dict(p)
        for m, c in q.items():
            out[m] = out.get(m, 0) - c
        return {m: c for m, c in out.items() if c}

    def mul(self, p: Terms, q: Terms) -> Terms:
        out: dict[tuple[int, ...], int] = {}
        for m, c in p.items():
            for n, d in q.items():
                key = tuple(i + j for i, j in zip(m, n, strict=True))
                out[key] = out.get(key, 0) + c * d
                self.spend(1 + c.bit_length() * d.bit_length() // 4096)
        return {m: c for m, c in out.items() if c}

    def div(self, p: Terms, q: Terms) -> Terms:
        """``p / q``, which has no remainder."""
        lead, scale = max(q), _leading(q)
        out: dict[tuple[int, ...], int] = {}
        while p:
            top = max(p)
            m = tuple(i - j for i, j in zip(top, lead, strict=True))
            out[m] = p[top] // scale
            p = self.sub(p, self.mul({m: out[m]}, q))
        return out

    def derivative(self, p: Terms, k: int) -> Terms:
        return {(*m[:k], m[k] - 1, *m[k + 1 :]): m[k] * c for m, c in p.items() if m[k]}

    def coefficients(self, p: Terms, k: int) -> dict[int, Terms]:
        """The coefficients of the powers of atom `k`."""
        out: dict[int, dict[tuple[int, ...], int]] = {}
        for m, c in p.items():
            out.setdefault(m[k], {})[(*m[:k], 0, *m[k + 1 :])] = c
        return dict(out)

    def split(self, p: Terms, k: int) -> tuple[Terms, Terms]:
        """The content of `p` as a polynomial in atom `k`, with a positive leading coefficient, and the rest."""
        content: Terms = {}
        for c in sorted(self.coefficients(p, k).values(), key=len):
            content = self.gcd(content, c)
            if content == self.one:
                return content, p
        return content, self.div(p, content)

    def gcd(self, p: Terms, q: Terms) -> Terms:
        """The greatest common divisor, with a positive leading coefficient."""
        if not p or not q:
            out = p or q
            return out if not out or _leading(out) > 0 else {m: -c for m, c in out.items()}
        shared: list[int] = []
        for k in range(self.size):
            mine, other = _degree(p, k), _degree(q, k)
            if mine and not other:
                return self.gcd(self.split(p, k)[0], q)
            if other and not mine:
                return self.gcd(p, self.split(q, k)[0])
            shared += [k] if mine else []
        if not shared:
            return {m: math.gcd(_leading(p), _leading(q)) for m in self.one}
        k = min(shared, key=lambda k: max(_degree(p, k), _degree(q, k)))
        (of_p, a), (of_q, b) = self.split(p, k), self.split(q, k)
        common = self.gcd(of_p, of_q)
        if _degree(a, k) < _degree(b, k):
            a, b = b, a
        while _degree(b, k):
            rest = self.remainder(a, b, k)
            a, b = b, self.split(rest, k)[1] if rest else rest
        if b:
            return common
        return self.mul(common, self.gcd(a, {}))

    def remainder(self, p: Terms, q: Terms, k: int) -> Terms:
        """What is left of a multiple of `p` after division by `q` as polynomials in atom `k`."""
        degree = _degree(q, k)
        lead = self.coefficients(q, k)[degree]
        while p and _degree(p, k) >= degree:
            n = _degree(p, k)
            top = {(*m[:k], n - degree, *m[k + 1 :]): c for m, c in self.coefficients(p, k)[n].items()}
            p = self.sub(self.mul(p, lead), self.mul(q, top))
        return p

    def yun(self, p: Terms, k: int) -> list[tuple[Terms, int]]:
        """The square-free factors of a polynomial without content in atom `k`, up to its sign, and their powers."""
        out: list[tuple[Terms, int]] = []
        slope = self.derivative(p, k)
        common = self.gcd(p, slope)
        b = self.div(p, common)
        d = self.sub(self.div(slope, common), self.derivative(b, k))
        power = 1
        while _degree(b, k):
            a = self.gcd(b, d)
            if _degree(a, k):
                out.append((a, power))
            b = self.div(b, a)
            d = self.sub(self.div(d, a), self.derivative(b, k))
            power += 1
        return out
