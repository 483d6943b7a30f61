"""Faults as data: rules in TOML or Python, named points in the real processes, every firing numbered and told.

`points.POINTS` is the one table of what can fail and how. docs/howto/faults.md shows the use, sun4v-faults(1) the command.
"""
