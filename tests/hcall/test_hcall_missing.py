"""A state that is loaded while pages are missing: its soft TLB lets no access past the wait for a page."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from asm_support import HERE, asm, code
from guest_support import CODE, DATA, Guest
from test_hcall_alone import PAGE, Pages, Running, until

from emulator import Machine

THERE, SEEN = DATA + PAGE, DATA + 8
WORD = 0x5EC2E7
LOAD = (asm("ldx", ("o0", "g0"), "o1"), asm("stx", "o1", ("o2", "g0")))
STORE = (asm("stx", "o3", ("o0", 8)), *LOAD)


@pytest.mark.parametrize("words", [LOAD, STORE], ids=["load", "store"])
@pytest.mark.parametrize("engine", ["interpreter", "translator"])
def test_the_first_access_by_an_entry_that_came_waits(engine: str, words: tuple[int, ...]) -> None:
    source = Guest(deterministic=False)
    source.memory.store(THERE, WORD)
    source.set(o0=THERE, o2=SEEN, o3=1).run(*words)
    assert source.memory.load(SEEN) == WORD
    source.strand["pc"] = CODE
    with Machine("4M", deterministic=False) as machine:
        machine.prefer_engine(engine)
        machine.memory.write(CODE, code(*words, HERE))
        machine.memory.store(THERE, WORD)
        pages = Pages(SimpleNamespace(machine=machine), THERE)  # type: ignore[arg-type]
        machine.load_moving(source.machine.save_moving(), program=None, variables={})  # type: ignore[arg-type]
        with machine.memory.view(SEEN, 8) as seen, Running(SimpleNamespace(machine=machine)):  # type: ignore[arg-type]
            assert pages.asked(THERE), "an entry of the soft TLB went past the wait"
            assert bytes(seen) == bytes(8)
            pages.give(THERE)
            until(seen, WORD)
