"""Sampling the posterior with BlackJAX, to check fits against. Importing this package imports jax."""
