"""The generators: one interface, ``base.Generator``, and the networks behind it."""
