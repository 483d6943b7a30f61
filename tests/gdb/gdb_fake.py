"""A debuggee that is not there, and a client of the protocol that knows nothing of our reader and writer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from emulator.errors import RegisterError
from emulator.gdb.debuggee import WINDOW_REGISTERS, DebugError, GoneError, Kind, Reason, Resume, Stopped, Thread
from emulator.gdb.registers import PRIVILEGED, STANDARD

BASE, SIZE = 0x1000, 0x3000
"""Memory of the fake; a stack with saved windows lies in it."""
STACK = 0x2001 - 2048
"""%sp of the current frame, so that its save area would be at 0x2000."""


def packet(payload: bytes) -> bytes:
    """As a client sends it."""
    return b"$" + payload + b"#" + f"{sum(payload) % 256:02x}".encode()


def payloads(stream: bytes) -> list[bytes]:
    """Packets of a stream, checked: nothing but them and acknowledgements is in it."""
    found = []
    while stream:
        if stream[:1] == b"+":
            stream = stream[1:]
            continue
        assert stream[:1] == b"$", stream
        end = stream.index(b"#")
        body, told = stream[1:end], stream[end + 1 : end + 3]
        assert int(told, 16) == sum(body) % 256
        out, escaped = bytearray(), False
        for byte in body:
            if escaped:
                out.append(byte ^ 0x20)
                escaped = False
            elif byte == ord("}"):
                escaped = True
            else:
                assert byte not in b"#$*"
                out.append(byte)
        found.append(bytes(out))
        stream = stream[end + 3 :]
    return found


def _registers(strand: int) -> dict[str, int]:
    values = {(each.source or each.name): 0x1000 * strand + number for number, each in enumerate(STANDARD)}
    values |= dict.fromkeys(PRIVILEGED, strand) | {"ccr": 0x91, "asi": 0x82, "pstate": 0x16, "cwp": 3, "canrestore": 2}
    return values | {"pc": 0x1100, "npc": 0x1104, "o6": STACK, "i6": STACK + 0xB0}


class FakeDebuggee:
    """Two strands and some memory; remembers what it is asked for."""

    def __init__(self) -> None:
        self.name = "fake/guest"
        self.memory = bytearray(n & 0xFF for n in range(SIZE))
        self.values = {0: _registers(0), 1: _registers(1)}
        self.file = {0: [[0xA000 + n for n in range(16)], [0xB000 + n for n in range(16)]], 1: []}
        self.file[0][0][WINDOW_REGISTERS.index("i6")] = STACK + 0x160
        self.breakpoints: list[int] = []
        self.watches: list[tuple[int, int, Kind]] = []
        self.resumed: list[Resume] = []
        self.asked = 0
        self.news: Stopped | None = None
        self.gone = False
        self.room = 4

    def _check(self, strand: int) -> None:
        if self.gone:
            raise GoneError("the machine has ended")
        if strand not in self.values:
            raise DebugError(f"no strand {strand}")

    def threads(self) -> Sequence[Thread]:
        self._check(0)
        return [Thread(0, 8, "running", "privileged"), Thread(1, 9, "waiting")]

    def registers(self, strand: int) -> Mapping[str, int]:
        self._check(strand)
        return self.values[strand]

    def windows(self, strand: int) -> Sequence[Sequence[int]]:
        return self.file[strand]

    def set_registers(self, strand: int, values: Mapping[str, int]) -> None:
        self._check(strand)
        if values.get("pc", 0) % 4:
            raise DebugError(str(RegisterError("pc")))
        self.values[strand].update(values)
        if "pc" in values and "npc" not in values:
            self.values[strand]["npc"] = values["pc"] + 4

    def set_window(self, strand: int, depth: int, values: Mapping[str, int]) -> None:
        for name, value in values.items():
            self.file[strand][depth][WINDOW_REGISTERS.index(name)] = value

    def read(self, strand: int, va: int, count: int) -> bytes:
        self._check(strand)
        if not BASE <= va < BASE + SIZE:
            raise DebugError("no memory")
        return bytes(self.memory[va - BASE : va - BASE + count])

    def write(self, strand: int, va: int, data: bytes) -> None:
        if len(self.read(strand, va, len(data))) < len(data):
            raise DebugError("not all of it is memory")
        self.memory[va - BASE : va - BASE + len(data)] = data

    def breakpoint(self, va: int, on: bool) -> None:
        if on and len(self.breakpoints) >= self.room:
            raise DebugError("no more of them")
        (self.breakpoints.append if on else self.breakpoints.remove)(va)

    def watch(self, va: int, count: int, kind: Kind, on: bool) -> None:
        (self.watches.append if on else self.watches.remove)((va, count, kind))

    def resume(self, how: Resume) -> None:
        self.resumed.append(how)
        self.news = None

    def stop(self) -> None:
        self.asked += 1
        self.news = Stopped(Reason.ASKED, 1)

    def stopped(self) -> Stopped | None:
        self._check(0)
        return self.news

    def monitor(self, command: str, strand: int) -> str:
        return f"{command} at {strand}: " + "x" * 2000 + "\n"
