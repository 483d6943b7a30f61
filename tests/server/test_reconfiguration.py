"""Dynamic reconfiguration the whole way over hvctl: machine, machine description, request, what the guest then has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from server_support import Room, labos_spec

from emulator.backends.file import create_disk
from emulator.devices.ds import MemoryResult, VioResult
from emulator.hvctl.local import RefusedError

MIB = 1 << 20


def ask(room: Room, op: str, **args: Any) -> Mapping[str, Any]:
    """A request to guest 1, and its answer."""
    number = room.call(op, guest=1, **args)["request"]

    def answers() -> list[Mapping[str, Any]]:
        return [event for event in room.events if event["event"] == "guest.reply" and event["request"] == number]

    room.until(lambda: bool(answers()), what=f"{op} {args}")
    return answers()[0]


def test_cpus() -> None:
    with Room() as room:
        two, four = (labos_spec(1, max_vcpus=8, vcpus=[[n, 8 + n] for n in range(count)]) for count in (2, 4))
        room.add(two)
        room.prompt(1)
        room.call("guest.configure", spec=four)
        assert ask(room, "guest.md_update")["result"] == 0
        reply = ask(room, "guest.dr_cpu", action="configure", cpus=[2, 3])
        assert list(reply["units"]) == [{"unit": n, "result": 0, "status": 2, "text": ""} for n in (2, 3)]
        assert room.do(1, "cpus").count("on-line") == 4
        assert [vcpu["state"] for vcpu in room.status(1)["vcpus"]] == ["running"] * 4
        reply = ask(room, "guest.dr_cpu", action="unconfigure", cpus=[0, 1, 2, 3])
        assert [unit["result"] for unit in reply["units"]] == [0, 0, 0, 2]
        assert reply["units"][3]["text"] == "the last CPU cannot be unconfigured"
        assert ask(room, "guest.dr_cpu", action="configure", cpus=[0, 1])["result"] == 0
        assert ask(room, "guest.dr_cpu", action="unconfigure", cpus=[3])["units"][0]["result"] == 0
        room.call("guest.configure", spec=two)
        assert ask(room, "guest.md_update")["result"] == 0
        assert room.do(1, "cpus") == "0\ton-line\n1\ton-line"


def test_memory() -> None:
    with Room() as room:
        small = labos_spec(1)
        (low,) = small["memory"]
        high = [low[0] + (1 << 32), low[1] + (4 << 30), 64 * MIB]
        room.add(small)
        room.prompt(1)
        total = int(room.do(1, "mem").split()[1])
        room.call("guest.configure", spec=small | {"memory": [low, high]})
        assert ask(room, "guest.md_update")["result"] == 0
        block = [high[0], high[2]]
        assert ask(room, "guest.dr_mem", action="configure", blocks=[block])["blocks"][0]["result"] == 0
        assert int(room.do(1, "mem").split()[1]) == total + 64
        (query,) = ask(room, "guest.dr_mem", action="query", blocks=[block])["queries"]
        assert (query["pages"], query["permanent"]) == (8192, 0)
        reply = ask(room, "guest.dr_mem", action="unconfigure", blocks=[[low[0], low[2]], block])
        assert [each["result"] for each in reply["blocks"]] == [MemoryResult.PERMANENT, MemoryResult.OK]
        room.call("guest.configure", spec=small)
        assert ask(room, "guest.md_update")["result"] == 0
        assert int(room.do(1, "mem").split()[1]) == total
        reply = ask(room, "guest.dr_mem", action="cancel", blocks=[])
        assert (reply["result"], reply["reason"]) == (MemoryResult.NOTHING_TO_DO, "no pages to unconfigure")


def test_devices_and_facts(tmp_path: Path) -> None:
    create_disk(tmp_path / "d", MIB)
    disks = [{"name": "d", "number": 0, "channels": [1], "backend": str(tmp_path / "d")}]
    with Room() as room:
        room.add(labos_spec(1, disks=disks))
        with pytest.raises(RefusedError, match="the guest has no service dr-vio"):
            room.call("guest.dr_vio", guest=1, action="status", kind="disk", number=0)
        room.prompt(1)
        gone = ask(room, "guest.dr_vio", action="unconfigure", kind="disk", number=0)
        assert (gone["result"], gone["status"]) == (VioResult.OK, 1)
        missing = ask(room, "guest.dr_vio", action="configure", kind="disk", number=5)
        assert (missing["result"], missing["reason"]) == (
            VioResult.NOT_IN_MD, "the device is not in the machine description",
        )  # fmt: skip
        with pytest.raises(RefusedError, match="action: one of configure, unconfigure, force, status"):
            room.call("guest.dr_vio", guest=1, action="eat", kind="disk", number=0)
        facts = ask(room, "guest.system_info", names=["uts-release"])
        assert [list(pair) for pair in facts["values"]] == [["uts-release", "5.11"]]
