"""The Python API over the real core: registers, memory, running, state."""

from __future__ import annotations

import contextlib
import random
import threading

import pytest
from elf_support import (
    CONS_GETCHAR,
    ENTRY,
    ILLTRAP,
    LOOP,
    NOP,
    TA_FAST,
    code,
    exit_with,
    hypercall,
    mov,
    program,
    say,
)

from emulator import Machine, StopReason, StrandState, parse_image
from emulator.errors import (
    AddressError,
    BusyError,
    ClosedError,
    ConfigError,
    ReadOnlyRegisterError,
    RegisterError,
    StateError,
    StrandError,
    UnknownCpuArchError,
    UnknownPlatformError,
)
from emulator.machine import argument_block

ADD_G1 = 0x82006001  # add %g1, 1, %g1
STX_G1_AT_G2 = 0xC2708000  # stx %g1, [%g2]


def started(*words: int, **options: object) -> Machine:
    """A small deterministic machine with a program at ENTRY, started."""
    machine = Machine("1M", deterministic=True, **options)  # type: ignore[arg-type]
    machine.boot(parse_image(program(*words)))
    return machine


# -- making one


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"memory": "12K"}, ConfigError), ({"memory": 0}, ConfigError), ({"memory": "5T"}, ConfigError),
        ({"strands": 0}, ConfigError), ({"strands": 257}, ConfigError), ({"quantum": 0}, ConfigError),
        ({"quantum": 1 << 32}, ConfigError), ({"platform": "vax"}, UnknownPlatformError),
        ({"cpu_arch": "athlon"}, UnknownCpuArchError), ({"cpu_arch": "sparc64-class1"}, UnknownCpuArchError),
        ({"tod_seconds": -1}, ConfigError),
    ],
)  # fmt: skip
def test_impossible_machines_are_refused(options: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error):
        Machine(**{"memory": "1M", **options})  # type: ignore[arg-type]


def test_a_new_machine() -> None:
    with Machine("1M", strands=3, platform="m7-8") as machine:
        assert [s.state for s in machine.strands] == [StrandState.STOPPED] * 3
        assert machine.cpu.chip == "m7"
        assert machine.insns == 0
        assert len(machine.memory) == 1 << 20
        assert repr(machine) == "<Machine m7-8 native 1M strands=3>"
        assert machine.strand(2).number == 2
        with pytest.raises(StrandError):
            machine.strand(3)


def test_terabytes_cost_nothing() -> None:
    with Machine("1T") as machine:
        machine.memory.store((1 << 40) - 8, 0x0123456789ABCDEF)
        assert machine.memory.load((1 << 40) - 8) == 0x0123456789ABCDEF
        assert machine.memory.read(1 << 39, 8) == bytes(8)


def test_a_closed_machine() -> None:
    machine = Machine("1M")
    machine.close()
    machine.close()
    assert repr(machine) == "<Machine closed>"
    for use in (lambda: machine.insns, lambda: machine.memory.read(0, 1), lambda: machine.run(1), machine.kick):
        with pytest.raises(ClosedError):
            use()


# -- registers


def test_registers_by_name() -> None:
    machine = started(NOP)
    strand = machine.strands[0]
    strand["g1"] = 0x0123456789ABCDEF
    strand.regs["o3"] = -1
    assert strand.regs["g1"] == 0x0123456789ABCDEF
    assert strand["o3"] == (1 << 64) - 1
    strand["d0"] = 0x1122334455667788
    assert (strand["f0"], strand["f1"]) == (0x11223344, 0x55667788)
    names = list(strand.regs)
    assert len(names) == len(set(names)) == len(strand.regs)
    wanted = "g0 g7 o0 l0 i7 f31 d62 pc npc ccr asi fprs fsr gsr y pstate tl gl pil tba cwp cansave wstate tpc1 tt2"
    assert set(wanted.split()) <= set(names)
    assert "pc" in strand.regs
    assert "eax" not in strand.regs
    assert 7 not in strand.regs


def test_every_register_can_be_read() -> None:
    strand = started(NOP).strands[0]
    values = dict(strand.regs)
    assert values["pc"] == ENTRY
    assert values["npc"] == ENTRY + 4
    assert values["g0"] == 0
    assert all(0 <= value < 1 << 64 for value in values.values())


def test_registers_that_are_none() -> None:
    strand = started(NOP).strands[0]
    with pytest.raises(RegisterError, match="no register 'eax'"):
        strand["eax"]
    with pytest.raises(RegisterError):
        strand["rax"] = 1
    with pytest.raises(RegisterError, match="64 bits"):
        strand["g1"] = 1 << 64
    with pytest.raises(RegisterError):
        del strand.regs["g1"]  # type: ignore[attr-defined]


def test_g0_stays_zero() -> None:
    strand = started(NOP).strands[0]
    with contextlib.suppress(ReadOnlyRegisterError):  # the core may refuse or ignore it
        strand["g0"] = 5
    assert strand["g0"] == 0


def test_start_is_that_of_cpu_start() -> None:
    """As CPU_START leaves it: privileged, TL 0, PIL 15, windows empty, argument in %o0."""
    machine = Machine("1M", strands=2)
    strand = machine.strands[1]
    strand.start(0x2000, arg=77, rtba=0x8000)
    assert strand.state is StrandState.RUNNING
    assert machine.strands[0].state is StrandState.STOPPED
    wanted = {
        "pc": 0x2000, "npc": 0x2004, "o0": 77, "tl": 0, "gl": 0, "pil": 15, "tba": 0x8000, "cwp": 0,
        "cansave": 6, "cleanwin": 6, "canrestore": 0, "otherwin": 0, "wstate": 0, "fprs": 0, "pstate": 4,
    }  # fmt: skip
    assert {name: strand[name] for name in wanted} == wanted
    assert f"{0x2000:x}" in strand.print()


@pytest.mark.parametrize("pc", [2, -4, 1 << 64])
def test_bad_start_addresses(pc: int) -> None:
    with Machine("1M") as machine, pytest.raises(ConfigError):
        machine.strands[0].start(pc)


# -- memory


def test_memory_reads_and_writes_in_guest_order() -> None:
    with Machine("1M") as machine:
        memory = machine.memory
        memory.write(0x1000, b"\x01\x02\x03\x04")
        memory.write(0x1004, memoryview(b"\x05\x06\x07\x08xx")[:4])
        assert memory.load(0x1000) == 0x0102030405060708
        assert memory.load(0x1002, 2) == 0x0304
        memory.store(0x1008, -2, 4)
        assert memory.read(0x1000, 12) == bytes(range(1, 9)) + b"\xff\xff\xff\xfe"
        assert memory.read(0x1000, 0) == b""
        memory.write(1 << 20, b"")


@pytest.mark.parametrize(("ra", "length"), [(1 << 20, 1), ((1 << 20) - 1, 2), (-1, 1), (1 << 63, 8), (0, -1)])
def test_addresses_outside(ra: int, length: int) -> None:
    with Machine("1M") as machine:
        with pytest.raises(AddressError):
            machine.memory.read(ra, length)
        with pytest.raises(AddressError):
            machine.memory.view(ra, length)
        if length > 0:
            with pytest.raises(AddressError):
                machine.memory.write(ra, bytes(length))


def test_a_view_is_live_and_read_only_and_keeps_the_machine() -> None:
    machine = Machine("1M")
    view = machine.memory.view(0x2000, 4)
    machine.memory.write(0x2000, b"live")
    assert bytes(view) == b"live"
    with pytest.raises(TypeError):
        view[0] = 1
    with pytest.raises(BusyError):
        machine.close()
    del view
    machine.close()


def test_dirty_pages_are_those_written() -> None:
    machine = started(STX_G1_AT_G2, NOP)
    machine.dirty_harvest()
    assert machine.dirty_harvest() == []
    machine.memory.write(0x5FFF, b"ab")
    machine.strands[0]["g2"] = 0x40000
    assert machine.strands[0].step().reason is StopReason.BUDGET
    assert machine.dirty_harvest() == [2, 3, 0x20]
    assert machine.dirty_harvest() == []


# -- running


def test_budget_is_exact() -> None:
    machine = started(*[ADD_G1] * 1000, *LOOP)
    stop = machine.run(budget_insns=37)
    assert (stop.reason, stop.insns, stop.strand) == (StopReason.BUDGET, 37, 0)
    strand = machine.strands[0]
    assert (strand["g1"], strand["pc"], strand.insns, machine.insns) == (37, ENTRY + 4 * 37, 37, 37)
    assert strand.step().insns == 1
    assert strand.run(budget_insns=2).insns == 2
    assert strand["g1"] == 40
    assert machine.run(0).insns == 0
    with pytest.raises(ConfigError):
        machine.run(-1)


def test_exit_code_and_console() -> None:
    machine = started(*say("ok\n"), *exit_with(300))
    reasons = []
    while not reasons or reasons[-1] is StopReason.CONSOLE:
        stop = machine.run(1000)
        reasons.append(stop.reason)
    assert stop.reason is StopReason.EXIT
    assert (stop.exit_code, stop.trap_type, stop.address) == (300, None, None)
    assert machine.console.read() == b"ok\n"
    assert machine.console.read() == b""


def test_console_input() -> None:
    """CONS_GETCHAR gives the character in %o1, and after a hangup -2 (HUP)."""
    machine = started(*hypercall(CONS_GETCHAR), mov(0, "o0"), *hypercall(CONS_GETCHAR), *LOOP)
    assert machine.console.feed(b"A") == 1
    machine.console.hangup()
    strand = machine.strands[0]
    strand.run(2)
    assert (strand["o0"], strand["o1"]) == (0, ord("A"))
    strand.run(3)
    assert strand["o1"] == (1 << 64) - 2


def test_a_trap_at_the_last_level_stops_with_a_report() -> None:
    machine = started(ILLTRAP)
    stop = machine.run(1000)
    assert stop.reason is StopReason.WATCHDOG
    assert stop.trap_type is not None
    assert machine.strands[0].state is StrandState.ERROR
    assert "tl" in machine.strands[0].print().lower()


def test_breakpoints() -> None:
    machine = started(*[ADD_G1] * 8, *LOOP)
    machine.add_breakpoint(ENTRY + 8)
    stop = machine.run(100)
    assert (stop.reason, stop.address, machine.strands[0]["g1"]) == (StopReason.BREAKPOINT, ENTRY + 8, 2)
    machine.remove_breakpoint(ENTRY + 8)
    with pytest.raises(AddressError):
        machine.remove_breakpoint(ENTRY + 8)
    assert machine.run(100).reason is StopReason.BUDGET


def test_trace_has_one_line_per_instruction() -> None:
    machine = started(ADD_G1, NOP, *LOOP)
    machine.trace()
    machine.run(4)
    lines = machine.read_trace().splitlines()
    assert len(lines) == 4
    assert all(f"{ENTRY + 4 * i:x}" in line for i, line in enumerate(lines))
    machine.trace(False)
    machine.run(4)
    assert machine.read_trace() == ""


def test_kick_stops_a_run_in_another_thread() -> None:
    machine = started(*LOOP)
    stops = []
    worker = threading.Thread(target=lambda: stops.append(machine.run(1 << 62)))
    worker.start()
    while worker.is_alive():  # a kick before the run begins would be lost
        machine.kick()
        worker.join(0.01)
    assert [stop.reason for stop in stops] == [StopReason.KICK]


def test_a_running_machine_is_busy_for_other_threads() -> None:
    machine = started(*LOOP)
    worker = threading.Thread(target=lambda: machine.run(1 << 62))
    worker.start()
    busy = False
    while not busy:
        try:
            machine.strands[0]["pc"]
        except BusyError:
            busy = True
    while worker.is_alive():
        machine.kick()
        worker.join(0.01)
    assert machine.strands[0]["pc"] in (ENTRY, ENTRY + 4)


# -- state


def test_saved_state_continues_bit_for_bit() -> None:
    words = [ADD_G1, STX_G1_AT_G2, 0x10BFFFFE, NOP]  # loop: add, store, ba loop, nop
    machine = started(*words)
    machine.strands[0]["g2"] = 0x30000
    machine.run(1001)
    state = machine.save()
    with Machine("1M", deterministic=True) as other:
        assert other.digest() != machine.digest()
        other.load(state)
        assert other.digest() == machine.digest()
        machine.run(5000)
        assert other.digest() != machine.digest()
        other.run(5000)
        assert other.digest() == machine.digest()
        assert other.memory.load(0x30000) > 1000


LDX_G2_TO_G1 = 0xC2588000  # ldx [%g2], %g1
COUNT_UP = [LDX_G2_TO_G1, ADD_G1, STX_G1_AT_G2, 0x10BFFFFD, NOP]  # ba . - 12
SHARED = 0x30000


def racing(strands: int, quantum: int) -> Machine:
    """Strands that count up one shared word without a lock: the sum depends on how they are interleaved."""
    machine = Machine("1M", strands=strands, deterministic=True, quantum=quantum)
    machine.load_image(parse_image(program(*COUNT_UP)))
    for strand in machine.strands:
        strand.start(ENTRY)
        strand["g2"] = SHARED
    return machine


@pytest.mark.parametrize(("strands", "quantum"), [(1, 10_000), (2, 3), (3, 7), (5, 1000), (16, 61)])
def test_a_deterministic_run_does_not_depend_on_its_cuts(strands: int, quantum: int) -> None:
    """One long run, many short ones, and one through a saved state end in the same digest."""
    seed, total = 11, 20_000
    print(f"seed {seed}")
    rng = random.Random(seed)
    whole, cut = racing(strands, quantum), racing(strands, quantum)
    assert whole.run(total).insns == total
    left = total
    while left:
        if rng.random() < 0.05:
            state, cut = cut.save(), racing(strands, quantum)
            cut.load(state)
        left -= cut.run(min(left, rng.choice([1, 2, 3, 50, rng.randrange(1, 2000)]))).insns
    assert cut.digest() == whole.digest()
    assert 0 < whole.memory.load(SHARED) <= total // 5 + 1


def test_the_quantum_decides_how_strands_are_interleaved() -> None:
    """The race is real: another quantum, another sum. Otherwise the test above proves nothing."""
    sums = set()
    for quantum in (3, 7, 1000):
        machine = racing(3, quantum)
        machine.run(20_000)
        sums.add(machine.memory.load(SHARED))
    assert len(sums) > 1


def test_damaged_states_are_refused() -> None:
    machine = started(NOP)
    state = machine.save()
    for bad in (b"", state[: len(state) // 2], b"x" * len(state)):
        with Machine("1M", deterministic=True) as other, pytest.raises(StateError):
            other.load(bad)


# -- arguments


def test_arguments_reach_the_program() -> None:
    machine = Machine("1M")
    machine.boot(parse_image(program(NOP)), args=["prog", "a b", ""])
    base = machine.strands[0]["o0"]
    assert base == (1 << 20) - 8192
    count = machine.memory.load(base)
    pointers = [machine.memory.load(base + 8 * (i + 1)) for i in range(count + 1)]
    assert pointers[count] == 0
    texts = [machine.memory.read(p, 8).split(b"\0")[0] for p in pointers[:count]]
    assert texts == [b"prog", b"a b", b""]


def test_no_arguments_leave_o0_zero() -> None:
    assert started(NOP).strands[0]["o0"] == 0


def test_arguments_that_do_not_fit() -> None:
    with pytest.raises(ConfigError, match="larger than one page"):
        argument_block(0, ["x" * 8192])
    with pytest.raises(ConfigError, match="NUL"):
        argument_block(0, ["a\0b"])


def test_hypercall_helper_words() -> None:
    """The words these tests are made of are what they say."""
    from emulator import disassemble

    assert code(NOP) == b"\x01\0\0\0"
    assert disassemble(ADD_G1).split()[0] in ("add", "inc")
    assert disassemble(STX_G1_AT_G2).split() == ["stx", "%g1,", "[", "%g2", "]"]
    assert disassemble(TA_FAST).split()[0] in ("ta", "t")
