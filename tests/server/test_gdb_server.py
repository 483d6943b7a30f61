"""A debugger at a guest of a server, through hvctl, in virtual time; the guest sees nothing of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from server_support import Room, labos_spec

from emulator.hvctl.local import LocalHvctl, RefusedError

STEP_NS = 2_000_000


class Debugged:
    """A room with one labos guest at its prompt, and a client that debugs it."""

    def __init__(self, room: Room) -> None:
        self.room = room

    def call(self, op: str, /, **args: Any) -> Any:
        return self.room.call(f"guest.debug.{op}", guest=1, **args)

    def attach(self) -> Mapping[str, Any]:
        place: Mapping[str, Any] = self.call("attach")
        return place

    def go(self, **how: Any) -> Mapping[str, Any]:
        """Resume, and let time pass until it stands."""
        number = next(RUNS)
        self.call("resume", run=number, **how)
        found: list[Mapping[str, Any]] = []

        def stands() -> bool:
            found[:] = [each for each in self.room.events
                        if each["event"] == "guest.debug.stopped" and each["run"] == number]
            return bool(found)

        self.room.until(stands)
        return found[0]

    def registers(self, strand: int = 0) -> Mapping[str, int]:
        values: Mapping[str, int] = self.call("registers", strand=strand)["values"]
        return values

    @property
    def insns(self) -> int:
        machine = self.room.server.guest(1).machine
        assert machine is not None
        return machine.insns


    def step_until(self, holds: Callable[[Mapping[str, int]], bool]) -> Mapping[str, int]:
        """Step strand 0 until its registers are so."""
        for _ in range(3000):
            if holds(self.registers()):
                return self.registers()
            self.go(step=0)
        raise AssertionError("it does not come so far")


RUNS = itertools.count(1)


@pytest.fixture(scope="module")
def room() -> Iterator[Room]:
    with Room() as made:
        made.add(labos_spec(1))
        made.prompt(1)
        yield made


@pytest.fixture
def debugged(room: Room) -> Iterator[Debugged]:
    """Whatever became of the guest in the test before, it is at its prompt."""
    begin = len(room.text(1))
    if room.status(1)["state"] != "running":
        room.call("guest.start", guest=1)
    else:
        room.type(1, "")
    room.until(lambda: room.text(1)[begin:].endswith("\n# "))
    yield Debugged(room)
    room.call("guest.debug.detach", guest=1)


def test_a_guest_that_stands(debugged: Debugged) -> None:
    """Nothing of it moves, what is typed is kept, and who asks is told; then it goes on as if nothing had been."""
    room = debugged.room
    place = debugged.attach()
    assert place["reason"] == "attached"
    before, registers = debugged.insns, debugged.registers()
    room.type(1, "uname -s")
    room.server.advance(50 * STEP_NS)
    assert debugged.insns == before
    assert debugged.registers() == registers
    assert room.status(1)["soft_state"] == {"normal": False, "text": "stopped by a debugger"}
    debugged.call("detach")
    room.until(lambda: "uname -s\nSunOS\n" in room.text(1))
    assert room.status(1)["soft_state"]["normal"]


def test_who_may(debugged: Debugged) -> None:
    room = debugged.room
    with pytest.raises(RefusedError) as no:
        debugged.call("registers", strand=0)
    assert no.value.code == "state"
    debugged.attach()
    with LocalHvctl(room.server) as other:
        with pytest.raises(RefusedError, match="by somebody else") as busy:
            other.call("guest.debug.attach", guest=1)
        assert busy.value.code == "busy"
        other.call("guest.debug.detach", guest=1)  # not its own
    debugged.call("registers", strand=0)
    for op in ("guest.suspend", "guest.suspend_request"):
        with pytest.raises(RefusedError, match="once the debugger has been detached"):
            room.call(op, guest=1)
    debugged.call("resume", run=7)
    with pytest.raises(RefusedError, match="runs: stop it first"):
        debugged.call("registers", strand=0)
    assert room.status(1)["soft_state"]["text"] == "running under a debugger"
    debugged.call("detach")
    room.call("guest.suspend", guest=1)
    with pytest.raises(RefusedError, match="suspended"):
        debugged.attach()
    room.call("guest.resume", guest=1)


def test_a_connection_that_ends_detaches(debugged: Debugged) -> None:
    room = debugged.room
    other = LocalHvctl(room.server)
    other.call("guest.debug.attach", guest=1)
    other.close()
    assert room.server.guest(1).debugger is None
    assert room.do(1, "uname -s") == "SunOS"


def test_breakpoints_and_steps(debugged: Debugged) -> None:
    """Where the guest waits is where it goes on: a breakpoint there is met, and steps do one instruction each."""
    debugged.attach()
    pc = debugged.registers()["pc"]
    debugged.call("breakpoint", va=pc, on=True)
    debugged.call("breakpoint", va=pc, on=True)
    assert debugged.call("info")["breakpoints"] == 1
    stop = debugged.go()
    assert (stop["reason"], stop["strand"], stop["va"]) == ("breakpoint", 0, pc)
    assert debugged.registers()["pc"] == pc
    seen = []
    for _ in range(20):
        before, strand = debugged.insns, debugged.registers()
        assert debugged.go(step=0)["reason"] == "step"
        after = debugged.registers()
        seen.append(after["pc"])
        assert debugged.insns - before == 1 or after["tl"] > strand["tl"]
    assert len(set(seen)) > 10
    assert debugged.go(only=0)["reason"] == "breakpoint"
    debugged.call("breakpoint", va=pc, on=False)
    assert debugged.call("info")["breakpoints"] == 0
    with pytest.raises(RefusedError):
        debugged.call("breakpoint", va=pc + 1, on=True)


def test_a_strand_that_waits_is_stepped_when_it_wakes(debugged: Debugged) -> None:
    debugged.attach()
    assert {each["state"] for each in debugged.call("strands")} == {"waiting"}
    pc = debugged.registers()["pc"]
    assert debugged.go(step=0)["reason"] == "step"
    assert debugged.registers()["pc"] != pc
    assert debugged.call("info")["breakpoints"] == 0


STORES = {0x04: 4, 0x05: 1, 0x06: 2, 0x0E: 8}
"""Bytes of stw, stb, sth, stx by op3 (SPARC V9, A.52)."""


def next_store(debugged: Debugged, values: Mapping[str, int]) -> tuple[int, int] | None:
    """Address and bytes of the store at the pc; None: there is none."""
    word = int.from_bytes(debugged.call("read", strand=0, va=values["pc"], bytes=4), "big")
    if word >> 30 != 3 or (word >> 19 & 0x3F) not in STORES:
        return None
    names = [f"{bank}{n}" for bank in "goli" for n in range(8)]
    offset = ((word & 0x1FFF) ^ 0x1000) - 0x1000 if word >> 13 & 1 else values[names[word & 31]]
    base = 0 if word >> 14 & 31 == 0 else values[names[word >> 14 & 31]]
    return (base + offset) % (1 << 64), STORES[word >> 19 & 0x3F]


def test_a_watchpoint_stops_behind_the_access(debugged: Debugged) -> None:
    """A store that is about to be: the client is told when it is done, whether it is stepped or run."""
    room = debugged.room
    debugged.attach()
    for how in ({}, {"step": 0}):
        values = debugged.step_until(lambda values: next_store(debugged, values) is not None)
        store = next_store(debugged, values)
        assert store is not None
        va, size = store
        debugged.call("watch", va=va, bytes=size, kind="write", on=True)
        before = debugged.insns
        stop = debugged.go(**how)
        assert (stop["reason"], stop["strand"], stop["va"], stop["access"]) == ("watch", 0, va, "write")
        assert debugged.registers()["pc"] == values["npc"]
        assert debugged.insns == before + 1
        debugged.call("watch", va=va, bytes=size, kind="write", on=False)
    values = debugged.step_until(lambda values: next_store(debugged, values) is not None)
    va, size = next_store(debugged, values) or (0, 0)
    debugged.call("watch", va=va, bytes=size, kind="access", on=True)
    assert debugged.go()["access"] == "access"
    with pytest.raises(RefusedError, match="kind"):
        debugged.call("watch", va=va, bytes=size, kind="sniff", on=True)
    assert debugged.call("info")["watchpoints"] == 1
    debugged.call("detach")
    assert room.do(1, "uname -s") == "SunOS"


def test_registers_and_memory(debugged: Debugged) -> None:
    debugged.attach()
    values = debugged.step_until(lambda values: values["canrestore"] > 1)
    debugged.call("set_registers", strand=0, values={"g3": 0x1234567890ABCDEF, "l5": 7})
    assert debugged.registers()["g3"] == 0x1234567890ABCDEF
    assert debugged.registers()["l5"] == 7
    with pytest.raises(RefusedError, match="nonsense"):
        debugged.call("set_registers", strand=0, values={"g3": 1, "nonsense": 2})
    assert debugged.registers()["g3"] == 0x1234567890ABCDEF  # all, or none
    debugged.call("set_registers", strand=0, values={"g3": values["g3"], "l5": values["l5"]})
    assert debugged.registers() == values
    whole = debugged.call("registers", strand=0)
    assert len(whole["windows"]) == values["canrestore"]
    old = whole["windows"][0]
    debugged.call("set_registers", strand=0, window=0, values={"l0": 5, "i7": 9})
    new = debugged.call("registers", strand=0)["windows"][0]
    assert (new[0], new[15], new[1:15]) == (5, 9, old[1:15])
    debugged.call("set_registers", strand=0, window=0, values={"l0": old[0], "i7": old[15]})
    with pytest.raises(RefusedError):
        debugged.call("set_registers", strand=0, window=6, values={"l0": 5})
    va = values["o6"] + 2047
    data = debugged.call("read", strand=0, va=va, bytes=16)
    debugged.call("write", strand=0, va=va, data=bytes(range(16)))
    assert debugged.call("read", strand=0, va=va, bytes=16) == bytes(range(16))
    debugged.call("write", strand=0, va=va, data=data)
    told = debugged.call("translate", strand=0, va=va)
    machine = debugged.room.server.guest(1).machine
    assert machine is not None
    assert machine.memory.read(told["ra"], 16) == data
    block = debugged.room.server.guest(1).spec.memory[0]
    assert told["pa"] - told["ra"] == block.pa - block.ra
    nowhere = 0x7FF000000000
    assert debugged.call("translate", strand=0, va=nowhere) == {"ra": None, "pa": None}
    for refused in (lambda: debugged.call("read", strand=0, va=nowhere, bytes=4),
                    lambda: debugged.call("write", strand=0, va=nowhere, data=b"a"),
                    lambda: debugged.call("registers", strand=99),
                    lambda: debugged.call("set_registers", strand=0, values={"g1": -1}),
                    lambda: debugged.call("read", strand=0, va=0, bytes=1 << 20),
                    lambda: debugged.call("resume", run=1, step=0, only=1)):  # fmt: skip
        with pytest.raises(RefusedError):
            refused()


def test_a_trap_at_the_last_level_is_shown_before_the_guest_is_halted(debugged: Debugged) -> None:
    room = debugged.room
    debugged.attach()
    debugged.call("set_registers", strand=0, values={"tl": 2, "tba": 0x7FF000000000, "pc": 0x7FF000000000})
    debugged.call("breakpoint", va=debugged.registers()["pc"] + 0x100, on=True)
    room.type(1, "")
    stop = debugged.go()
    assert stop["reason"] == "dying"
    assert room.status(1)["state"] == "running"
    assert debugged.registers()["tl"] == 2
    debugged.call("resume", run=99)
    room.until(lambda: room.status(1)["state"] == "halted")
    assert room.states(1)[-1] == ("halted", "watchdog")
    ended = [each for each in room.events if each["event"] == "guest.debug.ended"]
    assert [each["why"] for each in ended] == ["watchdog"]
    with pytest.raises(RefusedError):
        debugged.call("registers", strand=0)


def test_a_guest_that_is_reset_or_stopped_meanwhile(debugged: Debugged) -> None:
    room = debugged.room
    debugged.attach()
    room.call("guest.reset", guest=1)
    debugged.call("resume", run=1)
    begin = len(room.text(1))
    room.until(lambda: room.text(1)[begin:].endswith("\n# "))
    debugged.call("stop")
    assert room.events[-1]["event"] == "guest.debug.stopped"
    assert room.events[-1]["reason"] == "asked"
    room.call("guest.stop", guest=1)
    assert [each["why"] for each in room.events if each["event"] == "guest.debug.ended"] == ["stopped"]
    assert room.server.guest(1).debugger is None


def digest_at(room: Room, ns: int) -> bytes:
    """Of the guest when its own clock shows so."""
    machine = room.server.guest(1).machine
    assert machine is not None
    assert machine.time_ns < ns
    while machine.time_ns < ns:
        room.server.advance(min(STEP_NS, ns - machine.time_ns))
    digest: bytes = room.call("guest.digest", guest=1)["digest"]
    return digest


def test_a_debugger_changes_no_digest() -> None:
    """Attached, stopped at breakpoints and watchpoints, let go: the guest is the same, to the bit, at the same time."""
    strands = [[0, 0], [1, 1]]
    with Room() as room:
        room.add(labos_spec(1, vcpus=strands))
        room.prompt(1)
        machine = room.server.guest(1).machine
        assert machine is not None
        end = machine.time_ns + 2_500_000_000
        wanted = digest_at(room, end)
    with Room() as room:
        room.add(labos_spec(1, vcpus=strands))
        debugged = Debugged(room)
        for slices in (1, 1, 1, 20):
            room.server.advance(slices * STEP_NS)
            debugged.attach()
            pc = debugged.registers()["pc"]
            debugged.call("breakpoint", va=pc, on=True)
            debugged.call("resume", run=next(RUNS))
            room.server.advance(STEP_NS)
            debugged.call("stop")
            debugged.call("detach")
        room.until(lambda: room.text(1).endswith("\n# "))
        debugged.attach()
        pc, stack = debugged.registers()["pc"], debugged.registers()["o6"]
        debugged.call("breakpoint", va=pc, on=True)
        debugged.call("watch", va=(stack + 2047) & ~0x3FFF, bytes=0x4000, kind="access", on=True)
        assert [debugged.go()["reason"] for _ in range(3)] == ["breakpoint", "watch", "watch"]
        debugged.call("detach")
        assert digest_at(room, end) == wanted
