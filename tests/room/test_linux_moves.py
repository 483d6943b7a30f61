"""An unmodified Linux works hard and moves between a T4 and a T5, back and forth, by `ldm migrate-domain`.

Processes as of a compilation, forks, memory that is written all the time, files, and TCP with a guest that stays: all
check themselves. At the end nothing failed, the kernel has said nothing, the file system is whole. Every 10th move, and
the last, the guest is looked at through its console.

    S4V_MOVES=100 pytest -q -s tests/room/test_linux_moves.py
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from linux_moves import PROMPT, at_prompt, build, check_file_system, complaints, console_port, trust_each_other
from room_support import Shell

pytestmark = [pytest.mark.slow, pytest.mark.nosan]
MOVES = int(os.environ.get("S4V_MOVES", "2"))
MESSAGES = int(os.environ.get("S4V_MOVES_MESSAGES", "3000" if MOVES < 10 else "30000"))
LOADS = ("compile", "conversation", "dirty", "files", "forks", "stream")


@pytest.fixture
def shell() -> Iterator[Shell]:
    home = Path(tempfile.mkdtemp(prefix="s4v-m"))
    made = Shell(home)
    yield made
    made.end()
    shutil.rmtree(home)


def look(shell: Shell, where: str, number: int) -> None:
    """Nothing has failed so far, the kernel is silent, and the loads go on."""
    console = at_prompt(console_port(shell, where, "mover"))
    said = console.do("cat /tmp/failed 2>&-; dmesg; head -n 9 /tmp/*.count", PROMPT)
    counts = re.findall(r"/tmp/(\w+).count <==\s+(\d+)", said)
    print(f"after {number} moves: {' '.join('='.join(each) for each in counts)}")
    assert "FAILED" not in said and complaints(said) == [], said
    console.socket.close()


def move(shell: Shell, where: str, other: str) -> None:
    """One; what both managers have logged goes with an error."""
    try:
        shell.ldm("-m", where, "migrate-domain", "-c", "mover", other)
    except AssertionError as error:
        logs = [f"{log}: {line}" for log in sorted(shell.home.rglob("ldmd.log"))
                for line in log.read_text().splitlines()[-12:]]
        raise AssertionError("\n".join([str(error), *logs])) from None


def test_linux_under_load_moves_back_and_forth(shell: Shell) -> None:
    port = build(shell, messages=MESSAGES)
    trust_each_other(shell.home)
    partner, mover = at_prompt(port + 1), at_prompt(port)
    partner.do("soakload partner", PROMPT)
    mover.do("soakload start; echo started", PROMPT)
    mover.socket.close()
    where, other = "alpha", "beta"
    for number in range(1, MOVES + 1):
        move(shell, where, other)
        print(f"move {number}: {where} to {other}")
        where, other = other, where
        if number % 10 == 0 or number == MOVES:
            look(shell, where, number)
    finish(shell, where)


def finish(shell: Shell, where: str) -> None:
    """The loads end, and everything is looked at."""
    console = at_prompt(console_port(shell, where, "mover"))
    console.type(b"soakload stop\n")
    said = console.until(b"END of it").decode(errors="replace")
    print(said)
    counts = {name: int(count) for name, count in re.findall(r"(\w+)=(\d+)", said)}
    assert "FAILED" not in said
    assert all(counts.get(name, 0) > 0 for name in LOADS), counts
    assert complaints(said.partition("DMESG")[2]) == []
    assert check_file_system(shell.home / "data.img") == ""
