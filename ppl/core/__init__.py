"""The core program: typed, inlined, in single-assignment form, with loops and arrays kept as they are."""
