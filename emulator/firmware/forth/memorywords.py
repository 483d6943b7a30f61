"""Words that read, write and show memory. Source: IEEE 1275-1994, annex A; ``dump`` as OpenBoot draws it."""

from __future__ import annotations

from emulator.firmware.forth import throw
from emulator.firmware.forth.cells import MASK, TRUE, digits, flag, signed
from emulator.firmware.forth.machine import Forth
from emulator.firmware.forth.space import PAD, SPACE_BASE, STATE_CELL
from emulator.firmware.forth.words import Handler, WordList

words = WordList("Memory access")
SIZES = {"c": 1, "w": 2, "l": 4, "x": 8}


def _fetch(size: int, *, sign: bool = False) -> Handler:
    def handler(forth: Forth) -> None:
        value = forth.space.read(forth.pop(), size)
        forth.push(value - (1 << 8 * size) if sign and value >> 8 * size - 1 else value)

    return handler


def _store(size: int) -> Handler:
    def handler(forth: Forth) -> None:
        value, address = forth.pops(2)
        forth.space.write(address, size, value)

    return handler


def _show(size: int) -> Handler:
    def handler(forth: Forth) -> None:
        forth.emit(digits(forth.space.read(forth.pop(), size), forth.base) + " ")

    return handler


def _compile_comma(size: int) -> Handler:
    def handler(forth: Forth) -> None:
        value = forth.pop()
        forth.space.write_bytes(forth.space.allot(size), (value & (1 << 8 * size) - 1).to_bytes(size, "big"))

    return handler


for _letter, _size in SIZES.items():
    for _prefix in ("", "r"):
        words(f"{_prefix}{'b' if _prefix and _letter == 'c' else _letter}@", "( addr -- n )",
              help=f"Fetch {8 * _size} bits")(_fetch(_size))  # fmt: skip
        words(f"{_prefix}{'b' if _prefix and _letter == 'c' else _letter}!", "( n addr -- )",
              help=f"Store {8 * _size} bits")(_store(_size))  # fmt: skip
    words(f"{_letter}?", "( addr -- )", help=f"Show {8 * _size} bits")(_show(_size))
    words(f"{_letter},", "( n -- )")(_compile_comma(_size))
words("@", "( addr -- n )", help="Fetch a cell")(_fetch(8))
words("!", "( n addr -- )", help="Store a cell")(_store(8))
words("?", "( addr -- )", help="Show a cell")(_show(8))
words(",", "( n -- )", help="Put a cell into the dictionary")(_compile_comma(8))
words("<w@", "( addr -- n )")(_fetch(2, sign=True))
words("<l@", "( addr -- n )")(_fetch(4, sign=True))


@words("2@", "( addr -- x1 x2 )")
def _two_fetch(forth: Forth) -> None:
    address = forth.pop()
    forth.push(forth.space.read(address + 8 & MASK, 8), forth.space.read(address, 8))


@words("2!", "( x1 x2 addr -- )")
def _two_store(forth: Forth) -> None:
    low, high, address = forth.pops(3)
    forth.space.write(address, 8, high)
    forth.space.write(address + 8 & MASK, 8, low)


@words("+!", "( n addr -- )", help="Add to a cell")
def _plus_store(forth: Forth) -> None:
    value, address = forth.pops(2)
    forth.space.write(address, 8, forth.space.read(address, 8) + value)


@words("on", "( addr -- )")
def _on(forth: Forth) -> None:
    forth.space.write(forth.pop(), 8, TRUE)


@words("off", "( addr -- )")
def _off(forth: Forth) -> None:
    forth.space.write(forth.pop(), 8, 0)


@words("fill", "( addr len byte -- )", help="Fill memory with a byte")
def _fill(forth: Forth) -> None:
    address, length, byte = forth.pops(3)
    _fill_bytes(forth, address, length, byte=byte)


def _fill_bytes(forth: Forth, address: int, length: int, *, byte: int) -> None:
    if length > 16 << 20:
        raise throw.abort("Length too large")
    forth.space.write_bytes(address, bytes([byte & 0xFF]) * length)


@words("erase", "( addr len -- )")
def _erase(forth: Forth) -> None:
    address, length = forth.pops(2)
    _fill_bytes(forth, address, length, byte=0)


@words("blank", "( addr len -- )")
def _blank(forth: Forth) -> None:
    address, length = forth.pops(2)
    _fill_bytes(forth, address, length, byte=32)


@words("move", "( src dest len -- )", help="Copy memory; the two may overlap")
def _move(forth: Forth) -> None:
    source, target, length = forth.pops(3)
    forth.space.write_bytes(target, forth.space.read_bytes(source, length))


@words("comp", "( addr1 addr2 len -- n )", help="Compare memory: 0, 1 or -1")
def _comp(forth: Forth) -> None:
    first, second, length = forth.pops(3)
    a, b = forth.space.read_bytes(first, length), forth.space.read_bytes(second, length)
    forth.push((a > b) - (a < b))


def _probe(size: int, *, write: bool) -> Handler:
    """A handler that accesses memory and says whether it could."""

    def handler(forth: Forth) -> None:
        address = forth.pop()
        value = forth.pop() if write else 0
        try:
            if write:
                forth.space.write(address, size, value)
            else:
                value = forth.space.read(address, size)
        except throw.ThrowError:
            forth.push(0)
        else:
            forth.push(*([TRUE] if write else [value, TRUE]))

    return handler


for _letter, _size in SIZES.items():
    words(f"{_letter}peek", "( addr -- false | n true )")(_probe(_size, write=False))
    words(f"{_letter}poke", "( n addr -- okay? )")(_probe(_size, write=True))


@words("here", "( -- addr )")
def _here(forth: Forth) -> None:
    forth.push(forth.space.here)


@words("allot", "( n -- )")
def _allot(forth: Forth) -> None:
    forth.space.allot(max(min(forth.pop_signed(), 1 << 32), -1 << 32))


@words("align", "( -- )")
def _align(forth: Forth) -> None:
    forth.space.align()


@words("pad", "( -- addr )")
def _pad(forth: Forth) -> None:
    forth.push(SPACE_BASE + PAD)


@words("state", "( -- addr )")
def _state(forth: Forth) -> None:
    forth.push(SPACE_BASE + STATE_CELL)


@words("dump", "( addr len -- )", help="Show memory as bytes and text")
def _dump(forth: Forth) -> None:
    address, length = forth.pops(2)
    first = address & 15
    forth.fresh_line()
    forth.emit(f"{address >> 32:8x}  " if address >> 32 else " " * 10)
    columns = ["\\/ " if index == first else f"{index:2x} " for index in range(16)]
    marks = "".join("v" if index == first else f"{index:x}" for index in range(16))
    forth.emit("".join(columns[:8]) + " " + "".join(columns[8:]) + " " + marks)
    end = min(address + max(length, 1), 1 << 64)
    forth.push(address - first, end - (address - first))
    forth.call_builtin("(dump)")


@words("(dump)", "( addr len -- )")
def _dump_line(forth: Forth) -> None:
    address, length = forth.pops(2)
    if signed(length) <= 0 and length != 1 << 63:
        forth.emit("\n")
        return
    data = forth.space.read_bytes(address, 16)
    halves = [" ".join(f"{byte:02x}" for byte in half) for half in (data[:8], data[8:])]
    text = "".join(chr(byte & 127) if 32 <= byte & 127 < 127 else "." for byte in data)
    forth.fresh_line()
    forth.emit(f"{address & 0xFFFF_FFFF:8x}  {halves[0]}  {halves[1]}  {text}")
    forth.push(address + 16, max(length - 16, 0))
    forth.again()


@words("exit?", "( -- flag )", help="Has the user asked to stop?")
def _exit(forth: Forth) -> None:
    stop = bool(forth.keys) and forth.keys[0] in (3, 17, 113)
    if stop:
        forth.keys.pop(0)
    forth.push(flag(stop))
