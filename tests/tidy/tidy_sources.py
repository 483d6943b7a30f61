"""The files the tidy tests look at, and a view of C without comments and strings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOPS = (".ci", "csrc", "docs", "emulator", "images", "ldmd", "tests")
TEXT = {".c", ".h", ".S", ".py", ".pyi", ".def", ".md", ".toml", ".cfg", ".mk", ".ld", ".in", ".1", ".sh", ".txt", ""}
SKIPPED = {"__pycache__", "build", "prebuilt"}


def files(*suffixes: str) -> Iterator[Path]:
    """Files of the project with one of the suffixes, in order. Works in a clone and in an unpacked sdist."""
    tops = [path for path in ROOT.iterdir() if path.is_file() and not path.name.startswith(".git")]
    for top in TOPS:
        tops += (ROOT / top).rglob("*")
    for path in sorted(tops):
        inside = path.relative_to(ROOT)
        if path.is_file() and path.suffix in suffixes and not SKIPPED & set(inside.parts):
            yield path


def texts(*suffixes: str) -> Iterator[tuple[str, str]]:
    """(path from the root, text) of the same files."""
    for path in files(*suffixes):
        yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")


_C_NOISE = re.compile(
    r"""//[^\n]* | /\*.*?\*/ | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*' | ^[ \t]*\#(?:\\\n|[^\n])*""",
    re.DOTALL | re.MULTILINE | re.VERBOSE,
)


def c_code(text: str) -> str:
    """C without comments, literals and directives; every line stays where it was."""
    return _C_NOISE.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
