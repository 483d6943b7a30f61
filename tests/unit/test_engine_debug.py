"""Break- and watchpoints, steps and memory by virtual address, in both engines: nothing changes for the guest."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from asm_support import asm
from engine_guests import CODE, DATA, NOP, add, branch, code_bytes, machine, mov, sethi, step_only, stw, words
from guest_support import CODE as GUEST_CODE
from guest_support import CP, Guest, P, V
from guest_support import DATA as DATA_RA

from emulator import Machine, StopReason
from emulator.errors import AddressError, StrandError
from emulator.machine_debug import Watch

L0, L1, L2, L3 = 16, 17, 18, 19
LDUW, LDX, SWAP, LDSTUB = 0xC0002000, 0xC0582000, 0xC0782000, 0xC0682000


def load(op: int, rd: int, rs1: int, offset: int = 0) -> int:
    """An access with an immediate offset."""
    return op | rd << 25 | rs1 << 14 | offset & 0x1FFF


def loop(engine: str = "interpreter", strands: int = 1) -> Machine:
    """Reads DATA + 8, adds, writes it back in the delay slot of the branch; touches DATA + 16 on the way."""
    guest = machine(
        sethi(L0, DATA), load(LDUW, L1, L0, 8), add(L1, L1, 1), load(LDSTUB, L2, L0, 16), branch(-3), stw(L1, L0, 8),
        NOP, strands=strands, quantum=7,
    )  # fmt: skip
    if engine == "steps":
        step_only(guest)
    elif engine == "translator" and not guest._core.set_engine(1, 2):
        pytest.skip("needs a host that can translate: x86-64 with MOVBE and BMI2, and a core of tail calls")
    return guest


ENGINES = pytest.mark.parametrize("engine", ["interpreter", "steps", "translator"])


@ENGINES
@pytest.mark.parametrize(
    ("va", "size", "kind", "index", "met"),
    [
        (DATA + 8, 4, Watch.WRITE, 5, 1),
        (DATA + 11, 1, Watch.WRITE, 5, 1),
        (DATA + 8, 4, Watch.READ, 1, 2),
        (DATA, 12, Watch.READ, 1, 2),
        (DATA + 16, 1, Watch.WRITE, 3, 1),
        (DATA + 16, 1, Watch.READ, 3, 2),
        (DATA + 13, 100, Watch.ACCESS, 3, 3),
    ],
)
def test_watchpoint(engine: str, va: int, size: int, kind: Watch, index: int, met: int) -> None:
    """Before each access and only those, in warm code; then on past it; digests as without."""
    guest, free = loop(engine), loop(engine)
    guest.run(1001)
    guest.add_watchpoint(va, size, kind)
    for _ in range(5):
        stop = guest.run(1000)
        assert (stop.reason, stop.address, stop.watch_kind) == (StopReason.WATCHPOINT, CODE + 4 * index, met)
        assert stop.watched == max(va, DATA + (16 if index == 3 else 8))
        free.run(guest.insns - free.insns)
        assert guest.digest() == free.digest()
    guest.remove_watchpoint(va, size, kind)
    assert guest.run(1000).reason is StopReason.BUDGET
    free.run(guest.insns - free.insns)
    assert guest.digest() == free.digest()


@ENGINES
def test_accesses_beside_it_do_not_stop(engine: str) -> None:
    """The same page, other bytes; the same bytes, the other way."""
    guest = loop(engine)
    guest.add_watchpoint(DATA + 12, 4, Watch.ACCESS)
    guest.add_watchpoint(DATA + 4, 4, Watch.ACCESS)
    guest.add_watchpoint(DATA + 0x2000, 8, Watch.ACCESS)
    assert guest.run(5000).reason is StopReason.BUDGET


def test_a_watchpoint_over_pages() -> None:
    """It is seen by pages that have been entered and by those that are entered later."""
    guest = machine(sethi(L0, DATA), stw(L1, L0), sethi(L0, DATA + 0x2000), stw(L1, L0), branch(-4), NOP)
    guest.run(2)
    guest.add_watchpoint(DATA - 100, 0x2100 + 100)
    assert [guest.run(100).watched for _ in range(3)] == [DATA + 0x2000, DATA, DATA + 0x2000]


@pytest.mark.parametrize("engine", ["interpreter", "translator"])
def test_a_strand_that_meets_one_tells_which(engine: str) -> None:
    """Each of two strands stops at each of its own accesses, and all stand."""
    guest = loop(engine, strands=2)
    guest.strands[1].start(CODE)
    guest.run(999)
    guest.add_watchpoint(DATA + 8, 4)
    met = [guest.run(1000) for _ in range(12)]
    assert {stop.reason for stop in met} == {StopReason.WATCHPOINT}
    assert {stop.strand for stop in met} == {0, 1}


@pytest.mark.parametrize("strands", [1, 3])
def test_steps_are_the_run(strands: int) -> None:
    """A program stepped through, with break- and watchpoints in its way, is the program run."""
    guest, free = loop(strands=strands), loop(strands=strands)
    for each in (guest, free):
        for strand in each.strands[1:]:
            strand.start(CODE)
    guest.add_breakpoint(CODE + 8)
    guest.add_watchpoint(DATA + 8, 4)
    reasons = [guest.step().reason for _ in range(200)]
    assert set(reasons) == {StopReason.STEP, StopReason.WATCHPOINT}
    assert reasons.count(StopReason.WATCHPOINT) >= 30
    assert guest.insns == 200
    free.run(200)
    assert guest.digest() == free.digest()


def test_a_step_that_traps_and_one_of_a_strand_that_stands() -> None:
    """A trap is a step of its own, without an instruction; nothing happens to a strand that does not run."""
    guest = machine(0, NOP, strands=2)  # illegal
    stop = guest.step(0)
    assert (stop.reason, stop.insns, guest.strands[0]["tl"], guest.strands[0]["tt1"]) == (StopReason.STEP, 0, 1, 0x10)
    assert stop.address == guest.strands[0]["pc"]
    assert guest.step(1).reason is StopReason.IDLE
    with pytest.raises(StrandError):
        guest.step(2)


def test_a_step_past_a_breakpoint_and_a_run_after_it() -> None:
    """The step leaves the breakpoint behind; the next pass stops again."""
    guest = loop()
    guest.add_breakpoint(CODE + 8)
    assert guest.run(100).reason is StopReason.BREAKPOINT
    assert guest.step().address == CODE + 12
    stop = guest.run(100)
    assert (stop.reason, stop.insns) == (StopReason.BREAKPOINT, 4)


@ENGINES
def test_a_breakpoint_that_is_passed_hides_no_watchpoint(engine: str) -> None:
    """Both at one instruction, as where a debugger has stepped to it and watches what it touches: each stops once."""
    guest, free = loop(engine), loop(engine)
    guest.run(1001)
    guest.add_breakpoint(CODE + 4)
    guest.add_watchpoint(DATA + 8, 4, Watch.READ)
    for _ in range(3):
        for wanted in (StopReason.BREAKPOINT, StopReason.WATCHPOINT):
            stop = guest.run(1000)
            assert (stop.reason, stop.address) == (wanted, CODE + 4)
    free.run(guest.insns)
    assert guest.digest() == free.digest()


@ENGINES
def test_the_budget_holds_where_a_run_begins_at_a_breakpoint(engine: str) -> None:
    """The instruction that is passed counts as any other."""
    guest = loop(engine)
    guest.add_breakpoint(CODE + 8)
    guest.run(100)
    stop = guest.run(1)
    assert (stop.reason, stop.insns, stop.address) == (StopReason.BUDGET, 1, None)


def test_other_code_stays_decoded() -> None:
    """A breakpoint costs the page it is in, not all that has been decoded."""
    far = branch(0x2000 // 4)
    guest = machine(far, NOP)
    guest.memory.write(CODE + 0x2000, words(branch(-0x2000 // 4), NOP))
    guest.run(100)
    before = code_bytes(guest)
    guest.add_breakpoint(CODE + 0x10000)
    guest.run(100)
    assert code_bytes(guest) == before
    guest.add_breakpoint(CODE + 0x2000)
    assert guest.run(100).address == CODE + 0x2000
    guest.run(1)
    assert before // 3 < code_bytes(guest) <= before


def test_memory_by_virtual_address() -> None:
    """With the MMU off it is real memory; a write takes effect on decoded code and marks its page."""
    guest = loop()
    guest.run(500)
    assert guest.read_virtual(0, CODE, 8) == words(sethi(L0, DATA), load(LDUW, L1, L0, 8))
    before = guest.digest()
    assert guest.read_virtual(0, (4 << 20) - 3, 8) == bytes(3)
    assert guest.digest() == before
    assert guest.write_virtual(0, CODE + 8, words(mov(L1, 77))) == 4
    guest.run(500)
    assert guest.strands[0]["l1"] == 77
    assert guest.write_virtual(0, 1 << 40, b"x") == 0
    with pytest.raises(StrandError):
        guest.read_virtual(5, 0, 1)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda m: m.add_watchpoint(DATA, 0),
        lambda m: m.add_watchpoint((1 << 64) - 4, 5),
        lambda m: m.add_watchpoint(1 << 64, 1),
        lambda m: m.remove_watchpoint(DATA, 4),
        lambda m: m.add_breakpoint(CODE + 2),
        lambda m: m.remove_breakpoint(CODE),
        lambda m: [m.add_breakpoint(CODE) for _ in range(257)],
        lambda m: [m.add_watchpoint(CODE, 1) for _ in range(65)],
    ],
)
def test_what_is_refused(wrong: Callable[[Machine], object]) -> None:
    """Addresses that are none, and more than there is room for."""
    with pytest.raises(AddressError):
        wrong(machine(NOP))


@pytest.mark.parametrize(
    ("op", "met"),
    [("casxa", 3), ("swap", 3), ("ldx", 2), ("ldd", 2), ("stda", 1), ("lddf", 2), ("twin", 2), ("block", 1)],
)
def test_every_kind_of_access(op: str, met: int) -> None:
    """All slow paths look: atomics, pairs, FP, 16 and 64 bytes at once."""
    access = {
        "casxa": 0xC1F01000 | L1 << 25 | L0 << 14 | 0x80 << 5 | L2,
        "swap": load(SWAP, L1, L0, 8),
        "ldx": load(LDX, L1, L0, 8),
        "ldd": load(0xC0182000, L2, L0, 8),
        "stda": 0xC0B80000 | L2 << 25 | L0 << 14 | 0x80 << 5,
        "lddf": load(0xC1182000, 4, L0, 8),
        "twin": 0xC0980000 | L2 << 25 | L0 << 14 | 0xE2 << 5,
        "block": 0xC1B80000 | L0 << 14 | 0xF0 << 5,
    }[op]
    guest = machine(sethi(L0, DATA), access, access, branch(-2), NOP)
    guest.strands[0]["fprs"] = 4
    guest.strands[0]["pstate"] = 0x14
    at = 8 if op in ("swap", "ldx", "ldd", "lddf") else 0
    guest.run(49)
    guest.add_watchpoint(DATA + at, 4, Watch.ACCESS)
    for index in (1, 2, 1, 2):
        stop = guest.run(100)
        assert (stop.reason, stop.address, stop.watch_kind) == (StopReason.WATCHPOINT, CODE + 4 * index, met)


def test_virtual_addresses_are_the_strands() -> None:
    """MMU on: by the strand's tables, then by its soft TLB; accesses to real addresses are not meant."""
    guest = Guest().mmu_on()
    far, tte = 5 << 30, V | CP | P | DATA_RA
    assert guest.machine.read_virtual(0, far, 4) == b""
    guest.map(far, tte)
    guest.memory.write(DATA_RA, b"abcd")
    digest = guest.machine.digest()
    assert guest.machine.read_virtual(0, far, 4) == b"abcd"
    assert guest.machine.read_virtual(0, far + 0x1FFE, 8) == bytes(2)
    assert guest.machine.digest() == digest
    assert guest.machine.write_virtual(0, far, b"ef") == 2  # although the mapping is read-only
    guest.machine.add_watchpoint(far, 8, Watch.ACCESS)
    guest.set(g1=far, g2=DATA_RA)
    guest.load(asm("ldxa", ("g2", "g0", 0x14), "g3"), asm("ldx", ("g1", 0), "g3"))
    stop = guest.machine.run(100)
    assert (stop.reason, stop.address, stop.watched) == (StopReason.WATCHPOINT, GUEST_CODE + 4, far)
    guest.machine.run(1)
    assert guest["g3"] >> 32 == int.from_bytes(b"efcd", "big")


@pytest.mark.parametrize("engine", ["interpreter", "translator"])
def test_strands_on_threads(engine: str) -> None:
    """In real time: a strand of three stops at what it touches; the others rest, and go on in the next run."""
    guest = machine(sethi(L0, DATA), add(L1, L1, 1), branch(-1), stw(L1, L0, 8), strands=3, deterministic=False)
    if engine == "translator" and not guest._core.set_engine(1, 2):
        pytest.skip("needs a host that can translate")
    for strand in guest.strands[1:]:
        strand.start(CODE)
    guest.run(100_000)
    guest.add_watchpoint(DATA + 8, 4)
    guest.add_breakpoint(CODE + 4)
    met = [guest.run(1 << 30) for _ in range(60)]
    assert {stop.reason for stop in met} == {StopReason.WATCHPOINT, StopReason.BREAKPOINT}
    stepped = guest.step(2)
    assert (stepped.strand, stepped.insns) == (2, 1)
    guest.remove_watchpoint(DATA + 8, 4)
    guest.remove_breakpoint(CODE + 4)
    assert guest.run(100_000).reason is StopReason.BUDGET


def test_state_moves_to_a_machine_with_watchpoints() -> None:
    """Translations that are loaded are watched as well, and what is saved does not know of any."""
    guest, other = loop(), loop()
    guest.run(300)
    plain = guest.save()
    guest.add_watchpoint(DATA + 8, 4)
    assert guest.save() == plain
    other.add_watchpoint(DATA + 8, 4)
    other.load(plain)
    assert other.run(100).reason is StopReason.WATCHPOINT


def test_privileged_code_reaches_the_program_it_works_for() -> None:
    """Behind its own context come the primary ones at TL > 0, then the secondary ones; a program has its own alone."""
    guest = Guest().mmu_on().contexts(primary=5, secondary=7)
    first, second, third = (n << 30 for n in (5, 6, 7))
    for at, (va, context) in enumerate(((first, 0), (first, 5), (second, 5), (second, 7), (third, 7))):
        guest.map(va, V | CP | P | DATA_RA + 0x2000 * at, context=context)
        guest.memory.write(DATA_RA + 0x2000 * at, f"{va >> 30}{context}".encode())

    def seen(va: int) -> bytes:
        return guest.machine.read_virtual(0, va, 2)

    assert [seen(va) for va in (first, second, third)] == [b"55", b"65", b"77"]
    guest.set(tl=1)
    assert [seen(va) for va in (first, second, third)] == [b"50", b"65", b"77"]
    assert guest.machine.write_virtual(0, third, b"x") == 1
    assert seen(third) == b"x7"
    guest.set(tl=0, pstate=0)
    assert [seen(va) for va in (first, second, third)] == [b"55", b"65", b""]
    guest.set(pstate=4, context1=9)
    assert [seen(va) for va in (first, second, third)] == [b"55", b"65", b"x7"]  # secondary 1 is still 7
