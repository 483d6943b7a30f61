"""A hostile guest on a server, beside two that behave: they go on working, and so does the server.

The guest (images/programs/hcall/vio.c) speaks to its disk, its network and the domain services in messages that are
right, changed and made up; it takes its queues, rings, map tables and pages away, and other strands of it change them
meanwhile. ``S4V_VIO_FUZZ`` is the number of packets, ``S4V_SEED`` the seed.
"""

from __future__ import annotations

import contextlib
import inspect
import itertools
import os
import random
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "server"))

import server_support
from server_support import Room, labos_spec

from emulator import parse_image
from emulator.devices import device, ds, ldc_link, switch, vdisk, vio, vnet
from emulator.hvctl.local import RefusedError
from emulator.server.spec import lab_spec

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = parse_image((ROOT / "images" / "prebuilt" / "hcall-vio.elf").read_bytes())
SANITIZED = "address" in os.environ.get("S4V_EXPECT_SANITIZER", "")
PACKETS = int(os.environ.get("S4V_VIO_FUZZ", "300000"))
SEED = int(os.environ.get("S4V_SEED", "20130326"))
PROGRESS, FINISHED = 0x10000, 0x55
HOSTILE, ONE, TWO = 1, 2, 3
NOT_REACHED = {
    "load", "load_session", "save", "save_session", "connect", "add", "remove", "record", "guest_reset",  # the owner's
    "set_variable", "suspend", "give_up", "set_link", "assign", "_disown", "outside", "pending", "where", "deliver",
    "_generate_next_value_", "drain", "go_on", "tagged_with", "settle",
    "control_attributes", "check_ring", "data", "message", "link_lost", "service", "poll",  # of each kind its own
}  # fmt: skip
"""Methods that no message of a guest leads to."""
LANES = {
    "Switch.collect", "Switch._flow", "VnetPort._serve_lane", "VnetPort._hand_out",  # tests/devices/test_vnet_lane.py
    "VirtualDisk._place", "VirtualDisk._read", "VirtualDisk._write", "VirtualDisk.reconsider",  # C does it
}
"""Of what C serves here, or only in real time."""
DEADLINE = 300
LOOKS, LOOK_SECONDS = 15_000, 0.02
SLICE_NS = 100_000
ENOUGH = 200_000
"""Packets after which every method was reached."""
BATCH = 50_000
"""Packets of one power-on of the guest."""
MIB = 1 << 20
MAC = 0x0014_4FF8_0000
"""Of the guest n MAC + n; the hostile one says that it is any of them."""


class Reached:
    """How often the methods of devices have come to their end: what a hostile guest has got at."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.counts: Counter[str] = Counter()
        for module in (device, ds, ldc_link, switch, vdisk, vio, vnet):
            for _, owner in inspect.getmembers(module, inspect.isclass):
                if owner.__module__ == module.__name__:
                    self._watch(owner, monkeypatch)

    def _watch(self, owner: type, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, method in vars(owner).items():
            if inspect.isfunction(method) and not name.startswith("__"):
                self.counts[method.__qualname__] = 0
                monkeypatch.setattr(owner, name, self._counted(method))

    def check(self) -> None:
        """Fails where there is a method that a guest should have got at, and has not."""
        assert sum(self.counts.values()) > 1000 * len(self.counts) ** 0.5
        never = [name for name, count in self.counts.items() if not count]
        missed = [name for name in never if name not in LANES and name.partition(".")[2] not in NOT_REACHED]
        assert not missed, f"never reached: {' '.join(missed)}"

    def _counted(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **options: Any) -> Any:
            result = method(*args, **options)
            self.counts[method.__qualname__] += 1
            return result

        return counted


class Hostile:
    """The hostile guest of a room, started again with another seed when it has come to its end."""

    def __init__(self, room: Room, *lines: str) -> None:
        self.room, self.lines, self.starts, self.before = room, lines, 0, 0
        self.ends: Counter[str] = Counter()

    @property
    def guest(self) -> Any:
        return self.room.server.guest(HOSTILE)

    def start(self, count: int) -> None:
        """OpenBoot comes up, and the program is put in its place."""
        if self.guest.machine is not None:
            self.room.call("guest.stop", guest=HOSTILE)
        self.room.call("guest.start", guest=HOSTILE)
        self.starts += 1
        words = ["vio", str(SEED + self.starts), str(count), *self.lines]
        self.guest.post(lambda: self._boot(words)).result(DEADLINE)

    def _boot(self, words: list[str]) -> None:
        self.guest.machine.memory.write(PROGRESS, bytes(8))
        self.guest.machine.firmware = None
        self.guest.machine.boot(PROGRAM, args=words)

    @property
    def sent(self) -> int:
        """Packets so far, of all starts."""
        return self.before + int(self.guest.post(self._progress).result(DEADLINE))

    def _progress(self) -> int:
        """In the guest's turn."""
        machine = self.guest.machine
        return machine.memory.load(PROGRESS) if machine is not None else 0

    def run(self, count: int, meanwhile: Callable[[], None]) -> None:
        """So many packets, with something else being done all the time."""
        idle = 0
        while self.sent < count:
            last = self.sent
            if self.guest.machine is None:
                self.start(count - self.sent)
            meanwhile()
            if self.guest.machine is None:  # it has ended
                self.ends[f"{self.guest.why} {self.guest.code:#x}"] += 1
                assert self.guest.why != "error", self.guest.text
                self.before = count  # of this batch
            else:
                idle = idle + 1 if self.sent == last else 0
                assert idle < 20, "it is stuck"


def files(tmp_path: Path) -> dict[int, Path]:
    """A disk for each guest."""
    found = {number: tmp_path / f"disk{number}" for number in (HOSTILE, ONE, TWO)}
    for path in found.values():
        path.write_bytes(bytes(MIB))
    (tmp_path / "base").write_bytes(bytes(MIB))
    return found


def devices(number: int, disk: Path, **changes: Any) -> dict[str, Any]:
    """Of a guest: domain services, a disk, a network."""
    return {
        "services_channel": 1,
        "disks": [{"name": "d", "number": 0, "channels": [2], "backend": str(disk), **changes}],
        "nets": [{"name": "n", "number": 0, "channel": 3, "mac": MAC + number, "switch": "sw"}],
    }


def hostile_spec(disk: Path, **changes: Any) -> dict[str, Any]:
    strands, found = [[n, 1 + 8 * n] for n in range(3)], devices(HOSTILE, disk, **changes)
    # one that C serves, and one that Python does
    found["disks"].append({"name": "e", "number": 1, "channels": [4], "backend": str(disk.with_name("base")),
                           "copy_on_write": True})  # fmt: skip
    return lab_spec(HOSTILE, "hostile", vcpus=strands, **found)


def furnish(room: Room, disks: dict[int, Path]) -> None:
    """The guests, of whom those that behave have come up."""
    room.call("service.configure", switches=[{"name": "sw"}])
    room.add(hostile_spec(disks[HOSTILE]), start=False)
    for number in (ONE, TWO):
        room.add(labos_spec(number, **devices(number, disks[number])))
    room.prompt(ONE, TWO)
    for number in (ONE, TWO):
        room.do(number, f"ifconfig vnet0 10.0.0.{number}/24")
    room.do(TWO, "tcp-echo 7")


def works(room: Room, turn: int) -> None:
    """Disk, network and console of the guests that behave."""
    first = 100 * (turn % 15)
    assert "100 blocks written" in room.do(ONE, f"write c0d0 {first} pattern 100")
    assert room.do(ONE, f"verify c0d0 {first} 100") == f"c0d0: 100 blocks from {first} are the pattern"
    assert "every byte" in (said := room.do(ONE, f"tcp-send 10.0.0.{TWO} 7 20000")), said
    assert room.do(TWO, f"echo {'console ' * 9}{turn}") == f"{'console ' * 9}{turn}"


def manage(room: Room, chance: random.Random, disk: Path) -> None:
    """What a manager does meanwhile; the guest may not have the service, or not be there."""
    guest = {"guest": HOSTILE}
    requests: list[tuple[str, dict[str, Any]]] = [
        ("guest.md_update", {}), ("guest.dr_cpu", {"action": "status", "cpus": [0, 1, 2]}),
        ("guest.dr_mem", {"action": "configure", "blocks": [[1 << 30, 1 << 22]]}),
        ("guest.dr_vio", {"action": "status", "kind": "disk", "number": 0}),
        ("guest.system_info", {"names": ["uts-release"]}),
        ("guest.dr_crypto", {"kind": "mau", "action": "status", "cpus": [0]}),
        ("guest.shutdown", {"delay_ms": 0}), ("guest.panic", {}), ("guest.digest", {}), ("guest.status", {}),
    ]  # fmt: skip
    for op, arguments in chance.sample(requests, 1):
        with contextlib.suppress(RefusedError):
            room.call(op, **guest, **arguments)
    if chance.random() < 0.05:
        for online in (False, True):  # the service of its disk goes, and comes back
            room.call("guest.configure", spec=hostile_spec(disk, online=online))


def check_bounds(room: Room) -> None:
    """What the server keeps for a guest is bounded, whatever that does."""
    machine = room.server.guest(HOSTILE).machine
    for each in machine.devices if machine is not None else ():
        assert each.link.backlog <= 2 * ldc_link.WINDOW, each.name
        assert len(each.save()) < MIB, each.name
    assert room.server.switches.find("sw")[1].ports


def test_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reached = Reached(monkeypatch)
    monkeypatch.setattr(server_support, "STEP_NS", SLICE_NS)
    disks, chance, turns = files(tmp_path), random.Random(SEED), itertools.count()
    with Room(memory_bytes=64 << 30, slice_ns=SLICE_NS) as room:
        furnish(room, disks)
        hostile = Hostile(room, "services1", "disk2", "net3", "disk4")
        advance = room.server.advance

        def advance_and_manage(ns: int) -> int:
            manage(room, chance, disks[HOSTILE])
            check_bounds(room)
            return advance(ns)

        monkeypatch.setattr(room.server, "advance", advance_and_manage)
        print(f"S4V_SEED={SEED} S4V_VIO_FUZZ={PACKETS}")
        while hostile.sent < PACKETS:
            hostile.run(min(hostile.sent + BATCH, PACKETS), lambda: works(room, next(turns)))
        works(room, next(turns))
        print(f"{hostile.sent} packets, {hostile.ends}, {next(turns)} turns of the others")
    if PACKETS >= ENOUGH:
        reached.check()


class RealRoom(Room):
    """A server in real time: guests run on threads of the host beside each other."""

    def __init__(self) -> None:
        super().__init__(memory_bytes=64 << 30, deterministic=False)

    def until(self, happens: Callable[[], object], *, what: str = "", most_ns: int = 0) -> None:
        del most_ns
        for _ in range(LOOKS):
            if happens():
                return
            self.server.off.wait(LOOK_SECONDS)
        raise AssertionError(f"it does not happen: {what or happens}")


def test_others_go_on_in_real_time(tmp_path: Path) -> None:
    """Two more strands of the hostile guest change its rings, tables and queues while they are read."""
    disks, turns = files(tmp_path), itertools.count()
    with RealRoom() as room:
        furnish(room, disks)
        hostile = Hostile(room, "services1", "disk2", "net3", "disk4")
        print(f"S4V_SEED={SEED} S4V_VIO_FUZZ={PACKETS}")
        while hostile.sent < PACKETS // 4:
            hostile.run(min(hostile.sent + BATCH, PACKETS // 4), lambda: works(room, next(turns)))
        works(room, next(turns))
        room.call("guest.stop", guest=HOSTILE) if hostile.guest.machine is not None else None
        print(f"{hostile.sent} packets, {hostile.ends}, {next(turns)} turns of the others")
