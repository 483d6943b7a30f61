"""The version of the distribution (written in pyproject.toml, nowhere else)."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("sun4v")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+source"
