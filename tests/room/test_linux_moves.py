"""An unmodified Linux works hard and moves between a T4 and a T5, back and forth, by `ldm migrate-domain`.

Processes as of a compilation, forks, memory that is written all the time, files, and TCP with a guest that stays: all
check themselves. At the end nothing failed, both kernels have said nothing, the file system is whole, no manager and no
machine has warned of anything. Every 10th move, and the last, the guest is looked at through its console: the loads
have gone on since, the network has its carrier, segments have come, and no TCP connection was reset.

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
from room_support import Console, Shell

pytestmark = [pytest.mark.slow, pytest.mark.nosan]
MOVES = int(os.environ.get("S4V_MOVES", "2"))
MESSAGES = int(os.environ.get("S4V_MOVES_MESSAGES", "3000"))
LOADS = ("compile", "conversation", "dirty", "files", "forks", "stream")
WARNING = re.compile(r"warning|error|defect|Traceback|in use|cannot", re.IGNORECASE)
LOOK = "cat /tmp/failed 2>&-; dmesg; head -n 9 /tmp/*.count; cat /sys/class/net/eth0/carrier; grep ^Tcp: /proc/net/snmp"


@pytest.fixture
def shell() -> Iterator[Shell]:
    home = Path(tempfile.mkdtemp(prefix="s4v-m"))
    made = Shell(home)
    yield made
    made.end()
    shutil.rmtree(home)


def asked(console: Console, command: str) -> str:
    """What a command prints. A prompt of before, which comes late, is not taken for its end."""
    console.type(f"{command}; echo the'' end\n".encode())
    return console.until(b"the end").decode(errors="replace").replace("\r", "")


def tcp_counters(said: str) -> dict[str, int]:
    """Names and values of /proc/net/snmp."""
    names, values = (line.split()[1:] for line in re.findall(r"^Tcp: .*", said, re.MULTILINE))
    return dict(zip(names, map(int, values), strict=True))


def look(shell: Shell, where: str, number: int, before: dict[str, int]) -> dict[str, int]:
    """Nothing has failed so far, the kernel is silent, and all goes on since `before`. Returns the counts.

    A load counts when a round of it has ended. Where moves are fast, none has ended since: the guest is given a second
    of its own time, up to 60 times.
    """
    console = at_prompt(console_port(shell, where, "mover"))
    for command in [LOOK, *[f"sleep 1; {LOOK}"] * 60]:
        said = asked(console, command)
        counts = {name: int(count) for name, count in re.findall(r"/tmp/(\w+).count <==\s+(\d+)", said)}
        tcp = tcp_counters(said)
        grown = [name for name, count in counts.items() if count > before.get(name, 0)]
        if grown and tcp["InSegs"] > before.get("segments", 0):
            break
    console.socket.close()
    print(f"after {number} moves: {' '.join(f'{name}={count}' for name, count in counts.items())}"
          f" segments={tcp['InSegs']} retransmitted={tcp['RetransSegs']}")
    assert "FAILED" not in said and complaints(said) == [], said
    assert re.search(r"^1$", said, re.MULTILINE), f"no carrier: {said}"
    assert tcp["EstabResets"] == 0 and tcp["AttemptFails"] == 0, tcp
    assert tcp["InSegs"] > before.get("segments", 0), f"TCP stands still: {before}, {tcp}"
    assert grown, (before, counts)
    return {**counts, "segments": tcp["InSegs"]}


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
    partner.do("soakload partner; dmesg -c > /dev/null", PROMPT)
    mover.do("soakload start; echo started", PROMPT)
    mover.socket.close()
    where, other, counts = "alpha", "beta", dict[str, int]()
    for number in range(1, MOVES + 1):
        move(shell, where, other)
        print(f"move {number}: {where} to {other}")
        where, other = other, where
        if number % 10 == 0 or number == MOVES:
            counts = look(shell, where, number, counts)
    finish(shell, where)
    said = asked(partner, "cat /tmp/serve.out; dmesg")
    assert "netload: serving" in said and "FAILED" not in said and complaints(said) == [], said
    assert warnings(shell.home) == []


def warnings(home: Path) -> list[str]:
    """What managers and machines have logged that is no plain notice."""
    return [f"{log.relative_to(home)}: {line}" for log in sorted(home.rglob("*.log"))
            for line in log.read_text(errors="replace").splitlines() if WARNING.search(line)]


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
