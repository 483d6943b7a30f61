"""A function fits a screen (70 lines), a file a sitting (600)."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tidy_sources import c_code, texts

FUNCTION_LINES = 70
FILE_LINES = 600
# Rows of the instruction table are data, one row a line or two: cutting a group in two helps nobody.
ROW_TABLES = "csrc/isa/groups/"


def python_functions(text: str) -> Iterator[tuple[str, int]]:
    """(name, lines) of every function, its decorators not counted."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield node.name, node.end_lineno - node.lineno + 1


def c_functions(text: str) -> Iterator[tuple[str, int]]:
    """(name, lines) of every function body, from its opening to its closing brace."""
    code = c_code(text)
    depth, start, name = 0, 0, ""
    for found in re.finditer(r"[{}]", code):
        if found[0] == "{":
            if depth == 0:
                head = re.search(r"(\w+)\s*\([^{};]*\)\s*$", code[: found.start()])
                name, start = (head[1] if head else ""), found.start()
            depth += 1
        else:
            depth -= 1
            if depth == 0 and name:
                yield name, code.count("\n", start, found.end()) + 1


def long_functions() -> Iterator[str]:
    """Functions over the limit."""
    for path, text in texts(".py", ".c", ".h"):
        if path.startswith("images/lib/"):
            continue
        for name, lines in python_functions(text) if path.endswith(".py") else c_functions(text):
            if lines > FUNCTION_LINES:
                yield f"{path}: {name}() has {lines} lines"


def test_functions_fit_a_screen() -> None:
    assert list(long_functions()) == []


def test_files_fit_a_sitting() -> None:
    lengths = {path: text.count("\n") for path, text in texts(".py", ".c", ".h", ".S", ".def")}
    assert [
        f"{path} has {lines} lines"
        for path, lines in lengths.items()
        if lines > FILE_LINES and not path.startswith(ROW_TABLES)
    ] == []


def test_long_functions_are_seen() -> None:
    body = "  x();\n" * 80
    text = f"static int\nlong_one(int a,\n int b) {{ /* }} */ char c = '{{';\n{body}}}\n"
    text += 'int short_one(void) { return "}"[0]; }\n'
    assert dict(c_functions(text)) == {"long_one": 82, "short_one": 1}
    assert dict(c_functions("struct a { int b; };\nenum { C,\n D };\nint t[] = {\n1,\n2};")) == {}
    assert dict(python_functions("def f():\n" + "    x = 1\n" * 80)) == {"f": 81}
