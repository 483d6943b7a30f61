"""Crypto units of a guest that come and go while it works with them (labos, T3): nothing is lost or wrong."""

from __future__ import annotations

from typing import Any

from server_support import Room, labos_spec

CORES = {1: 0, 2: 2}  # core of the T3 -> the guest's first virtual CPU there
VCPUS = [[0, 8], [1, 9], [2, 16], [3, 17]]


def spec(*cores: int) -> dict[str, Any]:
    return labos_spec(1, vcpus=VCPUS, crypto=list(cores))


def dr(room: Room, kind: str, action: str, cpu: int) -> Any:
    number = room.call("guest.dr_crypto", guest=1, kind=kind, action=action, cpus=[cpu])["request"]

    def told() -> list[Any]:
        return [each for each in room.events if each["event"] == "guest.reply" and each["request"] == number]

    room.until(told, what=f"{action} {kind}")
    return told()[0]


def jobs(room: Room) -> dict[tuple[str, int], tuple[int, int]]:
    room.server.advance(10_000_000)
    return {(each["kind"], each["devino"] % 32): (each["jobs"], each["errors"]) for each in room.status(1)["crypto"]}


def test_units_go_and_come_while_the_guest_works_with_them() -> None:
    with Room("t3-1") as room:
        room.add(spec(1, 2))
        room.prompt(1)
        begin = len(room.text(1))
        for _ in range(8):  # the guest works through these meanwhile
            room.type(1, "crypto")
        for _ in range(2):
            for kind in ("mau", "cwq"):
                assert dr(room, kind, "unconfigure", CORES[2])["result"] == 0
            room.call("guest.configure", spec=spec(1))
            assert {core for _, core in jobs(room)} == {1}
            room.call("guest.configure", spec=spec(1, 2))
            for kind in ("mau", "cwq"):
                assert dr(room, kind, "configure", CORES[2])["result"] == 0
        room.until(lambda: room.text(1)[begin:].count("cwq of cpu 0") >= 8 and room.text(1).endswith("# "),
                   most_ns=5_000_000_000)
        said = room.text(1)[begin:]
        assert "WRONG" not in said
        assert said.count("mau of cpu 0: ok") == 8
        last = room.do(1, "crypto")
        for line in ("mau of cpu 0: ok", "mau of cpu 2: ok", "cwq of cpu 0: configured", "cwq of cpu 2: configured"):
            assert line in last.splitlines(), last
        done = jobs(room)
        assert done["mau", 1][0] >= 9 * 3
        assert {errors for _, errors in done.values()} == {0}


def test_a_unit_that_is_torn_away_harms_only_the_job() -> None:
    """Without a word to the guest: its driver learns it from the hypervisor, and the other unit works on."""
    with Room("t3-1") as room:
        room.add(spec(1, 2))
        room.prompt(1)
        room.call("guest.configure", spec=spec(1))
        said = room.do(1, "crypto")
        assert "mau of cpu 0: ok" in said
        assert "mau of cpu 2: ok" not in said
        room.call("guest.configure", spec=spec(1, 2))
        assert dr(room, "mau", "unconfigure", CORES[2])["result"] in (0, 1)
        assert "mau of cpu 0: ok" in room.do(1, "crypto")


def test_a_core_that_goes_takes_its_units() -> None:
    """The manager refuses this; a machine that is told so keeps the guest's other units."""
    with Room("t3-1") as room:
        room.add(spec(1, 2), start=False)
        room.call("guest.configure", spec=labos_spec(1, vcpus=VCPUS[:2], crypto=[1]))
        room.call("guest.start", guest=1)
        room.prompt(1)
        assert {core for _, core in jobs(room)} == {1}
        assert "mau of cpu 0: ok" in room.do(1, "crypto")
