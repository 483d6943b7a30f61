"""A fake machine that has guests with memory, which can move (hvctl 1.1), and time for tests with real threads."""

from __future__ import annotations

import fcntl
import hashlib
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from manager_support import FakeGuest, FakeMachine, VirtualClock
from presence_file import HEADER, Presence

from ldmd.clock import Bell
from ldmd.operations.context import HypervisorError

PAGE = 8192
POLL_SECONDS = 0.01
REGION = 2 << 20
F_ADD_SEALS, F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW = 1033, 1, 2, 4
WORK_AT = 5000 * PAGE + 16
WORK_PAGES = 40
WAITS = {"count": 3, "half_ns": 80_000, "most_ns": 2_000_000, "longest_ns": 1_900_000}
"""Of a guest whose pages followed it."""


class ManualClock(VirtualClock):
    """Time that passes when a test says so, or when something is due; who waits is woken by the bell in real time."""

    def __init__(self) -> None:
        super().__init__()
        self._turn = threading.RLock()
        self._set_by = 0.0

    def now(self) -> float:
        """The time of day, which somebody may have set."""
        return super().now() + self._set_by

    def set_by(self, seconds: float) -> None:
        """Set the time of day; what is measured goes on."""
        self._set_by += seconds

    def at(self, seconds: float, action: Callable[[], None]) -> None:
        with self._turn:
            super().at(seconds, action)

    def wait(self, bell: Bell, heard: int, seconds: float) -> None:
        deadline = self.time + seconds
        while bell.rings == heard and self.time < deadline:
            with self._turn:
                if self._due and self._due[0][0] <= deadline:
                    super().advance(max(0.0, self._due[0][0] - self.time))
                    continue
            bell.wait(heard, POLL_SECONDS)

    def advance(self, seconds: float) -> None:
        with self._turn:
            super().advance(seconds)


class Watch:
    """Looks at both machines whenever a guest begins to run: never two copies, never an image that is not whole."""

    def __init__(self) -> None:
        self.machines: list[MovingMachine] = []
        self.wrong: list[str] = []
        self.lock = threading.Lock()
        self.acknowledged = 0  # the last work that somebody outside was told of
        self.boots = 0  # starts that begin with empty memory

    def runs(self, machine: MovingMachine, uuid: str) -> None:
        with self.lock:
            running = [each.name for each in self.machines for guest in each.guests.values()
                       if guest.spec["uuid"] == uuid and guest.state == "running"]
            if len(running) > 1:
                self.wrong.append(f"two copies run: {running}")

    def work(self, uuid: str) -> None:
        """Whoever runs the domain does a piece of work, and acknowledges it: nobody may forget it from then on."""
        for machine in self.machines:
            with machine.turn:
                number = machine.running(uuid)
                if number is not None:
                    page = 2 + (self.acknowledged + 1) % WORK_PAGES
                    if not all(machine.may_touch(number, each) for each in (page, WORK_AT // PAGE)):
                        return  # it waits for the page
                    self.acknowledged += 1
                    machine.write(number, WORK_AT, self.acknowledged.to_bytes(8, "big"))
                    machine.write(number, page * PAGE, self.acknowledged.to_bytes(8, "big") * 8)
                    if number not in machine.open_disks:
                        self.wrong.append(f"{machine.name} runs with its disks closed")
                    return

    def kept(self, machine: MovingMachine, uuid: str) -> bool:
        """Is all there that was acknowledged?"""
        with machine.turn:
            number = machine.running(uuid)
            if number is None or machine.absent(number):
                return False
            last = int.from_bytes(machine.peek(number, WORK_AT, 8), "big")
            pages = range(max(1, self.acknowledged - WORK_PAGES + 1), self.acknowledged + 1)
            return last == self.acknowledged and all(
                machine.peek(number, (2 + n % WORK_PAGES) * PAGE, 64) == n.to_bytes(8, "big") * 8 for n in pages)

    def started_image(self, machine: MovingMachine, uuid: str, memory: str, absent: set[int]) -> None:
        for each in self.machines:
            for number, guest in tuple(each.guests.items()):
                if each is not machine and guest.spec["uuid"] == uuid:
                    if guest.state == "suspended" and number in each.open_disks:
                        self.wrong.append(f"{machine.name} runs while {each.name} has the disks open")
                    if guest.state == "suspended" and digest_of(each.memory[number], absent) != memory:
                        self.wrong.append("the image is not what the source has")


class MovingMachine(FakeMachine):
    """Guests have memory in memfds, as the machine's `memory.descriptors` gives it."""

    def __init__(self, *given: Any, watch: Watch | None = None, **more: Any) -> None:
        super().__init__(*given, **more)
        self.memory: dict[int, int] = {}
        self.maps: dict[int, int] = {}
        self.buffers: dict[int, int] = {}
        self.states: dict[int, bytes] = {}
        self.open_disks: set[int] = set()
        self.watch = watch
        self.manner, self.itself = "allow", 0
        self.up = True
        self.lent = self.adopted = 0
        self.refuses_memory = False
        self.missing: dict[int, Presence] = {}
        self.presence: list[str] = []
        self.given: list[int] = []
        self.busy = 0  # so many barriers are refused
        self.turn = threading.RLock()
        if watch is not None:
            watch.machines.append(self)

    # -- calls from any thread

    def call(self, op: str, /, **arguments: Any) -> Any:
        result, fds = self.call_fds(op, **arguments)
        for fd in fds:
            os.close(fd)
        return result

    def call_fds(self, op: str, /, **arguments: Any) -> tuple[Any, list[int]]:
        with self.turn:
            if not self.up:
                raise HypervisorError("unreachable", "the machine is gone")
            self.fds: list[int] = []
            result = super().call(op, **arguments)
            return result, self.fds

    def call_with(self, op: str, with_fds: Sequence[int], /, **arguments: Any) -> tuple[Any, list[int]]:
        with self.turn:
            self.given = list(with_fds)
            return self.call_fds(op, **arguments)

    def emit(self, event: str, **details: Any) -> None:
        if self._listener is not None:
            row = {"event": event, "seq": next(self._events), "time": self.clock.now(), **details}
            threading.Thread(target=self._tell, args=(row,), daemon=True).start()

    def _tell(self, row: Mapping[str, Any]) -> None:
        listener = self._listener
        if listener is not None:
            listener(row)

    def dies(self) -> None:
        """The process ends: guests and memory are gone, nobody answers until it is powered on again."""
        with self.turn:
            self.up = False
            for number in tuple(self.memory):
                self._forget(number)
            self.open_disks.clear()
            self.power_cycle()

    # -- memory

    def _make_memory(self, number: int, spec: Mapping[str, Any]) -> None:
        self._forget(number)
        size = sum(size for _, _, size in spec["memory"])
        self.memory[number] = sealed(size)
        self.maps[number] = sealed(size // PAGE + size // REGION + PAGE)

    def _forget(self, number: int) -> None:
        missing = self.missing.pop(number, None)
        if missing is not None:
            missing.close()
        for table in (self.memory, self.maps, self.buffers):
            fd = table.pop(number, None)
            if fd is not None:
                os.close(fd)

    def poke(self, number: int, at: int, data: bytes) -> None:
        os.pwrite(self.memory[number], data, at)

    def running(self, uuid: str) -> int | None:
        """The guest's number, where it runs here."""
        found = (number for number, each in self.guests.items()
                 if each.spec["uuid"] == uuid and each.state == "running" and number in self.memory)
        return next(found, None)

    def write(self, number: int, at: int, data: bytes) -> None:
        """A store of the guest, and its marks: page, then region."""
        os.pwrite(self.memory[number], data, at)
        size = os.fstat(self.memory[number]).st_size
        os.pwrite(self.maps[number], b"\1", at // PAGE)
        os.pwrite(self.maps[number], b"\1", size // PAGE + at // REGION)

    def peek(self, number: int, at: int, length: int) -> bytes:
        return os.pread(self.memory[number], length, at)

    def digest(self, number: int) -> str:
        return digest_of(self.memory[number])

    # -- operations

    def op_guest_start(self, guest: int) -> dict[str, Any]:
        self._make_memory(guest, self._guest(guest).spec)
        if self.watch is not None:
            self.watch.acknowledged, self.watch.boots = 0, self.watch.boots + 1
        found = super().op_guest_start(guest)
        self.open_disks.add(guest)
        self._runs(guest)
        return found

    def _runs(self, guest: int) -> None:
        if self.watch is not None:
            self.watch.runs(self, self.guests[guest].spec["uuid"])

    def op_guest_stop(self, guest: int, taken: bool = False) -> dict[str, Any]:
        found = self._guest(guest)
        if found.state not in ("running", "suspended", "receiving", "received"):
            raise HypervisorError("state", f"guest {guest} is {found.state}")
        self._forget(guest)
        self.open_disks.discard(guest)
        found.state = "defined"
        self.emit("guest.state", guest=guest, state="defined", why="taken" if taken else "stopped", code=0)
        return {}

    def op_guest_suspend(self, guest: int) -> dict[str, Any]:
        found = self._running(guest)
        if self.absent(guest):
            raise HypervisorError("state", "pages have not come yet")
        found.state, found.code = "suspended", 0
        self.emit("guest.state", guest=guest, state="suspended", why="suspended", code=0)
        return {}

    def op_guest_suspend_request(self, guest: int) -> dict[str, Any]:
        """domain-suspend; the guest does as `manner` says: allow, refuse, fail, stay, deaf."""
        found, request = self._running(guest), next(self._requests)
        if "domain-suspend" not in found.services:
            raise HypervisorError("no-service", f"guest {guest} has not registered domain-suspend")
        words = {"allow": [0], "refuse": [1], "fail": [0, 4], "stay": [0], "deaf": []}[self.manner]
        for count in range(1, len(words) + 1):
            self.emit("guest.reply", guest=guest, request=request, service="domain-suspend", result=words[count - 1],
                      reason="an agent said no" if words[count - 1] else "", phases=words[:count])
        if self.manner == "allow":
            self.suspends_itself(guest)
        return {"request": request}

    def suspends_itself(self, guest: int) -> None:
        """MACH_SUSPEND."""
        found = self._running(guest)
        found.state, found.why, found.code = "suspended", "suspended", 1
        self.itself += 1
        self.emit("guest.state", guest=guest, state="suspended", why="suspended", code=1)

    def ends_itself(self, guest: int) -> None:
        """MACH_EXIT."""
        with self.turn:
            self._forget(guest)
            self.open_disks.discard(guest)
            self._off(guest, "power-off")

    def op_guest_resume(self, guest: int) -> dict[str, Any]:
        found = self._guest(guest)
        if found.state not in ("suspended", "received"):
            raise HypervisorError("state", f"guest {guest} is {found.state}")
        if found.state == "received" and self.watch is not None:
            absent = self.absent(guest)
            self.watch.started_image(self, found.spec["uuid"], digest_of(self.memory[guest], absent), absent)
        found.state, found.why = "running", "resumed"
        self.open_disks.add(guest)
        self._runs(guest)
        self.emit("guest.state", guest=guest, state="running", why="resumed", code=0)
        return {}

    def op_guest_release_disks(self, guest: int) -> dict[str, Any]:
        if self._guest(guest).state != "suspended":
            raise HypervisorError("state", f"guest {guest} is not suspended")
        self.open_disks.discard(guest)
        return {}

    def op_guest_save_state(self, guest: int) -> dict[str, Any]:
        found = self._guest(guest)
        if found.state != "suspended":
            raise HypervisorError("state", f"guest {guest} is not suspended")
        image = f"state of {found.spec['uuid']} {os.urandom(8).hex()}".encode()
        fd = os.memfd_create("state", os.MFD_CLOEXEC)
        os.write(fd, image)
        self.fds.append(fd)
        return {"bytes": len(image), "sha256": hashlib.sha256(image).digest()}

    def op_guest_receive(self, spec: dict[str, Any]) -> dict[str, Any]:
        number = spec["id"]
        self._check(number, spec)
        if number in self.guests:
            raise HypervisorError("state", f"guest {number} is there")
        self.guests[number] = FakeGuest(spec, state="receiving")
        self._make_memory(number, spec)
        self.emit("guest.state", guest=number, state="receiving", why="receiving", code=0)
        return {}

    def op_guest_state_buffer(self, guest: int, bytes: int) -> dict[str, Any]:
        if self._guest(guest).state != "receiving":
            raise HypervisorError("state", "not receiving")
        fd = sealed(bytes)
        old = self.buffers.pop(guest, None)
        if old is not None:
            os.close(old)
        self.buffers[guest] = fd
        self.fds.append(os.dup(fd))
        return {}

    def op_guest_load_state(self, guest: int, sha256: bytes) -> dict[str, Any]:
        image = os.pread(self.buffers[guest], 4096, 0)
        if hashlib.sha256(image).digest() != sha256:
            raise HypervisorError("state", "the state is damaged")
        found = self._guest(guest)
        if not image.decode().startswith(f"state of {found.spec['uuid']}"):
            raise HypervisorError("state", "another guest's")
        found.state = "received"
        self.emit("guest.state", guest=guest, state="received", why="received", code=0)
        return {}

    def op_guest_destroy(self, guest: int) -> dict[str, Any]:
        if self._guest(guest).state in ("running", "suspended"):
            raise HypervisorError("state", f"guest {guest} is on")
        self._forget(guest)
        del self.guests[guest]
        return {}

    def op_memory_descriptors(self, guest: int) -> dict[str, Any]:
        blocks, at = [], 0
        pages = os.fstat(self.memory[guest]).st_size // PAGE
        for ra, pa, size in self._guest(guest).spec["memory"]:
            blocks.append({"ra": ra, "pa": pa, "size": size, "memory": 0, "map": 1, "memory_offset": at,
                           "page_map_offset": at // PAGE, "region_map_offset": pages})
            at += size
        self.fds += [os.dup(self.memory[guest]), os.dup(self.maps[guest])]
        return {"blocks": blocks}

    def op_memory_presence(self, guest: int, what: str = "missing") -> dict[str, Any]:
        self.presence.append(what)
        if what == "begin":
            pages = os.fstat(self.memory[guest]).st_size // PAGE
            self.missing[guest] = Presence(sealed(HEADER + pages), pages)
            self.fds += [os.dup(self.missing[guest].fd), os.dup(self.missing[guest].bell)]
        elif what == "end" and self.absent(guest):
            raise HypervisorError("state", "pages are missing")
        elif what == "end":
            missing = self.missing.pop(guest, None)
            if missing is not None:
                missing.close()
            return {"waits": WAITS if missing is not None else dict.fromkeys(WAITS, 0)}
        return {"missing": len(self.absent(guest))} if what == "missing" else {}

    def absent(self, number: int) -> set[int]:
        """Pages of a guest that are not there yet."""
        return self.missing[number].absent() if number in self.missing else set()

    def may_touch(self, number: int, page: int) -> bool:
        """A guest wants a page; one that is missing is asked for."""
        return number not in self.missing or self.missing[number].may_touch(page)

    def status(self, number: int) -> dict[str, Any]:
        return super().status(number) | {"missing_pages": len(self.absent(number))}

    def op_memory_lend(self, guest: int) -> dict[str, Any]:
        self.lent += 1
        return self.op_memory_descriptors(guest)

    def op_memory_adopt(self, guest: int, blocks: list[dict[str, int]]) -> dict[str, Any]:
        if self.refuses_memory or self._guest(guest).state != "receiving":
            raise HypervisorError("address", "memory cannot be taken over")
        assert [each["ra"] for each in blocks] == [each[0] for each in self._guest(guest).spec["memory"]]
        os.close(self.memory[guest])
        self.memory[guest] = os.dup(self.given[blocks[0]["memory"]])
        self.adopted += 1
        return {}

    def op_memory_barrier(self, guest: int) -> dict[str, Any]:
        if self._guest(guest).state not in ("running", "suspended"):
            raise HypervisorError("state", f"guest {guest} is {self._guest(guest).state}")
        if self.busy:
            self.busy -= 1
            raise HypervisorError("busy", "a strand is in one hypercall for long")
        return {}

    def op_memory_limit(self, guest: int, pages_per_second: int | None) -> dict[str, Any]:
        self._guest(guest)
        return {}


def sealed(size: int) -> int:
    """A memfd of a size that stays."""
    fd = os.memfd_create("guest", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    fcntl.fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW)
    return fd


def digest_of(fd: int, without: set[int] | frozenset[int] = frozenset()) -> str:
    """Of what is in a memfd, holes and some pages skipped."""
    found = hashlib.sha256()
    for at, data in pieces(fd):
        if at // PAGE not in without:
            found.update(at.to_bytes(8, "big") + data)
    return found.hexdigest()[:32]


def pieces(fd: int) -> list[tuple[int, bytes]]:
    """Pages that are not zero, with their offsets."""
    found, at, end = [], 0, os.fstat(fd).st_size
    while at < end:
        try:
            at = os.lseek(fd, at, os.SEEK_DATA)
        except OSError:
            break
        stop = os.lseek(fd, at, os.SEEK_HOLE)
        for page in range(at // PAGE, -(-stop // PAGE)):
            data = os.pread(fd, PAGE, page * PAGE)
            if any(data):
                found.append((page * PAGE, data))
        at = stop
    return found
