"""Start, the factory's configuration, what an operation gets, who may do what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from manager_support import FakeMachine, machine_of, make_manager

from emulator.platforms import PLATFORMS
from ldmd.jobs import Caller
from ldmd.messages import refuse
from ldmd.model import State
from ldmd.operations.registry import OPERATIONS, operation
from ldmd.planner.server import empty_memory


@pytest.fixture
def registered() -> Iterator[Any]:
    """Operations of a test alone."""
    before = dict(OPERATIONS)
    yield operation
    OPERATIONS.clear()
    OPERATIONS.update(before)


@pytest.mark.parametrize("platform", ["t5-2", "t2000", "t3-1", "m10-4s", "m8-8", "s7-2"])
def test_a_fresh_store_gives_everything_to_the_control_domain(platform: str) -> None:
    manager = make_manager(platform, "32G")
    primary, facts = manager.configuration.primary, PLATFORMS[platform]
    assert (primary.name, primary.state, primary.shutdown_group) == ("primary", State.ACTIVE, 0)
    assert primary.binding is not None
    assert [pid for _, pid in primary.binding.vcpus] == list(range(facts.strands))
    assert primary.crypto == facts.crypto_units == len(primary.binding.crypto)
    assert primary.io == tuple(root.name for root in facts.roots)
    memory = empty_memory(manager.configuration.server)
    assert memory.free_bytes - primary.binding.memory_bytes < 4 << 20 << 3  # all but what is not 4M aligned
    for block in primary.binding.memory:
        assert block.ra % facts.largest_page_bytes == block.pa % facts.largest_page_bytes
    # the machine counts it as used, and nothing is started for it
    assert machine_of(manager).guests[0].spec["vcpus"] == [list(pair) for pair in primary.binding.vcpus]
    assert "guest.start" not in machine_of(manager).ops()


def test_identity_comes_from_the_name_and_the_seed() -> None:
    one, same, other = make_manager(seed=1), make_manager(seed=1), make_manager(seed=1, name="beta")
    assert one.configuration == same.configuration
    assert one.configuration.primary.mac != other.configuration.primary.mac
    assert one.configuration.primary.hostid & 0xFFFFFF == one.configuration.primary.mac & 0xFFFFFF


def test_an_outcome_has_result_lines_and_errors(registered: Any) -> None:
    @registered("say-things")
    def say(context: Any, arguments: Any) -> Any:
        context.say("LDom ldg1 started")
        context.warn("mind the gap")
        context.progress(50, "half")
        return {"name": arguments.text("name")}

    manager = make_manager()
    seen: list[tuple[str, str]] = []
    events: list[Any] = []
    end = manager.watch(events.append)
    outcome = manager.execute("say-things", {"name": "x"}, on_line=lambda kind, text: seen.append((kind, text)))
    assert outcome.status == 0 and outcome.result == {"name": "x"} and outcome.out == "LDom ldg1 started\n"
    assert seen == [("say", "LDom ldg1 started"), ("warn", "mind the gap"),
                    ("progress", {"percent": 50, "text": "half"})]
    assert [(each["event"], each["percent"]) for each in events] == [("progress", 50)]
    end()
    refused = manager.execute("say-things", {})
    assert refused.status == 1 and refused.error is not None and refused.error.code == "usage.missing"
    assert len(events) == 1


def test_an_operation_that_fails_is_an_outcome_and_changes_nothing(registered: Any) -> None:
    @registered("fails")
    def fails(context: Any, arguments: Any) -> Any:
        raise ZeroDivisionError("oh")

    manager = make_manager()
    before = manager.configuration
    outcome = manager.execute("fails", {})
    assert outcome.status == 1 and outcome.error is not None and outcome.error.code == "internal"
    assert manager.configuration is before
    assert manager.execute("version", {}).status == 0
    assert any("ZeroDivisionError" in line for line in manager.log_lines)  # type: ignore[attr-defined]


def test_roles(registered: Any) -> None:
    @registered("change")
    def change(context: Any, arguments: Any) -> Any:
        refuse("usage.missing", name="it got here")

    manager = make_manager()
    reader = Caller("eve", "read")
    assert manager.execute("version", {}, caller=reader).status == 0
    outcome = manager.execute("change", {}, caller=reader)
    assert outcome.error is not None and outcome.error.code == "access.write" and "eve" in outcome.error.text
    unknown = manager.execute("chnage", {}, caller=reader)
    assert unknown.error is not None and unknown.error.code == "command.unknown"


def test_an_operation_that_only_reads_cannot_commit(registered: Any) -> None:
    @registered("reads", write=False)
    def reads(context: Any, arguments: Any) -> Any:
        context.commit(context.configuration.but(spconfig="x"))

    manager = make_manager()
    assert manager.execute("reads", {}).status == 1
    assert manager.configuration.spconfig == "factory-default"


def test_history_is_kept_in_order_and_limited() -> None:
    manager = make_manager()
    manager.execute("version", {}, line="ldm -V")
    manager.execute("set-logctl", {"debug": "on"}, line="ldm set-logctl debug=on")
    manager.execute("nope", {}, caller=Caller("bob", "write"))
    rows = manager.execute("list-history", {}).result["history"]
    assert [(row["line"], row["status"], row["caller"]) for row in rows] == [
        ("ldm -V", 0, "local"), ("ldm set-logctl debug=on", 0, "local"), ("ldm nope", 1, "bob")]
    assert len(manager.execute("list-history", {"limit": "2"}).result["history"]) == 2
    manager.execute("set-logctl", {"history": "0"})
    assert manager.execute("list-history", {}).result["history"] == []


def test_log_classes() -> None:
    manager = make_manager()
    lines = manager.log_lines  # type: ignore[attr-defined]
    manager.execute("set-logctl", {"cmd": "off"})
    count = len(lines)
    manager.execute("version", {})
    assert len(lines) == count
    assert manager.execute("list-logctl", {}).result["log"]["cmd"] is False
    fixed = manager.execute("set-logctl", {"fatal": "off"})
    assert fixed.error is not None and fixed.error.code == "logctl.fixed"
    manager.execute("set-logctl", {"defaults": True})
    manager.execute("version", {})
    assert any("cmd: ldm version" in line for line in lines[count:])
    assert any(line.endswith("cmd: OK") for line in lines[count:])


def test_a_store_belongs_to_one_machine() -> None:
    from ldmd.messages import RefusedError

    manager = make_manager()
    with pytest.raises(RefusedError) as caught:
        make_manager(store=manager.store, machine=FakeMachine(name="beta"))
    assert caught.value.code == "machine.other"
