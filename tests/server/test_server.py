"""A server in virtual time: guests start, talk, end, change while they run; what one does is no other's trouble."""

from __future__ import annotations

import mmap
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from server_support import LABOS, Room, labos_spec

from emulator.backends.file import create_disk
from emulator.devices.datapath import DataPath
from emulator.devices.device import Devices
from emulator.devices.ds import DomainServices
from emulator.hvctl.local import LocalHvctl, RefusedError
from emulator.server import Server, requests
from emulator.server.requests import UNANSWERED_SECONDS
from emulator.server.spec import lab_spec


def refused(room: Room, code: str, op: str, /, **args: Any) -> str:
    with pytest.raises(RefusedError) as caught:
        room.call(op, **args)
    assert caught.value.code == code, f"{caught.value.code}: {caught.value}"
    return str(caught.value)


def disk(number: int, path: Path, **changes: Any) -> dict[str, Any]:
    return {"name": f"d{number}", "number": number, "channels": [1 + number], "backend": str(path)} | changes


def net(number: int, mac: int, **changes: Any) -> dict[str, Any]:
    return {"name": f"n{number}", "number": number, "channel": 10 + number, "mac": mac, "switch": "vsw0"} | changes


def test_a_guest_boots_and_ends() -> None:
    with Room() as room:
        room.add(labos_spec(1), start=False)
        assert room.status(1)["state"] == "defined" and room.status(1)["generation"] is None
        room.call("guest.start", guest=1)
        assert room.status(1)["firmware"] is True
        room.prompt(1)
        assert "SunOS" in room.do(1, "uname -a")
        status = room.status(1)
        assert status["state"] == "running" and status["soft_state"] == {"normal": True, "text": "Solaris running"}
        assert status["firmware"] is False and status["insns"] > 100_000 and "domain-shutdown" in status["services"]
        assert status["vcpus"][0] | {"util": 0} == {"vid": 0, "pid": 1, "state": "running", "util": 0}
        assert refused(room, "state", "guest.start", guest=1) == "g1 is on already"
        assert refused(room, "state", "guest.destroy", guest=1)
        room.type(1, "halt")
        room.until(lambda: room.status(1)["state"] == "halted")
        assert room.status(1)["why"] == "power-off"
        room.call("guest.start", guest=1)
        room.prompt(1)
        room.call("guest.stop", guest=1)
        room.call("guest.destroy", guest=1)
        assert refused(room, "no-guest", "guest.status", guest=1)
        assert room.states(1) == [("defined", "defined"), ("running", "started"), ("halted", "power-off"),
                                  ("running", "started"), ("defined", "stopped"), ("defined", "destroyed")]  # fmt: skip
        softs = [event["text"] for event in room.events if event["event"] == "guest.soft_state"]
        assert softs[-1] == "Solaris running" and "Solaris halting" in softs


def test_reset_and_reboot() -> None:
    with Room() as room:
        room.add(labos_spec(1))
        room.prompt(1)
        room.said[1].clear()
        room.call("guest.reset", guest=1)
        room.prompt(1)
        assert "OpenBoot" in room.text(1)
        room.said[1].clear()
        room.type(1, "reboot")
        room.until(lambda: room.text(1).count("Hostname: labos") == 1)
        assert room.states(1)[-2:] == [("running", "reset"), ("running", "reset")]


def test_same_requests_same_digests() -> None:
    def course() -> list[Any]:
        with Room() as room:
            room.call("service.configure", switches=[{"name": "vsw0"}])
            for number in (1, 2):
                room.add(labos_spec(number, nets=[net(0, 0x144FF81000 + number)]))
            room.prompt(1, 2)
            for number in (1, 2):
                room.do(number, f"ifconfig vnet0 10.0.0.{number}/24")
            answer = room.do(1, "ping 10.0.0.2")
            assert "is alive" in answer, answer
            room.server.advance(10_000_000)
            return [room.call("guest.digest", guest=number) for number in (1, 2)] + [
                {name: event.get(name) for name in ("event", "guest", "time", "state", "text")} for event in room.events
            ]

    first = course()
    assert first[0]["digest"] != first[1]["digest"]
    assert first == course()


def test_what_is_wrong_with_a_guest_is_said_and_changes_nothing() -> None:
    with Room() as room:
        room.add(labos_spec(1), start=False)
        taken = labos_spec(2) | {"vcpus": [[0, 1]]}
        assert "strand 1 is g1's" in refused(room, "spec", "guest.configure", spec=taken)
        there = labos_spec(2) | {"memory": labos_spec(1)["memory"]}
        assert refused(room, "config", "guest.configure", spec=there)
        hole = labos_spec(2) | {"memory": [[0, 1 << 50, 64 << 20]]}
        assert "no memory at physical address" in refused(room, "spec", "guest.configure", spec=hole)
        firmware = labos_spec(2) | {"memory": [[0, 0, 64 << 20]]}
        assert refused(room, "config", "guest.configure", spec=firmware)
        far = labos_spec(2) | {"vcpus": [[0, 256]]}
        assert "strands 0 to 255" in refused(room, "config", "guest.configure", spec=far)
        other = labos_spec(1) | {"uuid": labos_spec(9)["uuid"]}
        assert "destroy it first" in refused(room, "spec", "guest.configure", spec=other)
        lost = labos_spec(2) | {"boot": {"kernel": str(LABOS) + ".not"}}
        room.call("guest.configure", spec=lost)
        assert refused(room, "config", "guest.start", guest=2)
        assert room.status(2)["state"] == "defined"
        assert [guest["guest"] for guest in room.call("guest.list")] == [1, 2]
        room.call("guest.configure", spec=labos_spec(2))
        room.call("guest.start", guest=2)


def test_the_control_domain_is_only_counted() -> None:
    with Room() as room:
        spec = lab_spec(0, "primary", vcpus=[[n, n] for n in range(8)], memory=[[0, 4 << 30, 8 << 30]])
        room.call("guest.configure", spec=spec)
        status = room.status(0)
        assert status["state"] == "running" and status["memory_bytes"] == 8 << 30 and len(status["vcpus"]) == 8
        assert room.server.guest(0).machine is None
        assert refused(room, "state", "guest.start", guest=0)
        assert "strand 7 is primary's" in refused(room, "spec", "guest.configure", spec=labos_spec(7))


@pytest.mark.parametrize("how", ["exit", "watchdog", "device", "kernel"])
def test_a_guest_that_dies_disturbs_nobody(how: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    create_disk(tmp_path / "d", 1 << 20)
    with Room() as room:
        room.add(labos_spec(1, disks=[disk(0, tmp_path / "d")]))
        room.add(labos_spec(2))
        room.prompt(1, 2)
        machine = room.server.guest(1).machine
        assert machine is not None
        if how == "exit":
            room.type(1, "halt")
        elif how == "watchdog":
            machine.strands[0]["tba"] = 0x7FFF_0000_0000
        elif how == "device":
            def defect(self: DataPath, start: int, count: int, sequence: int) -> tuple[int, int]:
                raise ZeroDivisionError("a defect")

            monkeypatch.setattr(DataPath, "take", defect)
            room.type(1, "read c0d0 0")
        else:
            monkeypatch.setattr(machine, "run", lambda *_args, **_more: 1 // 0)
        room.until(lambda: room.status(1)["state"] == "halted")
        status = room.status(1)
        wanted = {
            "exit": ("power-off", ""), "watchdog": ("watchdog", "on strand 0"),
            "device": ("error", "ZeroDivisionError: a defect"), "kernel": ("error", "ZeroDivision"),
        }[how]  # fmt: skip
        assert status["why"] == wanted[0] and wanted[1] in status["text"]
        assert "SunOS" in room.do(2, "uname -a") and room.status(2)["state"] == "running"
        monkeypatch.undo()
        room.said[1].clear()
        room.call("guest.start", guest=1)
        room.prompt(1)


def test_a_request_with_a_defect_is_an_error_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    with Room() as room:
        room.add(labos_spec(1))
        room.prompt(1)
        monkeypatch.setattr(Devices, "remove", lambda *_: 1 // 0)
        monkeypatch.setattr("emulator.server.guest.change_machine", lambda *_args, **_more: 1 // 0)
        text = refused(room, "internal", "guest.configure", spec=labos_spec(1))
        assert "ZeroDivision" not in text
        assert "SunOS" in room.do(1, "uname -a")


def test_disks_come_and_go_while_the_guest_runs(tmp_path: Path) -> None:
    for name in "ab":
        create_disk(tmp_path / name, 1 << 20)
    (tmp_path / "a").write_bytes(b"first disk".ljust(1 << 20, b"\0"))
    with Room() as room:
        room.add(labos_spec(1, disks=[disk(0, tmp_path / "a")]))
        room.prompt(1)
        assert "first disk" in room.do(1, "read c0d0 0")
        both = labos_spec(1, disks=[disk(0, tmp_path / "a"), disk(1, tmp_path / "b")])
        done = room.call("guest.configure", spec=both)
        assert "disk d1 added" in done["applied"] and any("machine description" in each for each in done["applied"])
        again = room.call("guest.configure", spec=both)
        assert again["applied"] == []
        room.call("guest.md_update", guest=1)
        room.until(lambda: any(event["event"] == "guest.reply" for event in room.events))
        room.do(1, "write c0d1 3 hello")
        assert (tmp_path / "b").read_bytes()[3 * 512 :].startswith(b"hello")
        done = room.call("guest.configure", spec=labos_spec(1, disks=[disk(0, tmp_path / "a")]))
        assert "disk d1 removed" in done["applied"]
        assert "first disk" in room.do(1, "read c0d0 0")


def test_a_disk_whose_service_is_gone_makes_the_guest_wait(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"first".ljust(1 << 20, b"\0"))
    with Room() as room:
        on, off = (labos_spec(1, disks=[disk(0, tmp_path / "a", online=online)]) for online in (True, False))
        room.add(on)
        room.prompt(1)
        assert "first" in room.do(1, "read c0d0 0")
        room.call("guest.configure", spec=off)
        begin = len(room.text(1))
        room.type(1, "read c0d0 0")
        room.server.advance(500_000_000)
        assert "first" not in room.text(1)[begin:] and not room.text(1)[begin:].endswith("\n# ")
        (tmp_path / "a").write_bytes(b"second".ljust(1 << 20, b"\0"))
        room.call("guest.configure", spec=on)
        room.until(lambda: "second" in room.text(1)[begin:], what=room.text(1)[begin:])
        room.prompt(1)
        assert "second" in room.do(1, "read c0d0 0")


def test_a_disk_that_cannot_be_opened_is_not_there_until_it_can(tmp_path: Path) -> None:
    with Room() as room:
        spec = labos_spec(1, disks=[disk(0, tmp_path / "later")])
        room.add(spec)
        assert "No such file" in room.status(1)["disks"]["d0"]
        room.prompt(1)
        (tmp_path / "later").write_bytes(b"there".ljust(1 << 20, b"\0"))
        assert room.call("guest.configure", spec=spec)["applied"] == ["disk d0 changed"]
        assert room.status(1)["disks"] == {}
        assert "there" in room.do(1, "read c0d0 0")


def test_files_are_shared_within_a_server_and_locked_against_others(tmp_path: Path) -> None:
    create_disk(tmp_path / "a", 1 << 20)
    with Room() as one, Room() as other:
        for number in (1, 2):
            one.add(labos_spec(number, disks=[disk(0, tmp_path / "a")]))
        one.prompt(1, 2)
        one.do(1, "write c0d0 0 shared")
        assert "shared" in one.do(2, "read c0d0 0")
        other.add(labos_spec(1, disks=[disk(0, tmp_path / "a")]))
        assert "in use by another machine" in other.status(1)["disks"]["d0"]
        one.add(labos_spec(3, disks=[disk(0, tmp_path / "a", options=["excl"])]))
        assert "excl" in one.status(3)["disks"]["d0"]
        for number in (1, 2, 3):
            one.call("guest.stop", guest=number)
        assert other.call("guest.configure", spec=labos_spec(1, disks=[disk(0, tmp_path / "a")]))["applied"]
        assert other.status(1)["disks"] == {}


def test_networks_follow_their_switches() -> None:
    with Room() as room:
        for number in (1, 2):
            room.add(labos_spec(number, nets=[net(0, 0x144FF81000 + number)]))
        room.prompt(1, 2)
        for number in (1, 2):
            room.do(number, f"ifconfig vnet0 10.0.0.{number}/24")
        assert "is alive" not in room.do(1, "ping 10.0.0.2 1")  # there is no switch
        room.call("service.configure", switches=[{"name": "vsw0"}])
        room.server.advance(2_000_000_000)
        assert "is alive" in room.do(1, "ping 10.0.0.2")
        report = room.call("service.list")["switches"]
        assert [port["name"] for port in report[0]["ports"]] == ["g1/n0", "g2/n0"]
        room.call("service.configure", switches=[{"name": "vsw0", "online": False}])
        assert "is alive" not in room.do(1, "ping 10.0.0.2 1")
        room.call("service.configure", switches=[{"name": "vsw0"}])
        room.server.advance(2_000_000_000)
        assert "is alive" in room.do(1, "ping 10.0.0.2")


def test_variables_go_both_ways() -> None:
    with Room() as room:
        room.add(lab_spec(1, "g1", variables={"auto-boot?": "false", "boot-file": "-s"}))
        room.until(lambda: room.text(1).endswith("ok "))
        assert room.call("guest.variables", guest=1) == {"auto-boot?": "false", "boot-file": "-s"}
        room.type(1, "setenv boot-file -v")
        room.until(lambda: any(event["event"] == "guest.variable" for event in room.events))
        assert room.call("guest.spec", guest=1)["variables"]["boot-file"] == "-v"
        room.call("guest.set_variables", guest=1, set={"boot-command": "probe"}, remove=["boot-file"])
        room.type(1, "printenv boot-command")
        room.until(lambda: "probe" in room.text(1))
        before = room.call("guest.variables", guest=1)
        assert "boot-file" not in before and before["boot-command"] == "probe"
        refused(room, "args", "guest.set_variables", guest=1, set={"nvramrc": "x", "auto-boot?": "perhaps"})
        assert room.call("guest.variables", guest=1) == before
        room.call("guest.stop", guest=1)
        assert room.call("guest.variables", guest=1) == before
        room.call("guest.set_variables", guest=1, set={"boot-file": "-x"})
        assert room.call("guest.spec", guest=1)["variables"]["boot-file"] == "-x"


def test_a_guest_is_asked_to_shut_down_or_start_again() -> None:
    with Room() as room:
        room.add(lab_spec(1, "g1", variables={"auto-boot?": "false"}))
        room.until(lambda: room.text(1).endswith("ok "))
        refused(room, "no-service", "guest.shutdown", guest=1)
        room.add(labos_spec(2))
        room.prompt(2)
        room.said[2].clear()
        number = room.call("guest.shutdown", guest=2, reboot=True)["request"]
        room.until(lambda: ("running", "reset") in room.states(2))
        replies = [event for event in room.events if event["event"] == "guest.reply"]
        assert replies[0]["request"] == number and replies[0]["result"] == 0
        room.prompt(2)
        assert "OpenBoot" in room.text(2)
        room.call("guest.shutdown", guest=2)
        room.until(lambda: room.status(2)["state"] == "halted")
        assert room.status(2)["why"] == "power-off"


@pytest.mark.parametrize("suspended", [False, True])
def test_a_request_that_is_never_answered_ends(suspended: bool) -> None:
    """labos stands still in its debugger. A shutdown that nobody heard does not make a later power-off a reset."""
    seconds = [1000.0]
    with Room(clock=lambda: seconds[0]) as room:
        room.add(labos_spec(1))
        room.prompt(1)
        room.call("console.break", guest=1)
        room.until(lambda: not room.text(1).endswith("# "))
        asked = [room.call("guest.md_update", guest=1)["request"],
                 room.call("guest.shutdown", guest=1, reboot=True)["request"]]
        if suspended:
            room.call("guest.suspend", guest=1)

        def ended() -> list[Any]:
            room.server.advance(5_000_000)
            return [(event["request"], event["result"], event["reason"]) for event in room.events
                    if event["event"] == "guest.reply"]  # fmt: skip

        seconds[0] += UNANSWERED_SECONDS - 1
        assert ended() == []
        seconds[0] += 2
        assert ended() == [(number, None, "the guest did not answer") for number in asked]
        assert ended() == ended() and len(ended()) == 2
        assert not room.server.guest(1).requests.take_reboot()


def test_a_request_ends_by_itself_in_real_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody asks the guest for anything, and it has nothing to do."""
    monkeypatch.setattr(requests, "UNANSWERED_SECONDS", 0.3)
    monkeypatch.setattr(DomainServices, "message", lambda self, data: None)
    ended = threading.Event()
    with Server("t5-2", memory_bytes=64 << 30) as server, LocalHvctl(server) as client:
        server.events.subscribe(lambda event: ended.set() if event["event"] == "guest.reply" else None)
        client.call("guest.configure", spec=lab_spec(1, "g1", variables={"auto-boot?": "false"}))
        client.call("guest.start", guest=1)
        server.ask(1, lambda guest: guest.requests._device._services.update({"md-update": 1})).result(60)
        client.call("guest.md_update", guest=1)
        assert ended.wait(60)


def test_suspend_and_resume() -> None:
    with Room() as room:
        room.add(labos_spec(1))
        room.prompt(1)
        room.call("guest.suspend", guest=1)
        before = room.call("guest.digest", guest=1)
        room.type(1, "uname -a")
        room.server.advance(100_000_000)
        assert room.call("guest.digest", guest=1) == before and room.status(1)["state"] == "suspended"
        room.call("guest.resume", guest=1)
        room.until(lambda: "SunOS" in room.text(1))


def test_what_cannot_change_while_it_runs() -> None:
    with Room() as room:
        room.add(labos_spec(1))
        room.prompt(1)
        moved = labos_spec(1) | {"memory": [[0, 20 << 30, 64 << 20]]}
        assert "other memory" in refused(room, "state", "guest.configure", spec=moved)
        pa, cut = labos_spec(1)["memory"][0][1], 8 << 20
        less = labos_spec(1) | {"memory": [[cut, pa + cut, (64 << 20) - cut]]}
        assert refused(room, "state", "guest.configure", spec=less)  # the kernel is there
        away = labos_spec(1) | {"vcpus": [[1, 1]]}
        assert refused(room, "state", "guest.configure", spec=away)
        assert "SunOS" in room.do(1, "uname -a")
        assert "mac cannot change" in refused(room, "state", "guest.configure", spec=labos_spec(1) | {"mac": 1})
        room.call("guest.stop", guest=1)
        room.call("guest.configure", spec=labos_spec(1) | {"mac": 1})


def test_vcpus_and_memory_while_it_runs() -> None:
    with Room() as room:
        spec = labos_spec(1, max_vcpus=8)
        room.add(spec)
        room.prompt(1)
        pa = spec["memory"][0][1]
        more = spec | {"vcpus": [[0, 1], [3, 9]], "memory": [[0, pa, 64 << 20], [1 << 30, 24 << 30, 32 << 20]]}
        applied = room.call("guest.configure", spec=more)["applied"]
        assert applied[:2] == ["vcpu 3 added", "memory at 0x40000000 added"]
        machine = room.server.guest(1).machine
        assert machine is not None and [strand.number for strand in machine.strands] == [0, 3]
        assert [block[:2] for block in machine.blocks] == [(0, pa), (1 << 30, 24 << 30)]
        status = room.status(1)
        assert [vcpu["state"] for vcpu in status["vcpus"]] == ["running", "stopped"]
        assert status["memory_bytes"] == 96 << 20
        room.call("guest.md_update", guest=1)
        room.until(lambda: any(event["event"] == "guest.reply" for event in room.events))
        room.call("guest.dr_cpu", guest=1, action="configure", cpus=[3])
        room.until(lambda: room.events[-1].get("units"), what="a reply to dr-cpu")
        assert room.events[-1]["units"][0] == {"unit": 3, "result": 0, "status": 2, "text": ""}
        assert "3" in room.do(1, "psrinfo") and room.status(1)["vcpus"][1]["state"] == "running"
        assert refused(room, "state", "guest.configure", spec=spec)  # it uses its cpu
        room.call("guest.dr_cpu", guest=1, action="unconfigure", cpus=[3])
        room.until(lambda: room.events[-1].get("units") and room.events[-1]["units"][0]["status"] == 1)
        applied = room.call("guest.configure", spec=spec)["applied"]
        assert applied[:2] == ["vcpu 3 removed", "memory at 0x40000000 removed"]
        assert "SunOS" in room.do(1, "uname -a")
        room.call("guest.reset", guest=1)
        room.said[1].clear()
        room.prompt(1)


def test_memory_can_be_read_by_another_process() -> None:
    with Room() as room:
        room.add(labos_spec(1))
        room.prompt(1)
        result, fds = room.client.call_fds("memory.descriptors", guest=1)
        machine = room.server.guest(1).machine
        assert machine is not None
        block = result["blocks"][0]
        assert (block["ra"], block["size"]) == (0, 64 << 20) and len(fds) == 2
        with mmap.mmap(fds[block["memory"]], block["size"], offset=block["memory_offset"]) as memory:
            wanted = machine.memory.read(0x40_0000, 65536)
            assert wanted.strip(b"\0") and memory[0x40_0000 : 0x40_0000 + 65536] == wanted
        for fd in fds:
            os.close(fd)


def test_busy_strands_show() -> None:
    with Room() as room:
        for number in (1, 2):
            room.add(labos_spec(number))
        room.prompt(1, 2)
        room.do(1, "spin 1")
        room.call("guest.list")
        room.server.advance(1_000_000_000)
        used = {guest["guest"]: guest["vcpus"][0]["util"] for guest in room.call("guest.list")}
        assert used[1] > 90 and used[2] < 20


def test_events_are_kept_for_who_comes_late() -> None:
    with Room() as room:
        for _ in range(20):
            room.call("guest.configure", spec=labos_spec(1))
            room.call("guest.destroy", guest=1)
        late: list[Any] = []
        seq, lost = room.server.events.subscribe(late.append, since=10)
        assert not lost and [event["seq"] for event in late] == list(range(11, seq + 1))
        for _ in range(3000):
            room.server.events.emit("x")
            room.server.events.emit("y")
        later: list[Any] = []
        seq, lost = room.server.events.subscribe(later.append, since=10)
        assert lost and len(later) == 4096 and later[-1]["seq"] == seq


def test_nothing_goes_on_after_power_off() -> None:
    room = Room()
    room.add(labos_spec(1))
    room.prompt(1)
    room.call("machine.power_off")
    assert room.states(1)[-1] == ("halted", "power-off") and room.events[-1]["event"] == "machine.power_off"
    assert room.server.off.is_set()
    refused(room, "closed", "guest.configure", spec=labos_spec(2))
    refused(room, "no-guest", "guest.start", guest=1)
    room.close()
