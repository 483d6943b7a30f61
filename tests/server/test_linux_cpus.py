"""Cpus for a running Linux, the whole way: the machine gives strands, the kernel starts them."""

from __future__ import annotations

import pytest
from linux_found import CRYPTO, find_linux
from server_support import Room
from test_reconfiguration import ask

from emulator.server.spec import lab_spec

pytestmark = [pytest.mark.slow, pytest.mark.nosan]


def test_a_running_linux_is_given_cpus() -> None:
    found, why = find_linux()
    if found is None:
        pytest.skip(why)
    boot = {"kernel": str(found.kernel), "initrd": str(found.initrd), "arguments": f"console=ttyHV0 {CRYPTO['none']}"}
    two, four = (
        lab_spec(1, "linux", boot=boot, memory=[[0, 16 << 30, 256 << 20]], max_vcpus=256,
                 vcpus=[[n, 8 + n] for n in range(count)])
        for count in (2, 4)
    )
    with Room() as room:
        room.add(two)
        room.until(lambda: "sun4v# " in room.text(1), what=room.text(1)[-400:])
        room.call("guest.configure", spec=four)
        assert ask(room, "guest.md_update")["result"] == 0
        reply = ask(room, "guest.dr_cpu", action="configure", cpus=[2, 3])
        assert [(unit["unit"], unit["result"], unit["status"]) for unit in reply["units"]] == [(2, 0, 2), (3, 0, 2)]
        room.type(1, "nproc; echo do'ne'")
        room.until(lambda: "done\n" in room.text(1))
        assert "\n4\ndone\n" in room.text(1)
        assert [vcpu["state"] for vcpu in room.status(1)["vcpus"]] == ["running"] * 4
        number = room.call("guest.shutdown", guest=1)["request"]
        room.until(lambda: room.status(1)["state"] == "halted")
        assert [event["result"] for event in room.events
                if event["event"] == "guest.reply" and event["request"] == number] == [0]  # fmt: skip
