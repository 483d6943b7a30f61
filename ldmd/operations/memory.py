"""add-, set-, remove-memory, and the end of a memory operation that is under way (ldm(1M) of 3.3)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from emulator.units import format_size
from ldmd.messages import RefusedError, refuse
from ldmd.operations.arguments import Arguments
from ldmd.operations.context import Context, HypervisorError
from ldmd.operations.dynamic import (
    MEMORY_SECONDS,
    Answer,
    ask,
    check_alone,
    guest_id,
    md_update,
    require_service,
    still_runs,
)
from ldmd.operations.registry import operation
from ldmd.operations.targets import foreseen, put, runs_os, target
from ldmd.planner import memory
from ldmd.planner.memory import MemoryPlan, Parts, Target
from ldmd.planner.reconfiguration import find, is_delayed

BLOCKS_AT_ONCE = 32
COMMANDS = ("add-memory", "set-memory", "remove-memory")

Planner = Callable[[Target], MemoryPlan]


def change_memory(context: Context, name: str, plan: Planner, *, auto: bool) -> None:
    """Plan a change of a domain's memory and carry it out: at once, with its guest's consent, or after its reboot."""
    domain = target(context, name)
    delayed = is_delayed(context.configuration, name)
    wish = Target(foreseen(context), domain, auto=auto, delayed=delayed)
    if runs_os(context, domain):
        check_alone(context, name)
        require_service(context, domain, "dr-mem", what="memory", kind="Memory")
    made = plan(wish)
    for note in made.notes:
        context.say(note)
    if not runs_os(context, domain) or not (made.added or made.removed):
        put(context, made.domain)
    else:
        if made.removed:
            _remove(context, name, made)
        if made.added:
            _add(context, name, made)
    context.emit("set-memory", domain=name)


def _total(parts: Iterable[tuple[int, int]]) -> int:
    return sum(size for _, size in parts)


def _ask(context: Context, name: str, action: str, parts: Parts) -> Answer:
    return ask(context, name, "guest.dr_mem", seconds=MEMORY_SECONDS, action=action,
               blocks=[list(part) for part in parts])


def _remove(context: Context, name: str, made: MemoryPlan) -> None:
    """The guest gives up blocks, some at a time; what it gave up goes back to the server at once.

    So a cancellation, or the death of this manager, leaves what was done so far, and no more.
    """
    asked, done, reasons, cancelled = _total(made.removed), 0, "", False
    for start in range(0, len(made.removed), BLOCKS_AT_ONCE):
        some = made.removed[start : start + BLOCKS_AT_ONCE]
        try:
            answer = _ask(context, name, "unconfigure", some)
        except RefusedError as refused:
            if refused.code != "job.cancelled":
                raise
            cancelled = True
            break
        gone = tuple(part for part in some if part[0] in answer.done(ra for ra, _ in some))
        if gone and still_runs(context, name):
            put(context, memory.without_memory(context.configuration, name, gone))
            md_update(context, name)
        done += _total(gone)
        context.progress(100 * done // asked, f"memory of {name}: {format_size(done)} of {format_size(asked)}")
        if len(gone) < len(some):
            reasons = answer.reasons
            break
    if cancelled:
        refuse("memory.dr-cancelled", name=name, done=format_size(done), asked=format_size(asked))
    if not done:
        refuse("memory.dr-refused", name=name, reasons=reasons)
    if done < asked:
        refuse("memory.dr-some", name=name, done=format_size(done), asked=format_size(asked), reasons=reasons)


def _add(context: Context, name: str, made: MemoryPlan) -> None:
    """The machine gives blocks, the guest takes them; those that it does not take go back."""
    domain = find(context.configuration, name)
    if not made.removed:
        domain = made.domain
    elif domain.binding is not None and made.domain.binding is not None:
        domain = domain.but(memory=made.domain.memory, binding=domain.binding.but(memory=made.domain.binding.memory))
    put(context, domain)
    md_update(context, name)
    done, reasons = [], ""
    for start in range(0, len(made.added), BLOCKS_AT_ONCE):
        some = made.added[start : start + BLOCKS_AT_ONCE]
        answer = _ask(context, name, "configure", some)
        done += [part for part in some if part[0] in answer.done(ra for ra, _ in some)]
        reasons = reasons or answer.reasons
        context.progress(100 * _total(done) // _total(made.added), f"memory of {name}: {format_size(_total(done))}")
    lost = tuple(part for part in made.added if part not in done)
    if lost and still_runs(context, name):
        put(context, memory.without_memory(context.configuration, name, lost))
        md_update(context, name)
        refuse("memory.dr-added", name=name, done=format_size(_total(done)), asked=format_size(_total(made.added)),
               reasons=reasons)


# -- sub-commands

def _operation(context: Context, arguments: Arguments, sized: Callable[[Target, int], MemoryPlan],
               named: Callable[[Target, Parts], MemoryPlan], *, may_be_empty: bool = False) -> None:
    """By size or by mblock=."""
    name, auto = arguments.text("domain"), arguments.flag("auto_adj")
    blocks = arguments.optional("mblock")
    if blocks is None:
        size = memory.parse_amount(arguments.text("size"))
        change_memory(context, name, lambda wish: sized(wish, size), auto=auto)
        return
    parts = memory.parse_mblocks(blocks)
    if not parts and not may_be_empty:
        refuse("memory.mblock-syntax", value="", why="it is empty")
    change_memory(context, name, lambda wish: named(wish, parts), auto=auto)


@operation("add-memory")
def add_memory(context: Context, arguments: Arguments) -> Any:
    """`add-memory [--auto-adj] size[unit] domain` or `add-memory mblock=... domain`."""
    _operation(context, arguments, memory.add_memory, memory.add_mblocks)


@operation("set-memory")
def set_memory(context: Context, arguments: Arguments) -> Any:
    """`set-memory [--auto-adj] size[unit] domain` or `set-memory mblock=[...] domain`."""
    _operation(context, arguments, memory.set_memory, memory.set_mblocks, may_be_empty=True)


@operation("remove-memory")
def remove_memory(context: Context, arguments: Arguments) -> Any:
    """`remove-memory [--auto-adj] size[unit] domain` or `remove-memory mblock=... domain`."""
    _operation(context, arguments, memory.remove_memory, memory.remove_mblocks)


def jobs_of(context: Context, name: str) -> tuple[Mapping[str, Any], ...]:
    """The memory operations of a domain that are under way."""
    return tuple(job for job in context.jobs()
                 if job["command"] in COMMANDS and job["arguments"].get("domain") == name)


def cancel_memory(context: Context, name: str) -> None:
    """`cancel-operation memdr domain`: the guest is told to leave off, and the operation ends with what was done."""
    find(context.configuration, name)
    jobs = jobs_of(context, name)
    if not jobs:
        refuse("memory.no-operation", name=name)
    try:
        context.hypervisor.call("guest.dr_mem", guest=guest_id(context.configuration, name), action="cancel", blocks=[])
    except HypervisorError:
        # a guest that cannot leave off is not waited for
        for job in jobs:
            context.cancel(job["job"])
