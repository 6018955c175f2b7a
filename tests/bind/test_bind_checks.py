"""What bind rejects, with whose fault it is, and programs close to those that it must accept."""

from pathlib import Path

import golden
import numpy as np
import pytest
from binding import bound

import ppl
from ppl.diagnostics import DataError, PplError

WALK = "data n: int\nvar z: real[n]\n"

# name: (program, data, code, words of the message, line, whether the data are at fault)
BAD = {
    "read past the end": (
        WALK + "for t in 0..n { z[t] ~ Normal(0, 1) }\nfor t in 0..n { factor z[t + 1] }", {"n": 7},
        "PPL208", "`z[t + 1]`: index 7 at t = 6 is outside an array of size 7", 4, False,
    ),
    "fill past the end": (
        WALK + "for t in 0..n { z[t + 1] ~ Normal(0, 1) }", {"n": 4},
        "PPL208", "`z[t + 1]`: index 4 at t = 3 is outside an array of size 4", 3, False,
    ),
    "negative index": (
        "data n: int\ndata x: real[n]\nm ~ Normal(0, 1)\nfor t in 0..n { observe x[t - 1] ~ Normal(m, 1) }",
        {"x": [1.0, 2.0]},
        "PPL208", "index -1 at t = 0", 4, False,
    ),
    "literal index, size from data": (
        "data n: int\nz: real[n] ~ Normal(0, 1)\nfactor z[5]", {"n": 5},
        "PPL208", "`z[5]`: index 5 is outside an array of size 5", 3, False,
    ),
    "index from data": (
        "data n: int\ndata g: int[n]\nz: real[3] ~ Normal(0, 1)\nfor i in 0..n { factor z[g[i]] }", {"g": [0, 2, 3, 9]},
        "PPL208", "`z[g[i]]`: index 3 at i = 2 is outside an array of size 3", 4, True,
    ),
    "loop over another size": (
        "data n: int\ndata k: int\nz: real[n] ~ Normal(0, 1)\nfor i in 0..k { factor z[i] }", {"n": 2, "k": 3},
        "PPL208", "index 2 at i = 2", 4, True,
    ),
    "second index of a matrix": (
        "data n: int\ndata x: real[n, 2]\nm ~ Normal(0, 1)\nfor i in 0..n { observe x[i, i] ~ Normal(m, 1) }",
        {"x": [[1.0, 2.0]] * 3}, "PPL208", "index 2 at i = 2 is outside dimension 2 of size 2", 4, True,
    ),
    "index in a condition": (
        "data n: int\ndata x: real[n]\nm ~ Normal(0, 1)\nfor t in 0..n { if t > 0 or x[t - 1] > 0 { factor m } }",
        {"x": [1.0, 2.0]},
        "PPL208", "index -1 at t = 0", 4, False,
    ),
    "index behind a condition on a latent": (
        "data n: int\ndata x: real[n]\nm ~ Normal(0, 1)\nfor t in 0..n { if m > t { factor x[t + 1] } }",
        {"x": [1.0, 2.0]},
        "PPL208", "index 2 at t = 1", 4, False,
    ),
    "index in a ragged bound": (
        "data n: int\ndata k: int[n]\nm ~ Normal(0, 1)\n"
        "for i in 0..n { for j in 0..k[i + 1] { if m > j { factor 1 } } }",
        {"k": [1, 2]}, "PPL208", "`k[i + 1]`: index 2 at i = 1", 4, False,
    ),
    "second loop with the same variable": (
        "data n: int\ndata x: real[n]\nm ~ Normal(0, 1)\nfor t in 0..n { factor m }\n"
        "for t in 0..n { factor x[t + 1] * m }",
        {"x": [1.0, 2.0]}, "PPL208", "`x[t + 1]`: index 2 at t = 1", 5, False,
    ),
    "slice past the end": (
        "data n: int\ndata k: int\ndata x: real[n]\nm ~ Normal(0, 1)\nobserve sum(x[1..k]) ~ Normal(m, 1)",
        {"x": [1.0, 2.0], "k": 3}, "PPL208", "the range 1..3 is outside an array of size 2", 5, True,
    ),
    "negative slice": (
        "data n: int\ndata x: real[n]\nm ~ Normal(0, 1)\nobserve sum(x[0..n - 3]) ~ Normal(m, 1)",
        {"x": [1.0, 2.0]}, "PPL208", "the range 0..-1 is outside", 4, False,
    ),
    "sizes that disagree": (
        "data n: int\ndata m: int\ndata x: real[n]\ndata y: real[m]\na ~ Normal(0, 1)\nobserve x + y ~ Normal(a, 1)",
        {"x": [1.0, 2.0], "y": [1.0]}, "PPL506", "`n` is 2 and `m` is 1", 6, True,
    ),
    "a size that is not the literal one": (
        "data n: int\ndata x: real[n]\nw: real[3] ~ Normal(0, 1)\nfactor dot(x, w)", {"x": [1.0, 2.0]},
        "PPL506", "`n` is 2 and one is 3", 4, True,
    ),
    "negative size": (
        "data n: int\nz: real[n - 5] ~ Normal(0, 1)", {"n": 3},
        "PPL509", "`z` has a negative size, n - 5 = -2", 2, True,
    ),
    "too many elements": (
        "data n: int\nz: real[n, n] ~ Normal(0, 1)", {"n": 20000}, "PPL701", "20000 x 20000 elements", 2, True,
    ),
    "too many iterations": (
        "data n: int\nm ~ Normal(0, 1)\nfor i in 0..n { for j in 0..n { factor m * j } }", {"n": 20000},
        "PPL701", "400000000 iterations", 3, True,
    ),
    "an element that is assigned what leaves an array": (
        "data k: int[3]\ndata seen: int[3]\nm: real[3] ~ Normal(0, 1)\nvar c: int[3]\n"
        "for i in 0..3 { if seen[i] == 1 { c[i] = k[i] } else { c[i] ~ Categorical([0.2, 0.3, 0.5]) } }\n"
        "for i in 0..3 { factor m[c[i]] }", {"k": [1, -1, 3], "seen": [1, 0, 1]},
        "PPL603", "reaches from 0 to 3", 6, False,
    ),
    "a whole number that is assigned zero": (
        "data zero: int\nx ~ Normal(0, 1)\nvar k: int[2]\nk[0] ~ Poisson(2) in (1, 3)\nk[1] = zero\n"
        "for i in 0..2 { factor tanh(1 / k[i]) }", {"zero": 0}, "PPL407", "`1 / k[i]`", 6, False,
    ),
    "too many numbers to check": (
        "data n: int\ndata x: real[n]\nz: real[n] ~ Normal(0, 1)\n"
        "for i in 0..n {\n  w = x * x[i]\n  factor if z[i] > w[i] then 1 else 0\n}", {"x": np.ones(50_000)},
        "PPL701", "2500000000 numbers from data", 4, True,
    ),
    "too many iterations whatever the data": (
        "m ~ Normal(0, 1)\nfor i in 0..20000 { for j in 0..20000 { factor m * j } }", {},
        "PPL701", "400000000 iterations", 2, False,
    ),
    "scale from data": (
        "data n: int\ndata sd: real[n]\nm ~ Normal(0, 1)\nfor i in 0..n { observe 0 ~ Normal(m, sd[i]) }",
        {"sd": [1.0, 0.0]},
        "PPL301", "`sd` of `Normal` at i = 1 is 0, it must be above 0", 4, True,
    ),
    "scale in a vector": (
        "data n: int\ndata sd: real[n]\nx: real[n] ~ Normal(0, sd)", {"sd": [1.0, 2.0, -1.0]},
        "PPL301", "element [2], is -1", 3, True,
    ),
    "scale from a loop variable": (
        "m ~ Normal(0, 1)\nfor i in 0..3 { observe 0 ~ Normal(m, i) }", {}, "PPL301", "at i = 0 is 0", 2, False,
    ),
    "probability": (
        "data p: real\nnoise b ~ Normal(0, 1)\nobserve 1 ~ Bernoulli(p)", {"p": 1.5},
        "PPL301", "`p` of `Bernoulli` is 1.5", 3, True,
    ),
    "empty uniform": (
        "data a: real\ndata b: real\nx ~ Uniform(a, b)", {"a": 2.0, "b": 2.0},
        "PPL301", "`Uniform(2, 2)` is empty", 3, True,
    ),
    "simplex sum": (
        "data p: real[2]\nm ~ Normal(0, 1)\nobserve 1 ~ Categorical(p)", {"p": [0.5, 0.6]},
        "PPL301", "sums to 1.1", 3, True,
    ),
    "simplex sign": (
        "data p: real[2]\nm ~ Normal(0, 1)\nobserve 1 ~ Categorical(p)", {"p": [-0.5, 1.5]},
        "PPL301", "has the element -0.5", 3, True,
    ),
    "negative count": (
        "data y: int[3]\nr ~ LogNormal(0, 1)\nobserve y ~ Poisson(r)", {"y": [0, -1, 2]},
        "PPL308", "the observed `y[1]` is -1, outside the support of `Poisson`: it must be 0 or more", 3, True,
    ),
    "count above n": (
        "data y: int[2]\ndata n: int[2]\np ~ Beta(1, 1)\nfor i in 0..2 { observe y[i] ~ Binomial(n[i], p) }",
        {"y": [1, 4], "n": [1, 3]},
        "PPL308", "`y[i]` at i = 1 is 4, outside the support of `Binomial`: it must be at most `n`",
        4, True,
    ),
    "not a coin": (
        "data y: int\np ~ Beta(1, 1)\nobserve y ~ Bernoulli(p)", {"y": 2}, "PPL308", "it must be at most 1", 3, True,
    ),
    "not a category": (
        "data y: int\np ~ Beta(1, 1)\nobserve y ~ Categorical([p, 1 - p])", {"y": 2}, "PPL308", "from 0 to 1", 3, True,
    ),
    "negative waiting time": (
        "data y: real\nr ~ LogNormal(0, 1)\nobserve y ~ Exponential(r)", {"y": -0.5},
        "PPL308", "it must be at least 0", 3, True,
    ),
    "zero where the density vanishes": (
        "data y: real\nr ~ Normal(0, 1)\nobserve y ~ LogNormal(r, 1)", {"y": 0.0},
        "PPL308", "it must be above 0", 3, True,
    ),
    "end of a beta": (
        "data y: real\na ~ LogNormal(0, 1)\nobserve y ~ Beta(a, 2)", {"y": 1.0},
        "PPL308", "it must be below 1", 3, True,
    ),
    "outside a uniform": (
        "data y: real\ndata b: real\nm ~ Normal(0, 1)\nobserve y + 1 ~ Uniform(0, b)", {"y": 1.0, "b": 1.5},
        "PPL308", "is 2, outside the support of `Uniform`: it must be at most `hi`", 4, True,
    ),
    "not finite": (
        "data y: real\nm ~ Normal(0, 1)\nobserve log(y) ~ Normal(m, 1)", {"y": 0.0},
        "PPL308", "must be finite", 3, True,
    ),
    "filled twice by two statements": (
        WALK + "for t in 0..n { z[t] ~ Normal(0, 1) }\nz[2] = 1", {"n": 4},
        "PPL306", "`z[2]` fills `z[2]` a second time", 4, False,
    ),
    "filled twice by one statement": (
        WALK + "for t in 0..n { z[t // 2] ~ Normal(0, 1) }", {"n": 4},
        "PPL306", "`z[t // 2]` at t = 1 fills `z[0]` a second time", 3, False,
    ),
    "filled twice, from itself": (
        "data c: int[3]\nrate ~ Beta(2, 2)\nvar q: real[2]\nfor j in 0..2 { q[j] = 0.5 }\n"
        "for k in 0..3 { q[c[k]] = q[c[k]] + rate * (1 - q[c[k]]) }\nobserve 1 ~ Normal(q[0], 1)", {"c": [0, 1, 1]},
        "PPL306", "fills `q[0]` a second time", 5, True,
    ),
    "filled twice because of data": (
        "data n: int\ndata g: int[n]\nvar z: real[5]\nfor i in 0..n { z[g[i]] ~ Normal(0, 1) }", {"g": [4, 1, 4]},
        "PPL306", "at i = 2 fills `z[4]` a second time", 4, True,
    ),
    "never filled": (
        WALK + "for t in 1..n { z[t] ~ Normal(z[t - 1], 1) }", {"n": 3},
        "PPL306", "`z[t - 1]` at t = 1 reads `z[0]`, which is never filled", 3, False,
    ),
    "filled later in the loop": (
        WALK + "z[0] ~ Normal(0, 1)\nfor t in 1..n - 1 { z[t] ~ Normal(z[t + 1], 1) }\nz[n - 1] ~ Normal(0, 1)",
        {"n": 4},
        "PPL306", "`z[t + 1]` at t = 1 reads `z[2]`, which is filled later", 4, False,
    ),
    "filled later in the same iteration": (
        WALK + "for t in 0..n { factor z[t]\n z[t] ~ Normal(0, 1) }", {"n": 2},
        "PPL306", "reads `z[0]`, which is filled later", 3, False,
    ),
    "read in its own fill": (
        WALK + "for t in 0..n { z[t] = z[t] + 1 }", {"n": 2}, "PPL306", "reads `z[0]`, which is filled later", 3, False,
    ),
    "read before in a guard": (
        WALK + "for t in 0..n { if z[t] > 0 { factor 1 }\n z[t] ~ Normal(0, 1) }", {"n": 2},
        "PPL306", "filled later", 3, False,
    ),
    "sum with a gap": (
        WALK + "for t in 0..n { if t != 2 { z[t] ~ Normal(0, 1) } }\nfactor sum(z)", {"n": 4},
        "PPL306", "`z[2]` is never filled", 4, False,
    ),
    "slice with a gap": (
        WALK + "for t in 1..n { z[t] ~ Normal(0, 1) }\nfactor sum(z[0..2])", {"n": 4},
        "PPL306", "`z[0]` is never filled", 4, False,
    ),
    "row with a gap": (
        "data n: int\nvar z: real[n, 2]\nfor t in 0..n { z[t, 0] ~ Normal(0, 1) }\n"
        "for t in 0..n { factor sum(z[t]) }", {"n": 2},
        "PPL306", "`z[t]` at t = 0 reads `z[0]`", 4, False,
    ),
    "inner loop over later rows": (
        WALK + "for i in 0..n { for j in 0..i + 1 { factor z[j] }\n z[i] ~ Normal(0, 1) }", {"n": 3},
        "PPL306", "at i = 0, j = 0 reads `z[0]`, which is filled later", 3, False,
    ),
    "index at a sum of state": (
        "data d: int[3]\nx: real[3] ~ Normal(0, 1)\nalive = 1\nc = 0\n"
        "for t in 0..3 { c = c + alive; if d[t] == 0 { alive = 0 } }\nif x[c - 1] > 0.3 { factor 0.5 }",
        {"d": [1, 0, 1]}, "PPL207", "`x[c - 1]`: what the index is cannot be told from the data", 6, True,
    ),
    "index beyond at a count of data": (
        "data d: int[3]\nx: real[3] ~ Normal(0, 1)\nc = 0\nfor t in 0..3 { c = c + d[t] }\n"
        "if x[c] > 0.3 { factor 0.5 }", {"d": [1, 1, 1]}, "PPL208", "index 3 is outside an array of size 3", 5, True,
    ),
    "index from a latent, unbounded": (
        "data n: int\ndata rates: real[n]\ntau ~ Normal(2, 1)\nobserve 1 ~ Normal(rates[floor(tau)], 1)",
        {"rates": [1.0, 2.0, 3.0]}, "PPL603", "can be any integer, outside an array of size 3", 4, False,
    ),
    "index through a comprehension": (
        "data g: int[3]\na: real[3] ~ Normal(0.5, 1)\nh = [g[i] - 1 for i in 0..3]\n"
        "for j in 0..3 { if a[h[j]] > 0.3 { factor -0.7 } }",
        {"g": [1, 4, 2]}, "PPL208", "`a[g[j] - 1]`: index 3 at j = 1 is outside", 4, True,
    ),
    "index from data or a latent": (
        "data lab: int[2]\nm: real[2] ~ Normal(0.5, 1)\nk: int[2] ~ Bernoulli(0.3)\n"
        "for i in 0..2 { c = if lab[i] > 0 then lab[i] - 1 else k[i]; if m[c] > 0.2 { factor -0.3 } }",
        {"lab": [3, 0]}, "PPL603", "reaches from 2 to 2 at i = 0, outside an array of size 2", 4, False,
    ),
    "index from a draw": (
        "m: real[2] ~ Normal(0, 1)\nk ~ Categorical([0.2, 0.5, 0.3])\nif m[k] > 0.5 { factor -0.4 * k }",
        None, "PPL603", "`m[k]`: the index depends on a latent and reaches from 0 to 2", 3, False,
    ),
    "index from a latent, bounded below": (
        "rates = [0.1, 0.4, 0.9]\ntau ~ Exponential(1)\nk = floor(2 * tau)\nobserve 1 ~ Normal(rates[k], 1)",
        None, "PPL603", "can be any integer from 0 on, outside an array of size 3", 4, False,
    ),
    "index from a latent, bounded": (
        "data n: int\ndata x: real[n]\nt ~ Uniform(0, 3)\nfor i in 0..n { observe x[i] ~ Normal(x[i + floor(t)], 1) }",
        {"x": [1.0, 2.0]}, "PPL603", "reaches from 0 to 2 at i = 0, outside an array of size 2", 4, False,
    ),
    "division by zero": (
        "data n: int\ndata k: int\nm ~ Normal(0, 1)\nfor i in 0..n // k { factor m }", {"n": 3, "k": 0},
        "PPL211", "`n // k` divides by zero", 4, True,
    ),
    "factor that divides by data": (
        "data k: int = 0\nz ~ Normal(0, 1)\nfactor 5 / k", None, "PPL309", "the factor `5 / k` is inf", 3, True,
    ),
    "factor that is not a number": (
        "data x: real[2]\nz ~ Normal(0, 1)\nfor i in 0..2 { factor sqrt(x[i]) }", {"x": [1.0, -1.0]},
        "PPL309", "`sqrt(x[i])` at i = 1 is nan, it must be finite", 3, True,
    ),
    "infinite factor, whatever the data": (
        "z ~ Normal(0, 1)\nif z > 0 { factor log(0.0) }", None, "PPL309", "`log(0)` is -inf", 2, False,
    ),
    "infinite factor in a branch on data": (
        "data k: int\nz ~ Normal(0, 1)\nfactor if k == 0 then 5 / k else z", {"k": 0},
        "PPL309", "the factor `5 / k` is inf", 3, True,
    ),
    "infinite observation": (
        "data k: int\nz ~ Normal(0, 1)\nobserve 5 / k ~ Normal(z, 1)", {"k": 0},
        "PPL308", "the observed `5 / k` is inf", 3, True,
    ),
    "largest of no data": (
        "data n: int\ndata x: real[n]\nz ~ Normal(0, 1)\nfactor max(x) * z", {"x": []},
        "PPL212", "`max(x)` is of an array without elements", 4, True,
    ),
    "smallest of no latents": (
        "data n: int\nw: real[n] ~ Normal(0, 1)\nz ~ Normal(0, 1)\nfactor min(w) * z", {"n": 0},
        "PPL212", "`min(w)` is of an array without elements", 4, True,
    ),
    "mean of an empty slice in a loop": (
        "data x: real[3]\nz ~ Normal(0, 1)\ndata n: int\nfor i in 0..2 { factor mean(x[n..2]) * z }",
        {"x": [1.0, 2.0, 3.0], "n": 2}, "PPL212", "`mean(x[n..2])` at i = 0 is of an array without", 4, True,
    ),
    "largest of an empty int array": (
        "data n: int\ndata k: int[n]\nz ~ Normal(0, 1)\nreport top = max(k)", {"n": 0, "k": []},
        "PPL212", "`max(k)`", 4, True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_rejected(name: str) -> None:
    text, data, code, words, line, data_at_fault = BAD[name]
    with pytest.raises(PplError) as caught:
        bound(text, data)
    first = caught.value.diagnostics[0]
    assert (first.code, first.span.line if first.span else None) == (code, line), str(caught.value)
    assert words in first.message
    assert isinstance(caught.value, DataError) == data_at_fault
    assert len(caught.value.diagnostics) == 1, str(caught.value)


def test_wording(pytestconfig: pytest.Config) -> None:
    """What a user reads for each of them: the whole text, one golden file."""
    parts: list[str] = []
    for name, (text, data, *_) in BAD.items():
        if "too many" not in name:
            with pytest.raises(PplError) as caught:
                bound(text, data)
            parts.append(f"### {name}\n{caught.value}\n")
    golden.check(Path(__file__).parent / "golden" / "messages.txt", "\n".join(parts), pytestconfig)


GOOD = {
    "if-expression cuts off": (WALK + "for t in 0..n { z[t] ~ Normal(if t == 0 then 0 else z[t - 1], 1) }", {"n": 3}),
    "if-statement cuts off": (
        WALK + "for t in 0..n { if t == 0 { m = 0.0 } else { m = z[t - 1] }\n z[t] ~ Normal(m, 1) }", {"n": 3},
    ),
    "`and` cuts off": (
        WALK + "for t in 0..n { z[t] ~ Normal(0, 1)\n if t > 0 and z[t - 1] > 0 { factor 1 } }", {"n": 3},
    ),
    "`or` cuts off": (
        WALK + "for t in 0..n { z[t] ~ Normal(0, 1)\n if t == 0 or z[t - 1] > 0 { factor 1 } }", {"n": 3},
    ),
    "data under a condition on a latent": (
        "data n: int\ndata x: real[n]\nm ~ Normal(0, 1)\nfor t in 0..n { if m > 0 and t > 0 { factor x[t - 1] * m } }",
        {"x": [1.0, 2.0]},
    ),
    "a function cuts off": (
        "data n: int\ndata x: real[n]\nfn at(k: int) -> real { if k < 0 { return 0 }\n return x[k] }\n"
        "m ~ Normal(0, 1)\nfor t in 0..n { observe at(t - 1) ~ Normal(m, 1) }", {"x": [1.0, 2.0]},
    ),
    "branches fill one element each": (
        WALK + "for t in 0..n { if t % 2 == 0 { z[t] ~ Normal(0, 1) } else { z[t] ~ Normal(1, 1) } }\nfactor sum(z)",
        {"n": 5},
    ),
    "branches on a latent fill the same element": (
        WALK + "x ~ Normal(0, 1)\nif x > 0 { z[0] ~ Normal(0, 1) } else { z[0] ~ Normal(1, 1) }\nfactor z[0]", {"n": 5},
    ),
    "filled and read under one condition": (
        WALK + "x ~ Normal(0, 1)\nif x > 0 { z[0] ~ Normal(0, 1) }\nif x > 0 { factor z[0] }", {"n": 2},
    ),
    "never filled, never read": (WALK + "z[0] ~ Normal(0, 1)", {"n": 5}),
    "backwards": (
        WALK + "z[n - 1] ~ Normal(0, 1)\nfor t in 1..n { z[n - 1 - t] ~ Normal(z[n - t], 1) }\nfactor sum(z)", {"n": 4},
    ),
    "a permutation": (
        "data n: int\ndata g: int[n]\nvar z: real[n]\nfor i in 0..n { z[g[i]] ~ Normal(0, 1) }\nfactor sum(z)",
        {"g": [2, 0, 1]},
    ),
    "rows filled in a nested loop": (
        "data n: int\nvar z: real[n, 3]\nfor i in 0..n { for j in 0..3 { "
        "z[i, j] ~ Normal(if j > 0 then z[i, j - 1] else if i > 0 then sum(z[i - 1]) else 0, 1) } }", {"n": 3},
    ),
    "a triangle": (
        WALK + "for i in 0..n { z[i] ~ Normal(0, 1)\n for j in 0..i { factor z[j] * z[i] } }", {"n": 4},
    ),
    "empty loops": (WALK + "for t in 0..n { z[t] ~ Normal(z[t - 1], 1) }", {"n": 0}),
    "empty range": ("data n: int\nm ~ Normal(0, 1)\nfor i in 5..n { for j in 0..i { factor m } }", {"n": 2}),
    "empty comprehension": ("data n: int\nm ~ Normal(0, 1)\nfactor m * sum([1.0 * i for i in 5..n])", {"n": 2}),
    "empty slice": ("data n: int\ndata x: real[n]\nm ~ Normal(0, 1)\nobserve sum(x[1..n]) ~ Normal(m, 1)",
        {"x": [1.0]}),
    "sizes that agree": (
        "data n: int\ndata m: int\ndata x: real[n]\ndata y: real[m]\na ~ Normal(0, 1)\nobserve x + y ~ Normal(a, 1)",
        {"x": [1.0, 2.0], "y": [1.0, 2.0]},
    ),
    "scale cut off by data": (
        "data n: int\ndata sd: real[n]\nm ~ Normal(0, 1)\n"
        "for i in 0..n { if sd[i] > 0 { observe 0 ~ Normal(m, sd[i]) } }", {"sd": [0.0, 2.0]},
    ),
    "scale in a branch that is never taken": (
        "m ~ HalfNormal(1)\nobserve 0 ~ Normal(0, if m >= 0 then m else 0)", {},
    ),
    "the ends of supports": (
        "data y: real\nb ~ LogNormal(0, 1)\nobserve y ~ Exponential(b)\nobserve y ~ HalfNormal(b)\n"
        "observe y ~ Uniform(0, 1)\n"
        "observe y ~ Gamma(1, b)\nobserve y ~ Weibull(1, b)", {"y": 0.0},
    ),
    "a bool": ("data y: bool\np ~ Beta(1, 1)\nobserve y ~ Bernoulli(p)", {"y": True}),
    "rounded simplex": (
        "data p: real[3]\nm ~ Normal(0, 1)\nobserve 1 ~ Categorical(p)", {"p": [0.3333333, 0.3333333, 0.3333334]},
    ),
    "slope that vanishes where nothing else moves the guard": (
        "data n: int\ndata x: real[n]\na ~ Normal(0, 1)\nfor i in 0..n { if x[i] * a > 1 { factor 1 } }",
        {"x": [1.0, 0.0]},
    ),
    "slope that vanishes where a condition cuts off": (
        "data n: int\ndata x: real[n]\na ~ Normal(0, 1)\nb ~ Normal(0, 1)\n"
        "for i in 0..n { if x[i] != 0 and x[i] * a + x[i] * b > 1 { factor 1 } }", {"x": [1.0, 2.0, 0.0]},
    ),
    "a count from data": (
        "data n: int\ndata x: real[n]\nm ~ Normal(0, 1)\nk = 0\nfor i in 0..n { if x[i] > 0 { k = k + 1 } }\n"
        "observe k ~ Binomial(3, inv_logit(m))", {"x": [1.0, 2.0, 0.0, -1.0]},
    ),
    "factor cut off": ("data k: int\nz ~ Normal(0, 1)\nif k > 0 { factor 5 / k }", {"k": 0}),
    "factor cut off by an if-expression": (
        "data k: int\nz ~ Normal(0, 1)\nfactor if k > 0 then 5 / k else z", {"k": 0},
    ),
    "extremes of nothing cut off": (
        "data n: int\ndata x: real[n]\nz ~ Normal(0, 1)\nm = if n > 0 then max(x) else 0.0\n"
        "if n > 0 { factor (mean(x) - min(x)) * m * z }", {"x": []},
    ),
    "sums of nothing": (
        "data n: int\ndata x: real[n]\nz ~ Normal(0, 1)\nfactor (sum(x) + prod(x)) * z", {"x": []},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_accepted(name: str) -> None:
    bound(*GOOD[name])


def test_sums_and_comprehensions_of_data_are_known() -> None:
    text = (
        "data n: int\ndata x: real[n]\nm ~ Normal(0, 1)\ns = 0.0\nfor i in 0..n { s = s + x[i] }\n"
        "d = [x[i] * 2 for i in 0..n]\nobserve 0 ~ Normal(m, s)\nfor i in 0..n { observe 0 ~ Normal(m, d[i]) }"
    )
    bound(text, {"x": [1.0, 2.0]})
    with pytest.raises(DataError) as caught:
        bound(text, {"x": [1.0, -3.0]})
    assert [d.message.split(" is ")[1].split(",")[0] for d in caught.value.diagnostics] == ["-2", "-6"]


def test_all_faults_are_reported_at_once_and_each_once() -> None:
    text = (
        "data n: int\ndata y: int[n]\ndata sd: real[n]\nm ~ Normal(0, 1)\n"
        "for i in 0..n {\n observe y[i] ~ Poisson(1)\n observe 0 ~ Normal(m, sd[i])\n factor m * y[i + 1] }"
    )
    with pytest.raises(DataError) as caught:
        bound(text, {"y": [-1, -1, -1], "sd": [0.0, 0.0, 0.0]})
    assert [d.code for d in caught.value.diagnostics] == ["PPL308", "PPL301", "PPL208"]
    assert all("i = 0" in d.message for d in caught.value.diagnostics[:2])


def test_pieces_agree_with_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loops evaluated a few iterations at a time find what they find all at once."""
    from ppl.bind import iterate

    monkeypatch.setattr(iterate, "CHUNK", 3)
    for name in BAD:
        if "too many iterations" not in name:
            test_rejected(name)
    for name in GOOD:
        test_accepted(name)
    test_sums_and_comprehensions_of_data_are_known()


NEVER = {
    "a count at its beginning": ("n = 0\nfor i in 0..4 { observe 0.3 ~ Normal(x, n)\n n = n + 1 }", "at i = 0 is 0"),
    "computed from it": ("n = 0\nfor i in 0..4 { sd = 0.5 * n\n z = sd\n observe 0.3 ~ Normal(x, z)\n n = n + 1 }",
        "at i = 0 is 0"),
    "in every outer iteration": ("for j in 0..2 { n = j\n for i in 0..4 { observe 1 ~ Poisson(n)\n n = n + 1 } }",
        "at j = 0, i = 0 is 0"),
    "data times a latent": ("data s: real = 0\ny ~ LogNormal(0, 1)\nobserve 0.3 ~ Normal(0, s * y)",
        "is never above 0"),
    "a latent that is always 0": ("data n: int = 0\nk ~ Binomial(n, 0.5)\nobserve 0.3 ~ Normal(0, k)",
        "is never above 0"),
    "trials": ("k ~ Bernoulli(0.5)\nobserve 0 ~ Binomial(k - 2, 0.5)", "is never above -1"),
}  # fmt: skip
SOMETIMES = {
    "asked for first": "n = 0\nfor i in 0..4 { if n > 0 { observe 0.3 ~ Normal(x, n) }\n n = n + 1 }",
    "begins at one": "n = 1\nfor i in 0..4 { observe 0.3 ~ Normal(x, n)\n n = n + 1 }",
    "counted before": "n = 0\nfor i in 0..4 { n = n + 1\n observe 0.3 ~ Normal(x, n) }",
    "no iteration": "n = 0\nfor i in 0..0 { observe 0.3 ~ Normal(x, n)\n n = n + 1 }",
    "a condition with state of its own": "n = 0\non = false\n"
        "for i in 0..4 { if on { observe 0.3 ~ Normal(x, n) }\n n = n + 1\n on = true }",
    "a condition on a latent": "data s: real = 0\nif s * x > 0 { observe 0.3 ~ Normal(0, s * x) }",
    "a latent": "k ~ Binomial(3, 0.5)\nif k > 0 { observe 0.3 ~ Normal(0, k) }",
}  # fmt: skip


@pytest.mark.parametrize("name", NEVER)
def test_arguments_that_are_never_in_their_domain(name: str) -> None:
    text, where = NEVER[name]
    with pytest.raises(ppl.PplError, match=where) as caught:
        ppl.compile(f"x ~ Normal(0, 1)\n{text}\n").bind()
    (found,) = caught.value.diagnostics
    assert found.code == "PPL301" and found.span is not None


@pytest.mark.parametrize("name", SOMETIMES)
def test_arguments_that_may_be_in_their_domain(name: str) -> None:
    ppl.compile(f"x ~ Normal(0, 1)\n{SOMETIMES[name]}\n").bind()


def test_elements_that_nested_loops_draw_or_assign() -> None:
    """Under a condition on a latent, which holds alike for all iterations as far as data say."""
    source = (
        "c ~ Normal(0, 1)\nvar z: int[2, 2]\nfor t in 0..2 { for u in 0..2 {\n"
        "if c > t { z[t, u] ~ Bernoulli(0.4) } else { z[t, u] = u }\nif z[t, u] == 1 { factor c }\n} }\n"
    )
    assert ppl.compile(source).bind().sites


def test_the_hint_for_an_element_of_state_is_the_way_out() -> None:
    before = "data c: int[3]\nrate ~ Beta(2, 2)\nq = [0.5, 0.5]\nm = [[0, 0, 0.0], [0, 0, 0.0]]\nfor k in 0..3 {\n"
    after = "\n}\nobserve 1 ~ Normal(q[0] + m[1, 2], 1)"
    for update in ("q[c[k]] = q[c[k]] + rate * (1 - q[c[k]])", "m[c[k], k] = m[0, k] + rate"):
        with pytest.raises(ppl.PplError) as caught:
            ppl.compile(before + update + after)
        (found,) = caught.value.diagnostics
        assert found.code == "PPL105" and found.hint is not None
        written = found.hint.removeprefix("write `").removesuffix("`")
        ppl.compile(before + written + after).bind({"c": [0, 1, 1]})
