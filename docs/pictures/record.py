"""Writes demo.cast and demo.svg: what `make demo` shows on a terminal.

``python docs/pictures/record.py`` in the top directory, with the package installed, runs the demo on a terminal of its
own and records it: demo.cast is an asciicast (version 2), which `asciinema play` shows; demo.svg is its last screen.
"""

from __future__ import annotations

import json
import os
import pty
import re
import select
import sys
import time
from pathlib import Path
from xml.sax.saxutils import escape

HERE = Path(__file__).resolve().parent
COLUMNS, ROWS = 100, 48
COMMAND = "make demo"
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
WIDTH, HEIGHT, MARGIN = 8.4, 18, 16
COMMAND_CLASS = ' class="c"'


def run(command: list[str]) -> list[tuple[float, str]]:
    """What the command writes on a terminal, each piece with its second. Raises RuntimeError where it fails."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ |= {"COLUMNS": str(COLUMNS), "LINES": str(ROWS), "TERM": "xterm-256color"}
        os.execv(command[0], command)
    begun, pieces = time.monotonic(), []
    while True:
        select.select([terminal], [], [])
        try:
            data = os.read(terminal, 1 << 16)
        except OSError:  # how a terminal says that nobody has it open any more
            break
        if not data:
            break
        pieces.append((round(time.monotonic() - begun, 3), data.decode(errors="replace")))
    _, status = os.waitpid(pid, 0)
    if status != 0:
        shown = "".join(text for _, text in pieces)
        raise RuntimeError(f"{command} ended with {os.waitstatus_to_exitcode(status)}:\n{shown}")
    return pieces


def screen(text: str) -> list[str]:
    """The lines that stand in the end: a carriage return goes back to the beginning of its line."""
    lines = []
    for line in CONTROL.sub("", text).replace("\r\n", "\n").split("\n"):
        shown = ""
        for part in line.split("\r"):
            shown = part + shown[len(part):]
        lines.append(shown.rstrip())
    while lines and not lines[-1]:
        lines.pop()
    return lines


def svg(lines: list[str]) -> str:
    """A picture of a terminal."""
    width = 2 * MARGIN + WIDTH * max(map(len, lines))
    height = 2 * MARGIN + HEIGHT * len(lines) + 14
    rows = "\n".join(
        f'<text x="{MARGIN}" y="{MARGIN + 14 + HEIGHT * (i + 1) - 5}"'
        f'{COMMAND_CLASS if line.startswith("$ ") else ""}>{escape(line)}</text>'
        for i, line in enumerate(lines) if line
    )  # fmt: skip
    dots = "".join(f'<circle cx="{MARGIN + 16 * i}" cy="14" r="5" fill="{colour}"/>'
                   for i, colour in enumerate(("#e0635c", "#e2b93b", "#5cb85c")))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" role="img" '
        f'aria-label="{escape(COMMAND)}: a running domain moves from a T4 to a T5 and back">\n'
        "<style>text{font:14px ui-monospace,Menlo,Consolas,monospace;fill:#d7dae0;white-space:pre}"
        ".c{fill:#8fd18f;font-weight:bold}</style>\n"
        f'<rect width="100%" height="100%" rx="8" fill="#1d2027"/>{dots}\n{rows}\n</svg>\n'
    )


def main() -> int:
    """Run, record, write."""
    pieces = run([sys.executable, "-m", "emulator.cli", "demo"])
    typed = f"$ {COMMAND}\r\n"
    header = {"version": 2, "width": COLUMNS, "height": ROWS, "title": "sun4v: " + COMMAND}
    events = [[0.0, "o", typed], *([at, "o", text] for at, text in pieces)]
    (HERE / "demo.cast").write_text("".join(json.dumps(each) + "\n" for each in (header, *events)))
    (HERE / "demo.svg").write_text(svg(screen(typed + "".join(text for _, text in pieces))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
