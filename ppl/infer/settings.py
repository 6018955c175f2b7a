"""What a fit can be asked for, with the defaults and the reasons for them. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from ppl.language.budget import BOUNDARY_BUDGET, Budget, check_budget

ESTIMATORS = ("combined", "interior", "score")
NOISE = ("antithetic", "independent", "qmc")
INIT = ("prior", "median")  # else a file

DRAWS = 4000  # posterior draws: the k-hat diagnostic and 5% quantiles are steady from here on
MAX_STEPS = 50_000  # without `steps`, a run that is still improving here stops and says so


# Of settings that came later: what was done before, where that is not the default.
BEFORE: Mapping[str, Any] = MappingProxyType({"boundary_budget": None})


class SettingsError(ValueError):
    """A request that makes no sense whatever the model: wrong usage, not a failure of inference."""


class Progress(NamedTuple):
    """What a progress callback receives after every chunk of steps."""

    step: int
    total: int | None  # None: the stop rule decides
    elbo: float  # the best start's, averaged over the chunk; its standard error is `elbo_se`
    elbo_se: float
    lr: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Settings:
    """The part of a request that determines the path of the optimiser; a checkpoint is valid for one of these.

    `lr` is the length of a first step in prior standard deviations (for scales: in log units); it falls in stages.
    `init` is "prior", "median" or where the values of the starts came from. `minibatch` is the number of iterations of
    observation loops behind each draw, None for all. `boundary_budget` is the number of instances of a guard that a
    gradient evaluates where each evaluates the program anew, "auto" what a cost model finds for each guard, None for
    all.
    """

    guide: str = "meanfield"
    estimator: str = "combined"
    seed: int = 0
    samples: int = 2
    lr: float = 0.05
    starts: int = 16
    noise: str = "antithetic"
    stl: bool = False
    marginalise: bool = True
    init: str = "prior"
    minibatch: int | None = None
    boundary_budget: Budget = BOUNDARY_BUDGET

    def __post_init__(self) -> None:
        if self.estimator not in ESTIMATORS:
            raise SettingsError(f"unknown estimator {self.estimator!r}; there are {', '.join(ESTIMATORS)}")
        if self.noise not in NOISE:
            raise SettingsError(f"unknown noise {self.noise!r}; there are {', '.join(NOISE)}")
        if not 0 <= self.seed < 2**32:
            raise SettingsError(f"the seed must be an integer from 0 to 2^32 - 1, not {self.seed}")
        if self.samples < 1:
            raise SettingsError(f"samples must be at least 1, not {self.samples}")
        if self.minibatch is not None and self.minibatch < 1:
            raise SettingsError(f"a minibatch has at least 1 iteration, not {self.minibatch}")
        try:
            check_budget(self.boundary_budget)
        except ValueError as error:
            raise SettingsError(str(error)) from None
        if self.starts < 1:
            raise SettingsError(f"starts must be at least 1, not {self.starts}")
        if not 0 < self.lr < float("inf"):
            raise SettingsError(f"the learning rate must be a positive number, not {self.lr}")
