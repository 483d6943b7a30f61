"""A program under OpenBoot that a test drives: it makes client interface calls with whatever array it is given.

::

    0x400000  code (the test's)        0x500000  arrays, strings, buffers        0x600000  trap table: `ba,a .`
"""

from __future__ import annotations

from asm_support import HERE, asm, code

from emulator import Machine, Stop, StopReason
from emulator.firmware.program import Program
from emulator.firmware.variables import Variables
from emulator.loader import Image, Segment

CODE, DATA, TABLE, AREA = 0x400000, 0x500000, 0x600000, 0x610000
PROGRAM_BYTES = 0x300000
CIF = 0xF020_0000
NO = (1 << 64) - 1
MASK64 = NO
UNTOUCHED = 0x1122334455667788


def program(*words: int, arguments: str = "", name: str = "test") -> Program:
    """A program of these instructions at 0x400000 that has memory up to 0x700000."""
    text = code(*(words or (HERE,)))
    segment = Segment(ra=CODE, va=CODE, data=text, memory_bytes=PROGRAM_BYTES, flags=7)
    return Program(name=name, image=Image(CODE, (segment,)), arguments=arguments)


class Client:
    """A machine whose program has just been entered."""

    def __init__(self, *words: int, memory: str = "32M", arguments: str = "", **options: object) -> None:
        self.machine = Machine(memory, deterministic=True, **options)  # type: ignore[arg-type]
        self.machine.power_on(program(*words, arguments=arguments), variables=Variables())
        assert self.machine.run(0).reason is StopReason.BUDGET, "the program has not been entered"
        self.boot_text = self.shown()
        self.memory = self.machine.memory
        self.strand = self.machine.strands[0]

    def shown(self) -> str:
        """Console output since the last look."""
        return self.machine.console.read().decode("latin-1").replace("\r\n", "\n")

    def type(self, text: str, *, budget: int = 1000) -> Stop:
        """Type at the console and run."""
        self.machine.console.feed(text.replace("\n", "\r").encode())
        return self.machine.run(budget)

    def place(self, data: bytes, at: int = DATA + 0x1000) -> int:
        """Put bytes in the program's memory; the address."""
        self.memory.write(at, data)
        return at

    def text(self, word: str, at: int = DATA + 0x1000) -> int:
        """Put a string there."""
        return self.place(word.encode("latin-1") + b"\0", at)

    def array(self, service: str, args: tuple[int, ...], results: int, at: int = DATA) -> None:
        """Build the array of a call; its result cells hold UNTOUCHED."""
        name = self.text(service, at + 0x800)
        cells = [name, len(args), results, *args, *[UNTOUCHED] * results]
        self.memory.write(at, b"".join((cell & MASK64).to_bytes(8, "big") for cell in cells))

    def enter(self, array: int = DATA) -> None:
        """Stand before the call: %o0 is the array, and the entry returns to a loop."""
        self.memory.write(CODE, code(HERE))
        self.strand["pc"], self.strand["npc"] = CIF, CIF + 4
        self.strand["o0"], self.strand["o7"] = array, CODE - 8

    def results(self, args: tuple[int, ...], results: int) -> list[int]:
        """The result cells."""
        start = DATA + 24 + 8 * len(args)
        return [self.memory.load(start + 8 * index) for index in range(results)]

    def call(self, service: str, *args: int, results: int = 1) -> list[int]:
        """Make a call that returns: %o0, then the result cells."""
        self.array(service, args, results)
        self.enter()
        stop = self.machine.run(8)
        assert stop.reason is StopReason.BUDGET, stop
        assert self.strand["pc"] == CODE, "the call has not returned"
        return [self.strand["o0"], *self.results(args, results)]

    def one(self, service: str, *args: int) -> int:
        """Make a call with one result that works; the result."""
        status, value = self.call(service, *args)
        assert status == 0, service
        return value

    def find(self, path: str) -> int:
        """A node's handle."""
        return self.one("finddevice", self.text(path))

    def property(self, node: int, name: str, room: int = 64) -> tuple[int, bytes]:
        """Length and bytes that `getprop` gives into a buffer of `room` bytes, after which 0xEE stands."""
        buffer = self.place(b"\xee" * (room + 16), DATA + 0x2000)
        length = self.one("getprop", node, self.text(name), buffer, room)
        data = self.memory.read(buffer, room + 16)
        assert data[room:] == b"\xee" * 16
        return length, data[:room]


def recursion(depth: int) -> tuple[int, ...]:
    """Code that calls itself `depth` deep and comes back, adding 1 at each return: %o0 is the depth at the end."""
    nop = asm("or", "g0", "g0", "g0")
    return (
        asm("or", "g0", depth, "o0"), asm("call", 12), nop, HERE,
        asm("save", "o6", -192, "o6"), asm("brz", 0, 1, "i0", 24), nop,
        asm("call", -12), asm("sub", "i0", 1, "o0"), asm("add", "o0", 1, "i0"), nop,
        asm("jmpl", "i7", 8, "g0"), asm("restore", "g0", "g0", "g0"),
    )  # fmt: skip
