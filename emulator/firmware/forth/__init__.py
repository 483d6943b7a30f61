"""Forth as people use it at the ``ok`` prompt: a virtual machine whose whole state can be saved between two steps."""
