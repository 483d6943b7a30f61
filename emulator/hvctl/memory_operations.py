"""Operations of hvctl 1.2 about memory that two machines of one host hand over (protocol.md, "Memory handed over")."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from emulator._core_moving import AdoptedBlock
from emulator.fields import Fields
from emulator.hvctl.wire import close_all
from emulator.server.errors import ArgumentError
from emulator.server.guest import Guest

if TYPE_CHECKING:
    from emulator.hvctl.operations import Call, Result

MOST_BLOCKS = 4096
_LIMIT = 1 << 56


def _lend(call: Call) -> Result:
    from emulator.hvctl.operations import Answer

    def act(guest: Guest) -> Answer:
        result, fds = guest.lend()
        return Answer(result, fds)

    return call.ask(act)


def _adopt(call: Call) -> Result:
    fds = call.fds
    blocks = call.args.each("blocks", lambda item: _block(item, fds), most=MOST_BLOCKS)
    if not blocks:
        raise ArgumentError("blocks: at least one is wanted")
    mine = call.take_fds()

    def act(guest: Guest) -> dict[str, Any]:
        guest.adopt(sorted(blocks, key=lambda block: block.ra))
        return {}

    try:
        future = call.ask(act)
    except BaseException:
        close_all(mine)
        raise
    future.add_done_callback(lambda _: close_all(mine))
    return future


def _block(item: Fields, fds: list[int]) -> AdoptedBlock:
    """As `memory.lend` tells it; what says where marks are does not matter here."""
    if not fds:
        raise ArgumentError("blocks: the descriptors of their memory are wanted with the request")
    for name in ("pa", "map", "page_map_offset", "region_map_offset"):
        item.number(name, 0, (1 << 64) - 1, 0)
    return AdoptedBlock(
        ra=item.number("ra", 0, _LIMIT), size_bytes=item.number("size", 1, _LIMIT),
        memory_fd=fds[item.number("memory", 0, len(fds) - 1)], memory_offset=item.number("memory_offset", 0, _LIMIT),
    )  # fmt: skip


def _presence(call: Call) -> Result:
    """Pages that come while the guest runs. What must not wait for the guest's turn does not: it may stand still."""
    from emulator.hvctl.operations import Answer

    number, what = call.guest(), call.args.text("what", "missing")
    call.args.end()
    guest = call.server.guest(number)
    if what == "missing":
        return {"missing": guest.missing_pages}
    if what == "give-up":
        guest.give_up_missing()
        return {}
    if what == "begin":
        return call.server.ask(number, lambda it: Answer({}, it.begin_missing()))
    if what != "end":
        raise ArgumentError("what: missing, begin, end or give-up")

    def end(it: Guest) -> dict[str, Any]:
        return {"waits": asdict(it.end_missing())}

    return call.server.ask(number, end)


MEMORY_OPERATIONS: Mapping[str, Callable[[Call], Result]] = {
    "memory.lend": _lend, "memory.adopt": _adopt, "memory.presence": _presence,
}
