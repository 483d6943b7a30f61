"""One client's session: a payload in, payloads out.

All-stop: while the guest runs, nothing but an interrupt is listened to, and the answer to what made it run comes when
it has stopped (`look`). Source of every packet: "Debugging with GDB", appendix E. Numbers of errors are errno's; a
packet that is not known has an empty answer, as the protocol wants it. Threads are strands, numbered from 1 (0 and -1
have meanings of their own).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from emulator.gdb.debuggee import DebugError, Debuggee, GoneError, Kind, Reason, Resume, Stopped
from emulator.gdb.parse import MASK64, PacketError, data, number, two_numbers
from emulator.gdb.queries import Queries
from emulator.gdb.registers import EXPEDITED, REGISTERS, STANDARD
from emulator.gdb.stack import Memory
from emulator.gdb.wire import MAX_PACKET

MAX_READ = MAX_PACKET // 2 - 16
"""Bytes of one answer to `m`; a client that asks for more gets the first ones."""
MOST_WATCHED = 4096
MAX_BREAKPOINTS = 1024
NOT_NOW, FAULT, INVALID, FULL = b"E10", b"E0e", b"E16", b"E1c"
"""EBUSY, EFAULT, EINVAL, ENOSPC."""
SIGINT, SIGTRAP, SIGSEGV = 2, 5, 11
_THREADS = 4096
_WATCH = {"2": Kind.WRITE, "3": Kind.READ, "4": Kind.ACCESS}
_WATCHED = {Kind.WRITE: "watch", Kind.READ: "rwatch", Kind.ACCESS: "awatch"}
Point = tuple[str, int, int]
"""Kind of a Z packet, address, length."""


@dataclass
class Client:
    """What the client has said of itself, and chosen."""

    ack: bool = True
    swbreak: bool = False
    hwbreak: bool = False
    general: int = 0
    """Strand that registers and memory are asked of."""
    resumes: int | None = None
    """Strand that the old `c` and `s` are about; None: any."""


class Session:
    """From connection to detach. `handle` takes a payload; `over`: the client has left, and the guest is let go."""

    def __init__(self, debuggee: Debuggee, first: Stopped) -> None:
        self.debuggee = debuggee
        self.client = Client(general=first.strand)
        self.running = False
        self.over = False
        self.memory = Memory(debuggee)
        self.last = first
        self._queries = Queries(self)
        self._points: dict[Point, None] = {}
        self._commands: dict[str, Callable[[str], bytes | None]] = {
            "?": lambda _: self.stop_reply(), "g": self._get_all, "G": self._set_all, "p": self._get, "P": self._set,
            "m": self._read, "M": self._write, "Z": lambda rest: self._point(rest, on=True),
            "z": lambda rest: self._point(rest, on=False), "H": self._choose, "T": self._alive, "c": self._old_resume,
            "s": lambda rest: self._old_resume(rest, step=True), "C": self._old_signal,
            "S": lambda rest: self._old_signal(rest, step=True), "D": self._detach, "k": self._kill, "v": self._v,
            "!": lambda _: b"OK",
        }  # fmt: skip

    # -- one packet

    def handle(self, payload: bytes) -> list[bytes]:
        """What is answered at once. A packet while the guest runs is refused: it is not what GDB does."""
        if self.running:
            return [NOT_NOW]
        try:
            return self._answer(payload)
        except PacketError:
            return [INVALID]
        except GoneError as gone:
            return self.gone(gone)
        except DebugError:
            return [FAULT]

    def _answer(self, payload: bytes) -> list[bytes]:
        if payload[:1] == b"X":
            return [self._write_binary(payload[1:])]
        text = payload.decode("latin-1")
        if text[:1] in ("q", "Q"):
            return self._queries.answer(text)
        command = self._commands.get(text[:1])
        if command is None:
            return [b""]
        answer = command(text[1:])
        return [] if answer is None else [answer]

    def interrupt(self) -> None:
        """Ctrl-C. Of a guest that stands still it means nothing."""
        if self.running:
            self.debuggee.stop()

    def look(self) -> list[bytes]:
        """Has what made the guest run ended? Then the answer to that."""
        if not self.running:
            return []
        try:
            stopped = self.debuggee.stopped()
        except GoneError as gone:
            return self.gone(gone)
        if stopped is None:
            return []
        self.running, self.last = False, stopped
        self.memory.forget()
        if stopped.reason is Reason.ENDED:
            self.over = True
            return [b"W%02x" % (stopped.code & 0xFF)]
        self.client.general = stopped.strand
        return [self.stop_reply()]

    def gone(self, gone: GoneError) -> list[bytes]:
        """The guest is not there any more: told to the client, which has nothing to debug then."""
        self.running, self.over = False, True
        return [b"O" + f"sun4v: {gone}\n".encode().hex().encode(), b"X09"]

    # -- stops

    def stop_reply(self) -> bytes:
        """Why it stands still."""
        stopped = self.last
        signal = {Reason.ASKED: SIGINT, Reason.DYING: SIGSEGV, Reason.ATTACHED: SIGTRAP}.get(stopped.reason, SIGTRAP)
        words = [f"T{signal:02x}"]
        try:
            values = self.debuggee.registers(stopped.strand)
            words += [f"{index:02x}:{REGISTERS[index].hex(values)};" for index in EXPEDITED]
        except GoneError:
            raise
        except DebugError:
            pass  # the strand was taken away: GDB will ask for the threads
        words.append(f"thread:{stopped.strand + 1:x};")
        if stopped.reason is Reason.WATCH:
            words.append(f"{_WATCHED[stopped.kind]}:{stopped.va:x};")
        if stopped.reason is Reason.BREAKPOINT:
            hard = any(kind == "1" and va == stopped.va for kind, va, _ in self._points)
            words += ["hwbreak:;"] if hard and self.client.hwbreak else ["swbreak:;"] if self.client.swbreak else []
        return "".join(words).encode()

    # -- registers

    def _get_all(self, _: str) -> bytes:
        values = self.debuggee.registers(self.client.general)
        return "".join(each.hex(values) for each in STANDARD).encode()

    def _set_all(self, rest: str) -> bytes:
        raw = data(rest)
        if len(raw) != sum(each.size_bytes for each in STANDARD):
            raise PacketError
        values = self.debuggee.registers(self.client.general)
        changes: dict[str, int] = {}
        for each in STANDARD:
            part, raw = raw[: each.size_bytes], raw[each.size_bytes :]
            changes |= each.changes(int.from_bytes(part, "big"), values)
        self._change(changes)
        return b"OK"

    def _get(self, rest: str) -> bytes:
        index = number(rest)
        if index >= len(REGISTERS):
            raise PacketError
        return REGISTERS[index].hex(self.debuggee.registers(self.client.general)).encode()

    def _set(self, rest: str) -> bytes:
        name, _, value = rest.partition("=")
        index, raw = number(name), data(value)
        if index >= len(REGISTERS) or len(raw) != REGISTERS[index].size_bytes or not REGISTERS[index].writable:
            raise PacketError
        values = self.debuggee.registers(self.client.general)
        self._change(REGISTERS[index].changes(int.from_bytes(raw, "big"), values))
        return b"OK"

    def _change(self, changes: dict[str, int]) -> None:
        if changes:
            self.memory.forget()
            self.debuggee.set_registers(self.client.general, changes)

    # -- memory

    def _read(self, rest: str) -> bytes:
        va, count = two_numbers(rest)
        if count == 0:
            return b""
        count = min(count, MAX_READ, MASK64 + 1 - va)
        return self.memory.read(self.client.general, va, count).hex().encode()

    def _write(self, rest: str) -> bytes:
        where, _, raw = rest.partition(":")
        va, count = two_numbers(where)
        return self._store(va, count, data(raw))

    def _write_binary(self, rest: bytes) -> bytes:
        where, _, raw = rest.partition(b":")
        va, count = two_numbers(where.decode("latin-1"))
        return self._store(va, count, raw)

    def _store(self, va: int, count: int, raw: bytes) -> bytes:
        if count != len(raw) or va + count > MASK64 + 1:
            raise PacketError
        if raw:
            self.memory.write(self.client.general, va, raw)
        return b"OK"

    # -- breakpoints

    def _point(self, rest: str, *, on: bool) -> bytes:
        kind, _, where = rest.partition(",")
        where, _, _ = where.partition(";")  # conditions are the client's to look at
        if kind not in ("0", "1", *_WATCH):
            return b""
        va, length = two_numbers(where)
        point: Point = (kind, va, length)
        if (point in self._points) == on:
            return b"OK"  # twice is once, for a packet may have been sent again
        if on and len(self._points) >= MAX_BREAKPOINTS:
            return FULL
        self._check_point(kind, va, length)
        if not on:
            del self._points[point]
        if not any(self._same(point, other) for other in self._points):
            self._arm(point, on=on)
        if on:
            self._points[point] = None
        return b"OK"

    @staticmethod
    def _same(one: Point, other: Point) -> bool:
        """Are they one for the guest? Z0 and Z1 are, at the same address."""
        breaks = ("0", "1")
        if one[0] in breaks:
            return other[0] in breaks and one[1] == other[1]
        return one == other

    @staticmethod
    def _check_point(kind: str, va: int, length: int) -> None:
        if kind in _WATCH:
            if not 1 <= length <= MOST_WATCHED or va + length > MASK64 + 1:
                raise PacketError
        elif va % 4:
            raise PacketError

    def _arm(self, point: Point, *, on: bool) -> None:
        kind, va, length = point
        if kind in _WATCH:
            self.debuggee.watch(va, length, _WATCH[kind], on)
        else:
            self.debuggee.breakpoint(va, on)

    # -- threads

    def thread(self, text: str) -> int | None:
        """Strand of a thread's number; None for 0 and -1 (any, all). Raises PacketError."""
        if text in ("-1", "0"):
            return None
        strand = number(text, most=_THREADS) - 1
        if strand not in {each.strand for each in self.debuggee.threads()}:
            raise PacketError
        return strand

    def _choose(self, rest: str) -> bytes:
        kind, strand = rest[:1], self.thread(rest[1:])
        if kind == "g":
            if strand is not None:
                self.client.general = strand
        elif kind == "c":
            self.client.resumes = strand
        else:
            raise PacketError
        return b"OK"

    def _alive(self, rest: str) -> bytes:
        self.thread(rest)
        return b"OK"

    # -- going on

    def _go(self, how: Resume) -> None:
        self.memory.forget()
        self.debuggee.resume(how)
        self.running = True

    def _old_resume(self, rest: str, *, step: bool = False) -> None:
        only = self.client.resumes
        if rest:
            strand = self.client.general if only is None else only
            self.debuggee.set_registers(strand, {"pc": number(rest)})
        strand = self.client.general if only is None else only
        self._go(Resume(step=strand if step else None, only=only))

    def _old_signal(self, rest: str, *, step: bool = False) -> None:
        """A guest has no signals: only the address counts."""
        signal, _, address = rest.partition(";")
        number(signal, most=255)
        self._old_resume(address, step=step)

    def _v(self, rest: str) -> bytes | None:
        if rest == "Cont?":
            return b"vCont;c;C;s;S"
        if rest.startswith("Cont;"):
            self._go(self._plan(rest.split(";")[1:]))
            return None
        if rest.startswith("Kill;"):
            return self._detach("")
        return b""

    def _plan(self, actions: Sequence[str]) -> Resume:
        """Each thread does what the first action says that is about it; one that none is about stands still."""
        strands = [each.strand for each in self.debuggee.threads()]
        does: dict[int, str] = {}
        for action in actions:
            word, _, who = action.partition(":")
            if not re.fullmatch(r"[cs]|[CS][0-9a-fA-F]{2}", word):
                raise PacketError
            about = self.thread(who) if who else None
            for strand in strands if about is None else [about]:
                does.setdefault(strand, word[0].lower())
        steps = [strand for strand, what in does.items() if what == "s"]
        if not does or (1 < len(does) < len(strands)):
            raise PacketError  # GDB lets one go on, or all
        only = next(iter(does)) if len(does) == 1 and len(strands) > 1 else None
        step = self.client.general if self.client.general in steps else steps[0] if steps else None
        return Resume(step=step, only=only)

    # -- the end

    def _detach(self, _: str) -> bytes:
        self.over = True
        return b"OK"

    def _kill(self, _: str) -> None:
        """A domain is ended by `ldm stop-domain`, not by its debugger: as detach."""
        self.over = True
