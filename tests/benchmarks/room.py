"""A machine room's costs: bind and start of up to 127 guests, lists of them, a restart of the manager beside them.

    python tests/benchmarks/room.py [--counts 1,8,32,127] [--runs 3] [--platform m7-16] [--json FILE]

A real machine process, a real ldmd, the real commands; 127 guests and the control domain are all that a platform can
have. Guests stay at OpenBoot's prompt. A row for each number of guests:

* bind, start: the last guest's, through the manager's socket; milliseconds of wall time, and of ldmd's CPU time
  (a start takes a second at least: ldmd asks the network whether somebody else has the guest's MAC address)
* all: seconds since the first guest's bind for all binds and starts so far
* list, list -l: `ldm list` as a process of its own, and the manager's part of it by its socket
* restart: ldmd is killed and started again; until it answers, with every guest still running

Best of the runs; bind and start are the mean of the last guests, of which there are as many as runs. Growth is the last
row over the first.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emulator.hvctl.client import Hvctl
from emulator.places import Place, holder, place
from emulator.power.children import companions, end, spawn
from ldmd.rpc.client import Client

NAME = "bench"
MEMORY = "256M"
COLUMNS = ("bind", "bind cpu", "start", "start cpu", "all s", "list", "list rpc", "list -l", "list -l rpc", "restart",
           "restart cpu")
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_ms(pid: int) -> float:
    """CPU time of a process so far, user and system."""
    words = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) * 1000 / TICKS


def wall_ms(work: Callable[[], object]) -> float:
    """Milliseconds that something takes."""
    begin = time.perf_counter()
    work()
    return (time.perf_counter() - begin) * 1000


@dataclass
class Room:
    """A machine that is on, and what has been done with it."""

    where: Place
    client: Client
    guests: int = 0
    bound_s: float = 0.0
    last: list[dict[str, float]] = field(default_factory=list)

    @property
    def ldmd(self) -> int:
        """The manager's process."""
        return holder(self.where.ldmd_pid) or 0

    def do(self, command: str, **arguments: Any) -> Any:
        """One command."""
        return self.client.call(command, arguments)

    def small_control(self) -> None:
        """Room for guests, and services for them."""
        self.do("start-reconf", domain="primary")
        self.do("set-core", count="1", domain="primary")
        self.do("set-memory", size="4G", domain="primary")
        self.do("stop-domain", domains=["primary"], reboot=True)
        self.do("add-vcc", vcc="primary-vcc0", domain="primary", **{"port-range": "5000-5200"})
        self.do("add-vsw", vswitch="primary-vsw0", domain="primary")

    def add(self) -> None:
        """One more guest, defined, bound and started."""
        self.guests += 1
        name = f"ldg{self.guests}"
        self.do("add-domain", domains=[name])
        self.do("set-vcpu", count="4", domain=name)
        self.do("set-memory", size=MEMORY, domain=name)
        self.do("add-vnet", vnet="net0", vswitch="primary-vsw0", domain=name)
        self.do("set-variable", assignments=["auto-boot?=false"], domain=name)
        row = {}
        for column, command, arguments in (("bind", "bind-domain", {"domain": name}),
                                           ("start", "start-domain", {"domains": [name]})):
            before = cpu_ms(self.ldmd)
            row[column] = wall_ms(lambda c=command, a=arguments: self.do(c, **a))  # type: ignore[misc]
            row[f"{column} cpu"] = cpu_ms(self.ldmd) - before
            self.bound_s += row[column] / 1000
        self.last.append(row)

    def ldm(self, *words: str) -> None:
        """The command as a process."""
        command = [sys.executable, "-c", "from ldmd.cli import main; import sys; sys.exit(main())", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        if sum(f"ldg{number} " in done.stdout for number in range(1, self.guests + 1)) != self.guests:
            raise SystemExit(f"ldm {' '.join(words)} does not show {self.guests} guests")

    def restart(self) -> dict[str, float]:
        """Kill the manager and start another one."""
        self.client.close()
        begin = time.perf_counter()
        end(self.where.ldmd_pid, signal.SIGKILL)
        manager = companions(self.where)[0]
        spawn([manager.module, "--machine", NAME], log=manager.log)
        self.client = Client(self.where.rpc)
        self.do("list-domain")
        row = {"restart": (time.perf_counter() - begin) * 1000, "restart cpu": cpu_ms(self.ldmd)}
        with Hvctl(self.where.hvctl) as machine:
            running = sum(status["state"] == "running" for status in machine.call("guest.list"))
        if running not in (self.guests, self.guests + 1):  # the control domain has no strands of its own
            raise SystemExit(f"{running} guests run after the restart, {self.guests} did before")
        return row


def measure(room: Room, count: int, runs: int) -> dict[str, float]:
    """One row of the table: with so many guests."""
    while room.guests < count:
        room.add()
    last = room.last[-runs:]
    row = {column: sum(each[column] for each in last) / len(last) for column in last[0]} | {"all s": room.bound_s}
    for column, work in (("list", lambda: room.ldm("list")), ("list rpc", lambda: room.do("list-domain")),
                         ("list -l", lambda: room.ldm("list", "-l")),
                         ("list -l rpc", lambda: room.do("list-domain", long=True))):
        row[column] = min(wall_ms(work) for _ in range(runs))
    restarts = [room.restart() for _ in range(runs)]
    return row | {column: min(each[column] for each in restarts) for column in restarts[0]}


def table(rows: dict[int, dict[str, float]]) -> str:
    """Rows of numbers, and how they grow."""
    lines = [f"{'guests':>7}" + "".join(f"{column:>13}" for column in COLUMNS)]
    lines += [f"{count:7}" + "".join(f"{row[column]:13.1f}" for column in COLUMNS) for count, row in rows.items()]
    first, last = next(iter(rows.values())), list(rows.values())[-1]
    growth = "".join(f"{last[c] / first[c]:12.1f}x" if first[c] else f"{'-':>13}" for c in COLUMNS)
    return "\n".join([*lines, f"{'growth':>7}{growth}", "milliseconds; all s: seconds"])


def sun4v(*words: str) -> None:
    """The emulator's command."""
    subprocess.run([sys.executable, "-m", "emulator.cli", *words], check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", default="1,8,32,127", help="ascending numbers of guests")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--platform", default="m7-16")
    parser.add_argument("--json", type=Path, help="write the measurements to this file")
    options = parser.parse_args()
    counts = [int(word) for word in options.counts.split(",")]
    rows: dict[int, dict[str, float]] = {}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # no process is left behind
    with tempfile.TemporaryDirectory(prefix="s4v-") as home:
        os.environ["S4V_HOME"] = home
        os.environ["SUN4V_MACHINE"] = NAME
        try:
            sun4v("power-on", NAME, "--platform", options.platform, "--memory", "512G")
            where = place(NAME)
            room = Room(where, Client(where.rpc))
            room.small_control()
            for count in counts:
                rows[count] = measure(room, count, options.runs)
                print(f"room: {count} guests done", file=sys.stderr)
            room.client.close()
        finally:
            for path in (place(NAME).vntsd_pid, place(NAME).ldmd_pid, place(NAME).machine_pid):
                end(path)
    print(table(rows))
    if options.json:
        options.json.write_text(json.dumps({"platform": options.platform, "runs": options.runs, "guests": rows},
                                           indent=1) + "\n")


if __name__ == "__main__":
    main()
