"""Random commands on a manager, with guests that answer as they like, operating systems that come and go, and restarts.

After each: every invariant holds; the machine has exactly the guests that the configuration says, with their strands
and memory; no command ends with an internal error.
"""

from __future__ import annotations

from typing import Any

from domain_support import Room, ready
from hypothesis import given, settings
from hypothesis import strategies as st

from ldmd.manager import Manager
from ldmd.model import State

NAMES = st.sampled_from(["a", "b", "c"])
ANY = st.sampled_from(["primary", "a", "b", "c"])
COUNTS = st.sampled_from(["0", "1", "2", "3", "8", "16", "40"])
SIZES = st.sampled_from(["4M", "256M", "300M", "512M", "1G", "3G", "40G"])
RUNS = (State.ACTIVE, State.STOPPING, State.SUSPENDED)


def command(name: str, **arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
    return st.tuples(st.just(name), st.fixed_dictionaries(arguments))


FLAG = st.booleans()
ONE = NAMES.map(lambda name: [name])
COMMANDS = st.one_of(
    *(command(f"{verb}-vcpu", count=COUNTS, domain=ANY, force=FLAG) for verb in ("add", "set", "remove")),
    *(command(f"{verb}-core", count=COUNTS, domain=ANY, force=FLAG) for verb in ("add", "set", "remove")),
    command("set-core", cid=st.sampled_from(["", "4", "5,6", "30"]), domain=ANY),
    *(command(f"{verb}-memory", size=SIZES, domain=ANY, auto_adj=FLAG) for verb in ("add", "set", "remove")),
    *(command(f"{verb}-crypto", count=COUNTS, domain=ANY, force=FLAG) for verb in ("add", "set", "remove")),
    command("add-domain", domains=ONE), command("remove-domain", domains=ONE),
    command("bind-domain", domain=NAMES), command("bind-domain", domain=NAMES), command("unbind-domain", domain=NAMES),
    command("start-domain", domains=ONE), command("start-domain", all=st.just(True)),
    command("stop-domain", domains=ONE), command("stop-domain", domains=ONE, force=st.just(True)),
    command("stop-domain", domains=ONE, no_wait=st.just(True)), command("stop-domain", domains=ONE, reboot=FLAG),
    command("panic-domain", domain=NAMES),
    command("stop-domain", domains=st.just(["primary"]), reboot=st.just(True)),
    command("start-reconf", domain=ANY), command("cancel-reconf", domain=st.just("primary")),
    command("set-variable", assignments=st.just(["auto-boot?=false"]), domain=ANY),
    command("add-spconfig", config=st.sampled_from(["one", "two"])),
    command("set-domain", domain=ANY, hostid=st.sampled_from(["1", "2"])),
    command("export-domain"), command("list-domain"), command("list-devices"), command("list-constraints"),
)
ANSWERS = st.sampled_from([{"result": 0, "reason": ""}, {"result": "ok", "reason": ""}, {"result": 1}, None,
                           {"result": 0, "units": [{"unit": 2, "result": 2, "status": 2, "text": "bound"}]}])
STEPS = st.one_of(
    COMMANDS, COMMANDS, COMMANDS,
    st.tuples(st.just("boot"), st.just({})), st.tuples(st.just("restart"), st.just({})),
    st.tuples(st.just("time"), st.just({})), st.tuples(st.just("off"), st.fixed_dictionaries({"name": NAMES})),
    st.tuples(st.just("answer"), st.fixed_dictionaries({
        "op": st.sampled_from(["guest.dr_cpu", "guest.dr_mem", "guest.md_update", "guest.shutdown"]),
        "answer": ANSWERS})),
)


def agree(room: Room) -> None:
    """The machine has what the configuration says."""
    bound = {each.binding.id: each for each in room.manager.configuration.domains if each.binding is not None}
    assert room.machine.guests.keys() == bound.keys()
    for number, found in room.machine.guests.items():
        binding = bound[number].binding
        assert binding is not None and found.spec["name"] == bound[number].name
        assert [tuple(pair) for pair in found.spec["vcpus"]] == list(binding.vcpus)
        assert [tuple(part) for part in found.spec["memory"]] == [(b.ra, b.pa, b.size_bytes) for b in binding.memory]
        assert number == 0 or (found.state == "running") == (bound[number].state in RUNS)


def step(room: Room, what: str, arguments: dict[str, Any]) -> None:
    machine = room.machine
    running = [number for number, found in machine.guests.items() if found.state == "running"]
    if what == "boot":
        for number in running:
            machine.boot_os(number)
    elif what == "off":
        for number in running:
            if machine.guests[number].spec["name"] == arguments["name"]:
                machine.emit_state(number, "power-off")
    elif what == "time":
        machine.clock.advance(500)
    elif what == "answer":
        machine.answers[arguments["op"]] = arguments["answer"]
    elif what == "restart":
        old = room.manager
        room.manager = Manager(machine, old.store, clock=machine.clock, rng=old.rng, log=old.log)
        room.manager.start()
    else:
        outcome = room.run(what, **arguments)
        assert outcome.error is None or outcome.error.code not in ("internal", "manager.conflict"), outcome.error.text


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(["t5-2", "netra-t5220"]), st.lists(STEPS, min_size=15, max_size=40))
def test_whatever_is_done_manager_and_machine_agree(platform: str, steps: list[tuple[str, dict[str, Any]]]) -> None:
    room = ready(platform, "32G")
    for number, name in enumerate("ab"):
        for each, arguments in (
                ("add-domain", {"domains": [name]}), ("set-vcpu", {"count": "12", "domain": name}),
                ("set-memory", {"size": "2G", "domain": name}), ("bind-domain", {"domain": name}),
                *([("start-domain", {"domains": [name]}), ("boot", {})] if number else [])):
            step(room, each, arguments)
    for what, arguments in steps:
        step(room, what, arguments)
        agree(room)
