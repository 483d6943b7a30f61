"""Small guests written word by word, for tests of the engine."""

from __future__ import annotations

from emulator import Machine
from emulator._core_cffi import lib

CODE, DATA = 0x10000, 0x20000
NOP, DONE = 0x01000000, 0x81F00000


def mov(rd: int, value: int) -> int:
    """Or %g0, simm13, rd."""
    return 0x80102000 | rd << 25 | value & 0x1FFF


def add(rd: int, rs1: int, value: int) -> int:
    """Add rs1, simm13, rd."""
    return 0x80002000 | rd << 25 | rs1 << 14 | value & 0x1FFF


def branch(words: int, *, annul: bool = False, cond: int = 8) -> int:
    """Bicc to this many instructions ahead; 8: always."""
    return 0x00800000 | annul << 29 | cond << 25 | words & 0x3FFFFF


def stw(rd: int, rs1: int, offset: int = 0) -> int:
    return 0xC0202000 | rd << 25 | rs1 << 14 | offset & 0x1FFF


def sethi(rd: int, value: int) -> int:
    return 0x01000000 | rd << 25 | value >> 10


def trap(number: int) -> int:
    """Ta number."""
    return 0x91D02000 | number


JMP_O7_8 = 0x81C3E008  # retl
G, O, L = 0, 8, 16  # noqa: E741 - register sets


def words(*code: int) -> bytes:
    return b"".join(word.to_bytes(4, "big") for word in code)


def machine(
    *code: int, strands: int = 1, memory: str = "4M", quantum: int = 1000, deterministic: bool = True
) -> Machine:
    """A machine with `code` at CODE and strand 0 started there."""
    made = Machine(memory, strands=strands, deterministic=deterministic, quantum=quantum)
    made.memory.write(CODE, words(*code))
    for number in range(512):  # a trap table at 0 that skips what traps
        made.memory.write(number * 32, words(DONE))
        made.memory.write(0x4000 + number * 32, words(DONE))
    made.strands[0].start(CODE)
    return made


def code_bytes(of: Machine) -> int:
    """Host memory taken by decoded code."""
    return int(lib.s4v_code_bytes(of._core._machine))


def limit_code(of: Machine, limit_bytes: int) -> None:
    lib.s4v_code_limit(of._core._machine, limit_bytes)


def step_only(of: Machine, on: bool = True) -> None:
    lib.s4v_step_only(of._core._machine, on)
