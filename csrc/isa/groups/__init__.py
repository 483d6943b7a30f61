"""Rows of the instruction table, one module per group; ``ALL`` is the whole table in reading order."""
