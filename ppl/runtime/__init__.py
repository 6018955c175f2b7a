"""What emitted code calls. Emitted modules depend on jax and on this package, and on nothing else of the compiler.

`densities`, `supports`, `functions` and `samplers` hold the mathematics of single draws. `point` says where a program
is evaluated, `control` runs its guards and loops, `surface` turns a jump on a boundary into its gradient.
"""
