"""Memory with uncorrectable errors: precise non-resumable errors (FWARC 2009/655), and error reports of every kind."""

from __future__ import annotations

import pytest
from asm_support import HERE, asm
from guest_support import CODE, DATA, EOK, MORE, PRIV, TABLE, Guest

from emulator import Machine, StopReason
from emulator.errors import AddressError, ConfigError
from emulator.hypervisor import ErrorAttribute, ErrorKind, ErrorReport

ERROR, QUEUE, HEAD = 0x7F, MORE, 0x3F0
SCRUB = 0x31


def guest_of(*, queue: bool = True, entries: int = 4) -> Guest:
    guest = Guest()
    if queue:
        assert guest.hcall(0x14, 0x3F, QUEUE, entries)[0] == EOK
    return guest.set(pstate=PRIV, mmu_enabled=0)


def report(guest: Guest, n: int = 0) -> dict[str, int]:
    at, load = QUEUE + 64 * n, guest.memory.load
    return {"handle": load(at), "desc": load(at + 16) >> 32, "attr": load(at + 16) & 0xFFFFFFFF, "ra": load(at + 24),
            "size": load(at + 32) >> 32, "cpu": load(at + 32) >> 16 & 0xFFFF}


ACCESSES = {
    "ldub": asm("ldub", ("g1", 0), "g2"), "ldx": asm("ldx", ("g1", 0), "g2"), "ldd": asm("ldd", ("g1", 0), "g2"),
    "ldstub": asm("ldstub", ("g1", 0), "g2"), "swap": asm("swap", ("g1", 0), "g2"),
    "twin": asm("ldda", ("g1", "g0", 0x26), "g2"), "nofault": asm("ldxa", ("g1", "g0", 0x82), "g2"),
    "real": asm("ldxa", ("g1", "g0", 0x14), "g2"),
}  # fmt: skip


def test_a_load_of_a_poisoned_line() -> None:
    guest = guest_of()
    guest.machine.poison(DATA + 0x100, 8)
    assert guest.machine.poisoned == ((DATA + 0x100, 64),)
    guest.memory.store(DATA + 0x140, 5)
    for _ in range(3):  # the neighbours in the page are read as ever
        assert guest.trap(asm("ldx", ("g1", 0), "g2"), g1=DATA + 0x140) == 0
        assert guest["g2"] == 5
    assert guest.trap(asm("ldx", ("g1", 0), "o2"), g1=DATA + 0x138, o2=77) == ERROR
    assert (guest["o2"], guest["tpc1"], guest["tl"]) == (77, CODE, 1)
    found = report(guest)
    assert found.pop("handle") != 0
    mode = int(ErrorAttribute.MEMORY | ErrorAttribute.PRIVILEGED_MODE)
    assert found == {"desc": 2, "attr": mode, "ra": DATA + 0x100, "size": 64, "cpu": 0}


@pytest.mark.parametrize("name", ACCESSES)
def test_every_kind_of_access(name: str) -> None:
    guest = guest_of()
    word = ACCESSES[name]
    assert guest.trap(word, g1=DATA + 0x100) == 0
    guest.machine.poison(DATA + 0x100)
    assert guest.set(tl=0, pstate=PRIV).trap(word, g1=DATA + 0x100) == ERROR
    guest.machine.heal(DATA + 0x100, 64)
    assert guest.machine.poisoned == ()


def test_a_store_goes_through_and_heals_nothing() -> None:
    guest = guest_of()
    guest.machine.poison(DATA)
    assert guest.trap(asm("stx", "g2", ("g1", 0)), g1=DATA, g2=9) == 0
    assert guest.memory.load(DATA) == 9
    assert guest.trap(asm("ldx", ("g1", 0), "g2"), g1=DATA) == ERROR


def test_a_warm_page_is_noticed() -> None:
    """The loop has the page in its soft TLB when the error comes."""
    guest = guest_of()
    loop = [asm("ldx", ("g1", 0), "g2"), asm("add", "o3", 1, "o3"), 0x10BFFFFE, 0x01000000]
    guest.set(g1=DATA, o3=0).load(*loop)
    assert guest.strand.run(4000).reason is StopReason.BUDGET
    assert guest["o3"] > 900
    before = guest["o3"]
    guest.machine.poison(DATA)
    assert guest.strand.run(40).reason is StopReason.BUDGET
    assert (guest.tt, guest["o3"]) == (ERROR, before)
    assert guest["tpc1"] == CODE


def test_a_fetch() -> None:
    """Code in a page with an error runs up to it, word by word, and code decoded before is forgotten."""
    guest = guest_of()
    nops = [asm("add", "o3", 1, "o3")] * 32
    guest.set(o3=0).load(*nops)
    assert guest.strand.run(40).reason is StopReason.BUDGET
    assert guest["o3"] == 32
    guest.machine.poison(CODE + 64)
    guest.set(o3=0, pc=CODE, npc=CODE + 4)
    guest.strand.run(40)
    assert (guest.tt, guest["o3"], guest["tpc1"]) == (ERROR, 16, CODE + 64)
    assert report(guest)["ra"] == CODE + 64


def test_the_handler_goes_on() -> None:
    """It reads the report, empties the queue and steps over the instruction."""
    guest = guest_of()
    handler = [asm("ldxa", ("g4", "g0", 0x25), "g5"), asm("stxa", "g5", ("g6", "g0", 0x25)), 0x81F00000]  # ...; done
    guest.memory.write(TABLE + 32 * ERROR, b"".join(word.to_bytes(4, "big") for word in handler))
    guest.machine.poison(DATA)
    guest.set(gl=1, g4=HEAD + 8, g6=HEAD)
    guest.set(gl=0, g1=DATA, g2=3, g3=0)
    guest.run(asm("ldx", ("g1", 0), "g2"), asm("add", "g3", 1, "g3"), budget=20)
    assert (guest["tl"], guest["g2"], guest["g3"]) == (0, 3, 1)
    assert report(guest)["desc"] == 2


@pytest.mark.parametrize("entries", [0, 2])
def test_without_room_for_the_report(entries: int) -> None:
    """No queue: the strand stops. A full one: the trap comes, and the last report says that the queue is full."""
    guest = guest_of(queue=entries != 0, entries=entries or 2)
    guest.machine.poison(DATA)
    load = asm("ldx", ("g1", 0), "g2")
    if entries == 0:
        stop = guest.set(g1=DATA).run_to_stop(load)
        assert (stop.reason, stop.trap_type) == (StopReason.WATCHDOG, ERROR)
        return
    assert guest.trap(load, g1=DATA) == ERROR
    assert report(guest)["attr"] >> 31 == 1
    assert guest.set(tl=0, pstate=PRIV, pc=CODE).tt in (0, ERROR)


def test_user_mode_is_told() -> None:
    guest = guest_of()
    guest.mmu_on()
    assert guest.map(0x4000_0000, 1 << 63 | 1 << 10 | DATA) == EOK
    assert guest.map(CODE + 0x4000_2000, 1 << 63 | 1 << 10 | 1 << 7 | CODE) == EOK
    guest.machine.poison(DATA)
    guest.memory.write(CODE, asm("ldx", ("g1", 0), "g2").to_bytes(4, "big"))
    guest.set(pstate=0, pc=CODE + 0x4000_2000, npc=CODE + 0x4000_2004, g1=0x4000_0000)
    guest.strand.run(4)
    assert guest["tt1"] == ERROR
    assert report(guest)["attr"] == int(ErrorAttribute.MEMORY | ErrorAttribute.USER_MODE)


def test_scrubbing_heals_whole_lines() -> None:
    guest = guest_of()
    guest.machine.poison(DATA, 3 * 8192)
    assert guest.hcall(SCRUB, DATA + 8192, 8192)[0] == EOK
    assert guest.machine.poisoned == ((DATA, 8192), (DATA + 16384, 8192))
    guest.machine.heal(DATA + 1, 8191)
    assert guest.machine.poisoned == ((DATA, 64), (DATA + 16384, 8192))
    guest.machine.poison(DATA + 64, 16384 - 64)
    assert guest.machine.poisoned == ((DATA, 3 * 8192),)
    guest.machine.heal(0, guest.memory.size_bytes)
    assert guest.machine.poisoned == ()


def test_strands_on_threads_meet_an_error() -> None:
    """Two strands in real time, each at its own line of one page: each gets its report, with a handle of its own."""
    machine = Machine("4M", strands=2)
    for number in range(2):
        strand, queue = machine.strands[number], QUEUE + 0x1000 * number
        code_at = CODE + 0x1000 * number
        words = [0x91D02080, asm("ldx", ("g1", 0), "o2"), HERE]  # CPU_QCONF, the load
        machine.memory.write(code_at, b"".join(word.to_bytes(4, "big") for word in words))
        machine.memory.write(TABLE + 32 * ERROR, HERE.to_bytes(4, "big"))
        strand.start(code_at)
        strand["tba"] = TABLE
        for name, value in (("o0", 0x3F), ("o1", queue), ("o2", 4), ("o5", 0x14), ("g1", DATA + 0x100 * number)):
            strand[name] = value
    machine.poison(DATA, 0x200)
    for _ in range(100):
        machine.run(10_000)
        if all(strand["tl"] == 1 for strand in machine.strands):
            break
    assert [(strand["tt1"], strand["tpc1"] & 0xFFF) for strand in machine.strands] == [(ERROR, 4)] * 2
    handles = {machine.memory.load(QUEUE + 0x1000 * number) for number in range(2)}
    assert len(handles) == 2 and 0 not in handles
    assert [machine.memory.load(QUEUE + 0x1000 * n + 24) for n in range(2)] == [DATA, DATA + 0x100]
    machine.close()


def test_limits() -> None:
    guest = guest_of()
    for n in range(256):
        guest.machine.poison(MORE + 128 * n)
    with pytest.raises(ConfigError):
        guest.machine.poison(MORE + 128 * 256)
    with pytest.raises(AddressError):
        guest.machine.poison(4 << 20)
    with pytest.raises(AddressError):
        guest.machine.poison((4 << 20) - 8, 16)
    with pytest.raises(AddressError):
        guest.machine.poison(MORE, 0)
    guest.machine.poison(MORE, 128 * 256)  # and all become one
    assert guest.machine.poisoned == ((MORE, 128 * 256),)


def test_errors_go_with_the_state() -> None:
    guest = guest_of()
    clean = guest.machine.digest()
    guest.machine.poison(DATA)
    guest.machine.poison(MORE + 0x1000, 100)
    assert guest.machine.digest() != clean
    other = Guest()
    other.machine.load(guest.machine.save())
    assert other.machine.digest() == guest.machine.digest()
    assert other.machine.poisoned == ((DATA, 64), (MORE + 0x1000, 128))
    assert other.trap(asm("ldx", ("g1", 0), "g2"), g1=DATA) == ERROR
    other.machine.load(Guest().machine.save())
    assert other.machine.poisoned == ()


# -- injected reports


@pytest.mark.parametrize("kind", ErrorKind)
def test_reports_of_every_kind(kind: ErrorKind) -> None:
    guest = Guest()
    for queue, base in ((0x3E, MORE), (0x3F, MORE + 0x1000)):
        assert guest.hcall(0x14, queue, base, 4)[0] == EOK
    attributes = [flag for flag in ErrorAttribute if flag]
    for n, flag in enumerate(attributes):
        base = MORE if ErrorReport(kind=kind, attributes=flag).resumable else MORE + 0x1000
        wanted = ErrorReport(
            kind=kind, attributes=flag, address=0x1000 * n, size_bytes=n, asi=n, asr=n, grace_seconds=n
        )
        head = 64 * (n % 4)
        handle = guest.machine.report_error(0, wanted)
        words = [guest.memory.load(base + head + 8 * i) for i in range(6)]
        assert words[0] == handle
        assert words[2] == kind.value << 32 | int(flag)
        assert words[3:5] == [0x1000 * n, n << 32 | n]
        assert words[5] == n << 56 | (1 << 15 | n) << 32
        queue = 0x3E0 if base == MORE else 0x3F0
        new = (head + 64) % 256
        guest.set(g1=queue, g2=new, pstate=PRIV, tl=1)
        guest.run(asm("stxa", "g2", ("g1", "g0", 0x25)))
        guest.set(tl=0)


def test_the_core_refuses_other_kinds() -> None:
    guest = guest_of()
    fields = {"attr": 1, "ra": 0, "size": 0, "grace_seconds": 0, "asi": 0, "asr": 0}
    for desc in (0, 7, 255, 256):
        assert guest.machine._core.error_report(0, False, {"desc": desc, **fields}) is None
    assert guest.machine._core.error_report(0, False, {"desc": 6, **fields})
