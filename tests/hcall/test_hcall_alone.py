"""Calls that change what other strands use without the lock find these at rest (scope ALONE of hcall.def).

No chance is needed for a strand to be in the middle of an access, or of a call: the page that it needs is one that
follows a migration (util/presence.h), and comes when the test says so.
"""

from __future__ import annotations

import mmap
import os
import select
import threading

import pytest
from asm_support import HERE, asm, code, ta
from guest_support import CODE, DATA, EOK, MORE, TABLE, Guest

from emulator import Stop, StopReason

MEM_SCRUB, SET_MAP, MAPIN, UNMAP, REVOKE = 0x31, 0xEA, 0xED, 0xEE, 0xEF
R_, W_ = 1 << 4, 1 << 5
PAGE = 8192
ROUND, SEEN, FLAG, COUNT = DATA, DATA + 8, DATA + 16, DATA + PAGE  # words in memory; COUNT in a page of its own
MAP_TABLE, SHARED, GATE, AFTER, SCRUBBED = MORE, 0x200000, 0x210000, 0x220000, 0x230000
OTHER_CODE, CALLS = CODE + 0x1000, CODE + 0x2000
HEADER, MISSING_AT, RING_AT = (
    4096,
    24,
    48,
)  # struct presence_head: bytes behind it, its count of what is missing, its ring
HERE_NOW, MISSING, ASKED = 0, 1, 2
DEADLINE = 60.0
PATIENCE = 0.4  # for a core that does not wait to show it; one that does passes whatever it is


class Pages:
    """Pages of a guest that are missing until they are given."""

    def __init__(self, guest: Guest, *pages: int) -> None:
        fd, self.bell = guest.machine.begin_missing()
        self.file = mmap.mmap(fd, os.fstat(fd).st_size)
        for page in pages:
            self.file[HEADER + page // PAGE] = MISSING
        self.file[MISSING_AT : MISSING_AT + 8] = len(pages).to_bytes(8, "little")

    def asked(self, page: int, *, seconds: float = DEADLINE) -> bool:
        """Whether a strand stands before the page."""
        poll = select.poll()
        poll.register(self.bell, select.POLLIN)
        while self.file[HEADER + page // PAGE] != ASKED:
            if not poll.poll(seconds * 1000):
                return False
            os.read(self.bell, 8)
        return True

    def give(self, page: int) -> None:
        """Who waits looks again within a tenth of a second."""
        self.file[HEADER + page // PAGE] = HERE_NOW
        left = int.from_bytes(self.file[MISSING_AT : MISSING_AT + 8], "little") - 1
        self.file[MISSING_AT : MISSING_AT + 8] = left.to_bytes(8, "little")


class Running:
    """A run on a thread of its own."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest
        self.stops: list[Stop] = []
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        self.stops.append(self.guest.machine.run(1 << 60))

    def __enter__(self) -> Running:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.guest.machine.give_up_missing()  # whoever still waits
        while self._thread.is_alive():
            self.guest.machine.kick()
            self._thread.join(0.01)


def number(view: memoryview) -> int:
    return int.from_bytes(bytes(view[:8]), "big")


def until(view: memoryview, value: int) -> None:
    """Memory says so."""
    waited = threading.Event()
    for _ in range(int(DEADLINE / 0.002)):
        if number(view) >= value:
            return
        waited.wait(0.002)
    pytest.fail(f"{number(view)} never became {value}")


def guest_with_exports() -> Guest:
    """Two strands in real time; channels 2 and 3 are one, of which 2 exports the page SHARED."""
    guest = Guest(strands=2, deterministic=False)
    assert guest.hcall(0, 0x101, 1, 1, trap=0xFF)[:2] == (EOK, 1)
    guest.machine.connect_channels(2, 3)
    assert guest.hcall(SET_MAP, 2, MAP_TABLE, 16)[0] == EOK
    guest.memory.store(MAP_TABLE, SHARED | R_ | W_)
    guest.memory.store(MAP_TABLE + 8, 0)
    guest.memory.store(SHARED, 0x5EC2E7)
    return guest


def arrange(guest: Guest, caller: list[int], other: list[int], **regs: int) -> None:
    """Code and registers of strand 0, which makes the call, and of the other one; traps are passed over (DONE)."""
    guest.memory.write(TABLE, code(*[asm("done"), *[HERE] * 7] * 512))
    for strand, at, words in zip(guest.machine.strands, (CALLS, OTHER_CODE), (caller, other), strict=True):
        guest.memory.write(at, code(*words, HERE))
        strand["pc"], strand["npc"], strand["pstate"], strand["mmu_enabled"] = at, at + 4, 4, 0
        for name, value in regs.items():
            strand[name] = value


GO = [asm("ldx", ("l1", 0), "l0")]  # %l1 is GATE: from here on as the test says
AGAIN = [asm("ldx", ("l2", 0), "l0")]  # %l2 is AFTER: tells the test that the call is done
TELL = [asm("stx", "l4", ("l3", 0))]  # %l3 is FLAG
LOOKS = [
    asm("ldx", ("i1", 0), "g2"),  # %i1 is what is mapped in
    asm("ldx", ("l3", 0), "g3"),
    asm("brz", 0, 1, "g3", -8),
    asm("ldx", ("g0", 0), "g0"),
    asm("or", "g0", 77, "g2"),  # the flag says that it is mapped in no more
    asm("ldx", ("i1", 0), "g2"),
    asm("stx", "l4", ("l5", 0)),  # %l5 is SEEN
]


@pytest.mark.parametrize("call", ["unmap", "revoke"])
def test_a_page_taken_back_is_gone_for_a_strand_in_the_middle_of_a_look_at_it(call: str) -> None:
    """The strand has found the page in the table of what is mapped in, and waits for its bytes: the call ends only
    when it has them, so that what it keeps of the translation is forgotten with the rest."""
    guest = guest_with_exports()
    status, ra = guest.hcall(MAPIN, 3, 0)[:2]
    assert status == EOK
    function, arguments = {"unmap": (UNMAP, (ra, 0, 0)), "revoke": (REVOKE, (2, 0, guest.memory.load(MAP_TABLE + 8)))}[
        call
    ]
    arrange(
        guest,
        [*GO, ta(0x80), *TELL, *AGAIN],
        LOOKS,
        o5=function,
        o0=arguments[0],
        o1=arguments[1],
        o2=arguments[2],
        l1=GATE,
        l2=AFTER,
        l3=FLAG,
        l4=1,
        l5=SEEN,
        i1=ra,
        g2=0,
    )
    pages, seen = Pages(guest, SHARED, GATE, AFTER), guest.memory.view(SEEN, 8)
    with Running(guest) as run:
        assert pages.asked(GATE)
        assert pages.asked(SHARED)
        pages.give(GATE)
        early = pages.asked(AFTER, seconds=PATIENCE)
        pages.give(SHARED)
        assert pages.asked(AFTER)
        until(seen, 1)
        pages.give(AFTER)
    assert run.stops[0].reason is StopReason.KICK
    caller, other = guest.machine.strands
    assert caller["o0"] == EOK
    assert other["g2"] == 77, "a page that had been taken back was read"
    assert not early
    seen.release()
    guest.machine.close()


COUNTS = [
    asm("add", "g1", 1, "g1"),
    asm("stx", "g1", ("i0", 0)),  # %i0 is COUNT
    asm("ba", 0, -8),
    asm("ldx", ("g0", 0), "g0"),
]


@pytest.mark.parametrize(
    ("function", "arguments", "stands_before"),
    [
        (MAPIN, (3, 0), MAP_TABLE),
        (UNMAP, (1, 0), MAP_TABLE),
        (REVOKE, (2, 0), MAP_TABLE),
        (MEM_SCRUB, (SCRUBBED, PAGE), SCRUBBED),
    ],
    ids=["mapin", "unmap", "revoke", "scrub"],
)
def test_nobody_else_is_at_work_in_the_middle_of_such_a_call(
    function: int, arguments: tuple[int, int], stands_before: int
) -> None:
    """It stands before a page that it needs; the other strand, which counts in memory, stands until it is done."""
    guest = guest_with_exports()
    status, ra = guest.hcall(MAPIN, 3, 0)[:2]
    assert status == EOK
    first = ra if function == UNMAP else arguments[0]
    arrange(
        guest,
        [*GO, ta(0x80), *AGAIN],
        COUNTS,
        o5=function,
        o0=first,
        o1=arguments[1],
        o2=guest.memory.load(MAP_TABLE + 8),
        l1=GATE,
        l2=AFTER,
        i0=COUNT,
        g1=0,
    )
    pages, count = Pages(guest, GATE, AFTER, stands_before), guest.memory.view(COUNT, 8)
    with Running(guest) as run:
        assert pages.asked(GATE)
        until(count, 1000)
        pages.give(GATE)
        assert pages.asked(stands_before)
        before = number(count)
        threading.Event().wait(PATIENCE / 2)
        moved = number(count) - before
        pages.give(stands_before)
        assert pages.asked(AFTER)
        until(count, before + 1000)  # and on
        pages.give(AFTER)
    assert run.stops[0].reason is StopReason.KICK
    assert guest.machine.strands[0]["o0"] == EOK
    assert moved == 0
    count.release()
    guest.machine.close()
