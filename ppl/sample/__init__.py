"""Sampling the posterior with BlackJAX, to check fits against. Importing this package imports jax."""

from ppl.sample.posterior import METHODS, sample
from ppl.sample.result import Samples

__all__ = ["METHODS", "Samples", "sample"]
