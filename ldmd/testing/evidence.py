"""What is kept of a test that failed: states, consoles, events, captures, disks, and how to have it all again."""

from __future__ import annotations

import contextlib
import json
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ldmd.testing.domain import Domain
    from ldmd.testing.machine import RoomMachine
    from ldmd.testing.room import Room

MOST_DISK_BYTES = 256 << 20
"""Disks that take more room than this are not copied."""
STATE, SPEC, CONSOLE, STRANDS, EVENTS, ABOUT = (
    "state.image", "domain.json", "console.txt", "strands.txt", "events.jsonl", "README.txt")
README = """\
{nodeid} failed at {seconds:.6f} s of virtual time, after {insns:,} instructions.

Again, from the beginning, the same instruction by instruction:

    python -m pytest {quoted} --sun4v-seed {seed}

From the instant of the failure, in Python:

    from emulator.pytest_plugin import open_saved
    with open_saved({folder!r}, {first!r}) as saved:
        print(saved.console.do("echo still here"))

MACHINE/events.jsonl   what happened on each machine
DOMAIN/console.txt     all that the domain wrote
DOMAIN/strands.txt     registers of its strands
DOMAIN/state.image     its state, and domain.json what it is made of; disks beside it as they were
*.pcapng               frames of its networks (wireshark, tshark -r)
"""


def save_evidence(room: Room, folder: Path, *, nodeid: str, seed: int) -> list[str]:
    """Write everything into a new folder; returns the names of what is there. What cannot be had is left out."""
    folder.mkdir(parents=True)
    for machine in room.machines:
        _machine(machine, folder / machine.name)
    for domain in room.domains:
        with contextlib.suppress(Exception):  # one that is half made has less to show
            _domain(domain, folder / domain.name)
    for capture in room.captures:
        _copy(capture, folder / capture.name)
    room.trace.write(folder / "trace.json")
    first = next((domain.name for domain in room.domains), "")
    (folder / ABOUT).write_text(README.format(
        nodeid=nodeid, quoted=shlex.quote(nodeid), seed=seed, seconds=room.now_ns / 1e9, insns=room.insns,
        folder=str(folder), first=first), encoding="utf-8")
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def _machine(machine: RoomMachine, folder: Path) -> None:
    folder.mkdir()
    events: list[dict[str, Any]] = []
    machine.server.events.subscribe(events.append, 0)
    machine.server.events.unsubscribe(events.append)
    lines = (json.dumps(event, default=repr) for event in events)
    (folder / EVENTS).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _domain(domain: Domain, folder: Path) -> None:
    folder.mkdir()
    (folder / CONSOLE).write_text(domain.console.text, encoding="utf-8")
    guest = domain.guest
    machine = guest.machine
    server = domain.machine.server
    spec = guest.spec.plain()
    kept = {path["backend"]: _disk(Path(path["backend"]), folder) for path in paths_of(spec) if path.get("backend")}
    about = {
        "platform": server.platform_name, "memory_bytes": server.memory_bytes, "seed": domain.room.seed,
        "name": server.name, "services": domain.machine.hvctl.services, "spec": spec, "disks": kept,
        "state": guest.state, "prompt": getattr(domain.setup.prompt, "pattern", None) or domain.setup.prompt,
        "prompt_is_pattern": not isinstance(domain.setup.prompt, str),
    }  # fmt: skip
    (folder / SPEC).write_text(json.dumps(about, indent=2), encoding="utf-8")
    if machine is not None:
        (folder / STATE).write_bytes(guest.post(machine.save).result())
        (folder / STRANDS).write_text("\n".join(strand.print() for strand in machine.strands), encoding="utf-8")


def paths_of(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All paths of the disks of a specification."""
    for disk in spec["disks"]:
        yield from disk.get("paths") or [disk]


def _disk(path: Path, folder: Path) -> str:
    """The name of the copy; "" where there is none."""
    taken = path.stat().st_blocks * 512 if path.exists() else MOST_DISK_BYTES + 1
    if taken > MOST_DISK_BYTES or not path.is_file():
        return ""
    _copy(path, folder / path.name)
    return path.name


def _copy(path: Path, to: Path) -> None:
    subprocess.run(["cp", "--sparse=always", "--reflink=auto", str(path), str(to)], check=False)
