"""Tables of the language that need no jax: distributions and built-in functions."""
