"""Scripts and programs under test: real processes that call the real `ldm`, whose managers are those of a room."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from emulator.places import HOME, MACHINE, Hold, Place, hold
from ldmd.rpc.access import Access
from ldmd.rpc.server import Server as RpcServer

if TYPE_CHECKING:
    from ldmd.testing.machine import RoomMachine
    from ldmd.testing.room import Room

TOOLS = {"ldm": "ldmd.cli", "sun4v": "emulator.cli"}
HOST_SECONDS = 120.0
"""After which a script is killed: it waits for something that never comes."""


class Doors:
    """Sockets of all managers of a room, as `ldm` finds them with the room's S4V_HOME."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._servers: dict[str, RpcServer] = {}
        self._held: list[Hold] = []
        self._tools = room.home / "bin"
        self._tools.mkdir()
        for name, module in TOOLS.items():
            path = self._tools / name
            path.write_text(f"#!{sys.executable}\nimport sys\nfrom {module} import main\nsys.exit(main())\n")
            path.chmod(0o755)

    def open(self) -> None:
        """For machines that have none yet."""
        for machine in self._room.machines:
            if machine.name not in self._servers:
                self._open(machine)

    def _open(self, machine: RoomMachine) -> None:
        where = Place(machine.name, self._room.home / "run" / machine.name, self._room.home / "machines" / machine.name)
        where.make()
        self._held.append(hold(where.machine_pid))
        server = self._servers[machine.name] = RpcServer(machine.manager, where.rpc, Access())
        server.start()

    def environment(self, extra: Mapping[str, str]) -> dict[str, str]:
        """Of a process that shall find the room's machines."""
        found = {name: value for name, value in os.environ.items() if name != MACHINE}
        path = f"{self._tools}{os.pathsep}{found.get('PATH', os.defpath)}"
        # the package is found by processes as it was found here
        python = os.pathsep.join([str(Path(__file__).resolve().parents[2]), *filter(None, [found.get("PYTHONPATH")])])
        return found | {HOME: str(self._room.home), "PATH": path, "PYTHONPATH": python} | dict(extra)

    def close(self) -> None:
        """No more clients."""
        for server in self._servers.values():
            server.close()
        for held in self._held:
            held.release()


def run_script(room: Room, words: Sequence[str | Path], *, stdin: str = "", cwd: str | Path | None = None,
               environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program that calls `ldm`; status and output. Virtual time passes where it makes guests answer.

    Raises subprocess.TimeoutExpired after HOST_SECONDS, OSError where it cannot be started.
    """
    if room.doors is None:
        room.doors = Doors(room)
    room.doors.open()
    env = room.doors.environment(environment or {})
    return room.operate(lambda: subprocess.run(
        [str(word) for word in words], input=stdin, capture_output=True, text=True, check=False, env=env, cwd=cwd,
        timeout=HOST_SECONDS))
