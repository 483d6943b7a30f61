"""Writes table.h, the calls of the hypervisor as the guest programs of this folder know them.

``python images/programs/hcall/generate_table.py`` in the top directory. The file is committed: guest programs are built
without the emulator. A test compares it with ``csrc/hyp/hcall.def``.
"""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parents[2] / "csrc" / "hyp" / "hcall.def"
_LINE = re.compile(r'^HCALL\((\w+), (\w+), (\w+), (\w+), \w+, (\w+), \w+, "([^"]*)"\)', re.MULTILINE)


def table_text() -> str:
    """The whole file."""
    rows = []
    for trap, function, group, version, name, text in _LINE.findall(SOURCE.read_text()):
        results = [part.strip() for part in text.partition("->")[2].split(",") if part.strip()]
        rows.append(f"  CALL({name}, {trap}, {function}, {group}, {version}, {max(len(results) - 1, 0)})")
    body = " \\\n".join(rows)
    return f"""/* table.h - the hypercalls: CALL(name, trap, function, group, version, results after the status).
 * Written by generate_table.py from csrc/hyp/hcall.def; version as there. */
#ifndef TABLE_H
#define TABLE_H
#define CALLS \\
{body}
#endif
"""


if __name__ == "__main__":
    (HERE / "table.h").write_text(table_text())
