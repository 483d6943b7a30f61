"""Code that changes while it is decoded: whoever writes it, the next execution is of the new words."""

from __future__ import annotations

import pytest
from engine_guests import (
    CODE,
    DATA,
    JMP_O7_8,
    NOP,
    add,
    branch,
    code_bytes,
    limit_code,
    machine,
    mov,
    sethi,
    step_only,
    stw,
    trap,
    words,
)

from emulator import Machine

O0, O1, O5, L0, L1, L2 = 8, 9, 13, 16, 17, 18
FLUSH_L0 = 0x81DC2000
ONE, TWO = mov(O0, 1), mov(O0, 2)
LEAF = CODE + 0x200  # same page as CODE, another granule
FAR = CODE + 0x4000  # another page


def call(at: int, target: int) -> int:
    return 0x40000000 | ((target - at) >> 2) & 0x3FFFFFFF


def patcher(target: int, *, flush: bool) -> list[int]:
    """Calls target twice, the second time after storing TWO over its first word; then loops at the end."""
    code = [sethi(L0, target), 0xA0142000 | target & 0x3FF, sethi(L1, TWO), 0xA2146000 | TWO & 0x3FF]
    code += [call(CODE + 4 * len(code), target), NOP, add(L2, O0, 0), stw(L1, L0)]
    code += [FLUSH_L0 if flush else NOP]
    code += [call(CODE + 4 * len(code), target), NOP, branch(0), NOP]
    return code


@pytest.mark.parametrize("flush", [False, True])
@pytest.mark.parametrize("target", [LEAF, FAR])
@pytest.mark.parametrize("warm", [1, 100])
def test_store_to_another_block(target: int, flush: bool, warm: int) -> None:
    """In the same page and in another one; `warm`: the leaf was executed before, from a linked block."""
    guest = machine(*patcher(target, flush=flush))
    guest.memory.write(target, words(ONE, JMP_O7_8, NOP, NOP))
    for _ in range(warm):
        guest.memory.write(target, words(ONE))
        guest.strands[0].start(CODE)
        guest.run(200)
        assert (guest.strands[0]["l2"], guest.strands[0]["o0"]) == (1, 2)


@pytest.mark.parametrize("distance", [1, 2, 3, 20])
def test_store_ahead_in_the_same_block(distance: int) -> None:
    code = [sethi(L0, CODE), add(L0, L0, 12 + 4 * distance), sethi(L1, TWO), add(L1, L1, TWO & 0x3FF)]
    code[2:4] = [sethi(L1, TWO), 0xA2146000 | TWO & 0x3FF]
    code[1] = add(L0, L0, 4 * (4 + distance))
    code += [stw(L1, L0), *[NOP] * (distance - 1), ONE, branch(0), NOP]
    guest = machine(*code)
    guest.run(100)
    assert guest.strands[0]["o0"] == 2


def test_store_from_the_delay_slot() -> None:
    """The slot of a branch overwrites the branch's target and the block it is in."""
    code = [sethi(L0, CODE), add(L0, L0, 4 * 8), sethi(L1, TWO), 0xA2146000 | TWO & 0x3FF]
    code += [branch(4), stw(L1, L0), NOP, NOP, ONE, branch(0), NOP]
    guest = machine(*code)
    guest.run(100)
    assert guest.strands[0]["o0"] == 2


def test_write_by_the_host_between_runs() -> None:
    guest = machine(ONE, branch(-1), NOP)
    for value in (1, 7, 9, 11):
        guest.memory.write(CODE, words(mov(O0, value)))
        guest.run(301)
        assert guest.strands[0]["o0"] == value


def test_code_written_by_a_hypercall() -> None:
    """CONS_READ into a decoded block of the same page."""
    code = [call(CODE, LEAF), NOP, add(L2, O0, 0), sethi(O0, LEAF), 0x90122000 | LEAF & 0x3FF]
    code += [mov(O1, 4), mov(O5, 0x62), trap(0x80), call(CODE + 32, LEAF), NOP, branch(0), NOP]
    guest = machine(*code)
    guest.memory.write(LEAF, words(ONE, JMP_O7_8, NOP))
    # CONS_READ came with minor version 1 of the group
    guest.memory.write(FAR, words(mov(O0, 1), mov(O1, 1), mov(10, 3), mov(O5, 0), trap(0xFF), branch(0), NOP))
    guest.strands[0].start(FAR)
    guest.run(20)
    guest.strands[0].start(CODE)
    guest.console.feed(words(TWO))
    guest.run(100)
    assert (guest.strands[0]["l2"], guest.strands[0]["o0"]) == (1, 2)


def test_store_by_another_strand() -> None:
    """Strand 1 overwrites what strand 0 is looping in."""
    guest = machine(ONE, branch(-1), NOP, strands=2, quantum=50)
    writer = [sethi(L0, CODE), sethi(L1, TWO), 0xA2146000 | TWO & 0x3FF, *[NOP] * 120, stw(L1, L0), branch(0), NOP]
    guest.memory.write(FAR, words(*writer))
    guest.strands[1].start(FAR)
    guest.run(150)
    assert guest.strands[0]["o0"] == 1
    guest.run(400)
    assert guest.strands[0]["o0"] == 2


def test_one_page_under_two_addresses() -> None:
    """With the MMU on, a store through one VA changes the code that runs under another."""
    alias = 0x400000
    big = 1 << 63 | 0x5C3  # 4 MiB, cacheable, privileged, executable, writable
    setup: list[int] = []
    for va in (0, alias):
        setup += [sethi(O0, va), mov(O1, 0), sethi(10, 1 << 31), 0x952AB020, 0x9412A000 | big & 0xFFF, mov(11, 3)]
        setup += [mov(O5, 0x25), trap(0x80)]
    at = CODE + 4 * (len(setup) + 5)
    setup += [mov(O0, 1), sethi(O1, at), 0x92126000 | at & 0x3FF, mov(O5, 0x27), trap(0x80)]
    code = [sethi(L0, FAR + alias), sethi(L1, TWO), 0xA2146000 | TWO & 0x3FF, call(at + 12, FAR), NOP, add(L2, O0, 0)]
    code += [stw(L1, L0), call(at + 28, FAR), NOP, branch(0), NOP]
    guest = machine(*setup, *code)
    guest.memory.write(FAR, words(ONE, JMP_O7_8, NOP))
    guest.run(100)
    assert guest.strands[0]["mmu_enabled"] == 1
    assert (guest.strands[0]["l2"], guest.strands[0]["o0"]) == (1, 2)


def test_data_beside_code_keeps_the_blocks() -> None:
    """A store into another 64-byte granule of the page leaves what is decoded; one into the same does not."""
    loop = [sethi(L0, CODE), stw(L0, L0, 0x400), branch(-1), NOP]
    guest = machine(*loop)
    guest.run(1000)
    decoded = code_bytes(guest)
    guest.run(100_000)
    assert 0 < code_bytes(guest) == decoded
    guest.memory.write(CODE + 0x800, b"x")
    assert code_bytes(guest) == decoded
    guest.memory.write(CODE, words(sethi(L0, CODE)))
    guest.run(0)
    assert guest.memory.read(CODE + 0x400, 4) == words(CODE)


def rewriting_loop() -> Machine:
    """Rewrites its own page in every round, in one long slice."""
    return machine(sethi(L0, CODE), sethi(L1, NOP), stw(L1, L0, 0x30), branch(-1), NOP, *[NOP] * 7, NOP)


def test_repeated_invalidation_does_not_leak() -> None:
    guest = rewriting_loop()
    limit_code(guest, 1 << 20)
    for _ in range(30):
        guest.run(100_000)
        assert code_bytes(guest) < 1 << 16  # of 600,000 times the page was decoded


def test_limit_of_decoded_code_in_one_slice() -> None:
    """A sled entered at every word of 64 pages decodes each tail anew: bounded by the limit, same results."""
    def guest(limit: int | None) -> Machine:
        made = machine(sethi(L0, DATA), 0x81C42000, add(L0, L0, 4), NOP)  # jmp %l0; %l0 += 4
        made.memory.write(DATA, words(*[NOP] * 62, sethi(L1, CODE), 0x81C46004, NOP) * 2000)
        if limit is not None:
            limit_code(made, limit)
        return made

    free, bounded, stepped = guest(None), guest(200_000), guest(None)
    step_only(stepped)
    for each in (free, bounded, stepped):
        each.run(400_000)
    assert code_bytes(free) > 1_000_000
    assert 0 < code_bytes(bounded) < 300_000
    assert code_bytes(stepped) == 0
    assert free.digest() == bounded.digest() == stepped.digest()
