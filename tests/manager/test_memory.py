"""Memory: inactive, bound, running with the guest's consent; the rules of alignment and their words."""

from __future__ import annotations

from typing import Any

import pytest
from domain_support import Room, guest, ready

MIB, GIB = 1 << 20, 1 << 30


@pytest.fixture
def room() -> Room:
    return ready()


def size(room: Room, name: str) -> int:
    return room.binding(name).memory_bytes


def test_sizes_of_an_inactive_domain(room: Room) -> None:
    room.ok("add-domain", domains=["a"])
    room.ok("set-memory", size="512m", domain="a")
    room.ok("add-memory", size="1048577", domain="a")
    assert room.domain("a").memory.size_bytes == 513 * MIB + 8192, "bytes by default, in steps of 8 KB"
    assert room.refused("remove-memory", size="1G", domain="a") == "memory.remove-many"
    assert room.refused("set-memory", size="65G", domain="a") == "memory.too-much"
    for text in ("1X", "G", "-1", "1.5G"):
        assert room.refused("set-memory", size=text, domain="a") == "memory.size"
    assert room.refused("set-memory", size="0", domain="a") == "memory.zero"
    assert room.refused("add-memory", domain="a") == "usage.missing"


def test_bind_rounds_up_to_4_megabytes(room: Room) -> None:
    guest(room, "a", size="1025K", upto="bound")
    assert size(room, "a") == 4 * MIB == room.domain("a").memory.size_bytes
    room.ok("add-memory", size="1", domain="a")
    assert size(room, "a") == 8 * MIB
    room.ok("set-memory", size="5M", domain="a")
    assert size(room, "a") == 8 * MIB
    outcome = room.ok("add-memory", size="1M", domain="a", auto_adj=True)
    assert size(room, "a") >= 256 * MIB and outcome.out == "Adjusting request size to 256M.\n"


def test_a_shortage_is_explained(room: Room) -> None:
    guest(room, "a", size="60G")
    outcome = room.run("bind-domain", domain="a")
    assert outcome.error is not None and str(outcome.error) == "Not enough free memory present to meet this request."
    assert "No room for 60G of a" in outcome.error.cause and "node 1" in outcome.error.cause
    assert outcome.error.remedy.startswith("ask for at most 59G; or unbind a domain")


def test_memory_of_a_running_domain_changes_in_steps(room: Room) -> None:
    guest(room, "a", size="2G", upto="booted")
    outcome = room.run("add-memory", size="300M", domain="a")
    assert outcome.error is not None and str(outcome.error) == "The size of memory must be a multiple of 256MB."
    outcome = room.ok("add-memory", size="300M", domain="a", auto_adj=True)
    assert outcome.out == "Adjusting request size to 512M.\n" and size(room, "a") == 2560 * MIB
    outcome = room.ok("remove-memory", size="300M", domain="a", auto_adj=True)
    assert outcome.out == "Adjusting request size to 256M.\n" and size(room, "a") == 2304 * MIB
    assert room.refused("remove-memory", size="300M", domain="a") == "memory.multiple"
    assert room.refused("remove-memory", size="100M", domain="a", auto_adj=True) == "memory.multiple"
    assert room.refused("remove-memory", size="3G", domain="a") == "memory.remove-many"


def test_the_words_of_the_product_for_set_memory(room: Room) -> None:
    guest(room, "a", size="32544M", upto="booted")
    outcome = room.run("set-memory", size="4G", domain="a")
    assert outcome.error is not None
    assert str(outcome.error) == ("A ldm set-mem 4G command would remove 28448MB, which is not a\n"
                                  "multiple of 256MB. Instead, run ldm set-mem 4128M a\nto ensure a 256MB alignment.")
    room.ok("set-memory", size="4G", domain="a", auto_adj=True)
    assert size(room, "a") == 4128 * MIB
    room.ok("set-memory", size="4384M", domain="a")


def calls(room: Room) -> list[str]:
    return room.machine.ops("guest.dr_mem", "guest.md_update", "guest.configure")


def test_the_order_of_dynamic_changes(room: Room) -> None:
    guest(room, "a", size="2G", upto="booted")
    room.machine.calls.clear()
    room.ok("add-memory", size="1G", domain="a")
    assert calls(room) == ["guest.configure", "guest.md_update", "guest.dr_mem"]
    _, request = room.machine.calls[-1]
    added = [tuple(block) for block in request["blocks"]]
    assert request["action"] == "configure" and all(ra % (256 * MIB) == 0 for ra, _ in added)
    room.machine.calls.clear()
    room.ok("remove-memory", size="1G", domain="a")
    assert calls(room) == ["guest.dr_mem", "guest.configure", "guest.md_update"]


def test_a_guest_that_gives_up_only_some_blocks(room: Room) -> None:
    guest(room, "a", size="1G", upto="booted")
    room.ok("add-memory", size="1G", domain="a")
    room.ok("add-memory", size="1G", domain="a")
    first, second = sorted(block.ra for block in room.binding("a").memory)[-2:]
    room.machine.answers["guest.dr_mem"] = {"result": 0, "reason": "", "blocks": [
        {"address": first, "size": GIB, "result": 7, "status": 2, "text": "permanent memory"}]}
    outcome = room.run("remove-memory", size="2G", domain="a")
    assert outcome.error is not None and outcome.error.code == "memory.dr-some"
    assert "permanent memory" in outcome.error.cause and str(outcome.error).startswith("Only 1G of 2G")
    assert size(room, "a") == 2 * GIB and second not in [block.ra for block in room.binding("a").memory]


@pytest.mark.parametrize("answer", [None, {"result": 1, "reason": "busy"}, {"result": None, "reason": "lost"}])
def test_a_guest_that_refuses(room: Room, answer: dict[str, Any] | None) -> None:
    guest(room, "a", size="2G", upto="booted")
    room.machine.answers["guest.dr_mem"] = answer
    assert room.refused("remove-memory", size="1G", domain="a") == "memory.dr-refused"
    outcome = room.run("add-memory", size="1G", domain="a")
    assert outcome.error is not None and outcome.error.code == "memory.dr-added"
    assert size(room, "a") == 2 * GIB


def test_a_guest_without_the_service(room: Room) -> None:
    guest(room, "a", size="2G", upto="booted")
    room.machine.boot_os(room.number("a"), "md-update", "dr-cpu")
    assert room.refused("add-memory", size="1G", domain="a") == "dr.no-service"
    assert room.refused("remove-memory", size="1G", domain="a") == "dr.no-service"


def test_one_memory_operation_at_a_time_and_its_cancellation(room: Room) -> None:
    guest(room, "a", size="2G", upto="booted")
    room.machine.answers["guest.dr_mem"] = None
    seen: list[str] = []

    def meanwhile() -> None:
        for command, more in (("add-memory", {"size": "1G"}), ("set-vcpu", {"count": "2"}), ("unbind-domain", {})):
            outcome = room.manager.execute(command, {"domain": "a", **more})
            seen.append(outcome.error.code if outcome.error else "done")
        seen.append(str(room.manager.execute("cancel-operation", {"operation": "memdr", "domain": "a"}).status))
        room.machine.refuse["guest.dr_mem"] = None

    room.machine.clock.at(3, meanwhile)
    outcome = room.run("remove-memory", size="1G", domain="a")
    assert seen == ["dr.busy", "dr.busy", "unbind.not-bound", "0"]
    assert outcome.error is not None and outcome.error.code in ("memory.dr-refused", "memory.dr-cancelled")
    assert room.refused("cancel-operation", operation="memdr", domain="a") == "memory.no-operation"
    assert room.refused("cancel-operation", operation="migration", domain="a") == "reconf.no-migration"
    assert room.refused("cancel-operation", operation="tea", domain="a") == "usage.choice"


def test_named_blocks(room: Room) -> None:
    guest(room, "a")
    for text in ("x", "0x80000000", "0x80000000:", ":1G", "0x80000000:0", "zz:1G", "-1:1G"):
        assert room.refused("set-memory", mblock=text, domain="a") in ("memory.mblock-syntax", "memory.size")
    assert room.refused("set-memory", mblock="0x200000000:1G,0x220000000:1G", domain="a") == "memory.overlap"
    assert room.refused("add-memory", mblock="0x200000000:1G", domain="a") == "memory.not-named"
    assert room.refused("set-memory", mblock="0x0:1G", domain="a") == "memory.firmware"
    assert room.refused("set-memory", mblock="0x500000000000:1G", domain="a") == "memory.no-block"
    room.ok("set-memory", mblock="0x300000000:1G,0x200000000:512M", domain="a")
    assert room.refused("add-memory", size="1G", domain="a") == "memory.named"
    room.ok("bind-domain", domain="a")
    assert [(block.pa, block.size_bytes) for block in room.binding("a").memory] == [
        (0x200000000, 512 * MIB), (0x300000000, GIB)]
    room.ok("remove-memory", mblock="0x310000000:256M", domain="a")
    assert room.domain("a").memory.mblocks == (
        (0x200000000, 512 * MIB), (0x300000000, 256 * MIB), (0x320000000, 512 * MIB))
    room.ok("add-memory", mblock="0x310000000:256M", domain="a")
    assert len(room.domain("a").memory.mblocks) == 4
    room.ok("remove-memory", mblock="0x308000000:256M", domain="a")
    room.ok("add-memory", mblock="0x308000000:256M", domain="a")
    assert room.refused("remove-memory", mblock="0x100000000:256M", domain="a") == "memory.not-have"
    outcome = room.run("add-memory", mblock="0x0:4M", domain="a")
    assert outcome.error is not None and "_sys_" in outcome.error.cause
    room.ok("set-memory", mblock="0x200000000:256M,0x400000000:256M", domain="a")
    assert size(room, "a") == 512 * MIB
    room.ok("start-domain", domains=["a"])
    room.machine.boot_os(room.number("a"))
    assert room.refused("set-memory", mblock="0x400000000:256M,0x500000000:256M", domain="a") == "memory.running"
    room.ok("add-memory", mblock="0x500000000:256M", domain="a")
    room.ok("set-memory", mblock="0x400000000:256M", domain="a")
    room.ok("set-memory", mblock="", domain="a")
    assert room.domain("a").memory.mblocks == () and size(room, "a") == 256 * MIB
    room.ok("add-memory", size="256M", domain="a")


def test_memory_lies_near_the_cores(room: Room) -> None:
    guest(room, "a", vcpus=0, size="2G")
    room.ok("set-core", cid="17", domain="a")
    room.ok("bind-domain", domain="a")
    assert all(block.pa >= 0x8000000000 for block in room.binding("a").memory)
    assert all((block.ra - block.pa) % (2 * GIB) == 0 for block in room.binding("a").memory)
