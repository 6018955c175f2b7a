"""The result of a check, and what it says in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

AGREES, BIASED, UNDECIDED, NOT_FINITE = "agrees", "biased", "undecided", "not finite"
NAMES = {"interior": "plain automatic differentiation", "combined": "the combined estimator",
         "score": "the score estimator", "custom": "the estimator"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Component:
    """One number of the gradient: what the estimator gives on average, and what it should give.

    `site`, `kind` ("loc", "log_scale") and `index` name the parameter. `method` is how the reference was computed, `z`
    the difference in standard errors, `p` its probability under the hypothesis that there is none, corrected for the
    number of components. `visible` is the bias that would have been seen with a probability of 0.98. `unit` is the
    guide's standard deviation for a location and 1 otherwise: gradients times `unit` can be compared with each other.
    `verdict` is "agrees", "biased", "undecided" or "not finite".
    """

    site: str
    kind: str
    index: tuple[int, ...]
    estimate: float
    se: float
    reference: float
    reference_se: float
    z: float
    p: float
    visible: float
    unit: float
    method: str
    verdict: str

    @property
    def name(self) -> str:
        index = f"[{', '.join(map(str, self.index))}]" if self.index else ""
        return f"{self.site}{index}" + (f".{self.kind}" if self.kind else "")


@dataclass(frozen=True, slots=True)
class GradientCheck:
    """Every component of one estimator's gradient against a reference.

    `program` names the problem, `estimator` what was checked; `elbo` is in nats with standard error `elbo_se`. `draws`
    are those behind the estimate, `reference_draws` those behind the reference, by method. `repeated` is the number of
    components that looked wrong and were estimated again, from ten times as many fresh draws: `components` has the
    second result. `of` is the number of parameters, larger than that of components where only some were checked.
    """

    program: str
    estimator: str
    components: tuple[Component, ...]
    draws: int
    reference_draws: Mapping[str, int]
    seed: int
    elbo: float
    elbo_se: float
    repeated: int
    of: int

    @property
    def wrong(self) -> tuple[Component, ...]:
        """The components that are biased or not finite, the clearest first."""
        found = [c for c in self.components if c.verdict in (BIASED, NOT_FINITE)]
        return tuple(sorted(found, key=lambda c: -abs(c.z) if math.isfinite(c.z) else -math.inf))

    @property
    def undecided(self) -> tuple[Component, ...]:
        """The components that nothing can be said about: a bias as large as the gradient could hide in the noise."""
        return tuple(c for c in self.components if c.verdict == UNDECIDED)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong. Look at `undecided` for what could not be judged."""
        return not self.wrong

    @property
    def relative_error(self) -> float:
        """The length of the bias over the length of the gradient, both in units of the guide's standard deviations and
        with the expected share of the noise taken off; NaN if the gradient is lost in the noise. The bias is that of
        the components where there is one for certain: the noise of the others may be many times as large.
        """
        bias = sum(((c.estimate - c.reference) ** 2 - c.se**2 - c.reference_se**2) * c.unit**2 for c in self.wrong)
        size = sum((c.reference**2 - c.reference_se**2) * c.unit**2 for c in self.components)
        noise = sum((c.reference_se * c.unit) ** 2 for c in self.components)
        return math.sqrt(max(bias, 0.0) / size) if size > 10 * noise else math.nan

    def assert_ok(self) -> None:
        """Raises AssertionError, with the summary and the table, unless :attr:`ok`."""
        if not self.ok:
            raise AssertionError(f"{self.summary()}\n\n{self.table()}")

    def summary(self) -> str:
        """The verdict in a few sentences, one per line, and what the check could not have seen."""
        return "\n".join([self.verdict(), *_power(self)])

    def verdict(self) -> str:
        """Whether the estimator is right, in one to three sentences, one per line."""
        return "\n".join(_verdict(self))

    def table(self) -> str:
        """One line per component."""
        head = f"{'gradient':<24} {'estimate':>12} {'+-':>10} {'reference':>12} {'+-':>10} {'z':>8}  verdict"
        lines = [
            f"{c.name:<24} {c.estimate:>12.5g} {c.se:>10.2g} {c.reference:>12.5g} {c.reference_se:>10.2g}"
            f" {c.z:>8.1f}  {c.verdict}"
            for c in self.components
        ]
        return "\n".join([head, *lines])

    def to_json(self) -> dict[str, Any]:
        """JSON values only, None for what is not a number."""
        whole = {**asdict(self), "ok": self.ok, "summary": self.summary()}
        whole["components"] = [{"name": c.name, **asdict(c)} for c in self.components]
        return _plain(whole)


def _verdict(check: GradientCheck) -> list[str]:
    who, count, wrong = NAMES[check.estimator], len(check.components), check.wrong
    judged = count - len(check.undecided)
    what = _count(count) if check.of == count else f"{_count(count)} checked, of {check.of} there are"
    if not wrong:
        if not judged:
            return [f"Nothing can be said about {who}: the noise hides a bias as large as the gradient itself."]
        z = max((c for c in check.components if c.verdict == AGREES), key=lambda c: abs(c.z))
        where = f"all {what}" if judged == count else f"{judged} of {what}"
        return [_capital(f"{who} agrees with the reference in {where} (largest |z| {abs(z.z):.1f}, in `{z.name}`).")]
    worst = wrong[0]
    lines = [_capital(f"{who} is {_fault(wrong)} in {len(wrong)} of {what}.")]
    if worst.verdict == NOT_FINITE:
        lines.append(f"`{worst.name}` is not finite; it should be {_value(worst.reference, worst.reference_se)}.")
    else:
        lines.append(
            f"Most clearly: `{worst.name}` should be {_value(worst.reference, worst.reference_se)},"
            f" {'plain AD' if check.estimator == 'interior' else 'it'} says {_value(worst.estimate, worst.se)}"
            f" (z = {worst.z:.1f})."
        )
    if math.isfinite(check.relative_error):
        lines.append(f"Its error in these is {_share(check.relative_error)} the gradient.")
    return lines


def _fault(wrong: Sequence[Component]) -> str:
    kinds = {c.verdict for c in wrong}
    return "biased or not finite" if len(kinds) > 1 else BIASED if kinds == {BIASED} else NOT_FINITE


def _power(check: GradientCheck) -> list[str]:
    """What the check could have seen."""
    undecided, lines = check.undecided, list[str]()
    if undecided:
        worst = max(undecided, key=lambda c: c.visible * c.unit)
        rest = (
            "" if len(undecided) == len(check.components) else f"Nothing can be said about {_count(len(undecided))}: "
        )
        noise = (
            f"in `{worst.name}`, only a bias of more than {worst.visible:.2g} would have been seen; more draws help."
        )
        lines.append(_capital(rest + noise))
    agreeing = [c.visible for c in check.components if c.verdict == AGREES]
    if agreeing and not check.wrong:
        low, high = f"{min(agreeing):.2g}", f"{max(agreeing):.2g}"
        lines.append(
            f"A bias of more than {low if low == high else f'{low} to {high}, by component,'} would have been seen."
        )
    return lines


def _count(n: int) -> str:
    return f"{n} gradient{'s' if n != 1 else ''}"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _share(ratio: float) -> str:
    if ratio >= 2:
        return f"{ratio:.0f} times as long as"
    return f"{100 * ratio:.0f}% of the length of" if ratio >= 0.1 else f"{100 * ratio:.2g}% of the length of"


def _value(mean: float, se: float) -> str:
    """``1.840 +- 0.020``: as many digits as the standard error leaves, and one more."""
    decimals = 3 if not (math.isfinite(se) and se > 0) else min(max(1 - math.floor(math.log10(se)), 0), 7)
    return f"{mean:.{decimals}f} +- {se:.{decimals}f}"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
