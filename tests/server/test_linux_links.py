"""Two unmodified Linux guests of one server with a link between them, past the switch and whoever serves it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from linux_found import CRYPTO, find_linux
from server_support import Room

from emulator.server.spec import lab_spec

END = re.compile(r"<(\d+)>\n")
MINUTE_NS = 60_000_000_000
MACS = {1: 0x0014_4FF8_2001, 2: 0x0014_4FF8_2002}
INIT = "mkdir -p /dev; mount -t devtmpfs devtmpfs /dev; mount -t proc proc /proc; exec 9< /dev/mdesc"


class Shell:
    """Linux with a network, at the shell that is its first process."""

    def __init__(self, room: Room, number: int) -> None:
        self.room, self.number = room, number
        self.spec = linux_spec(number)
        room.add(self.with_net(link=True))

    def link(self, on: bool, *, tell: bool) -> None:
        """With or without a link to the other guest; `tell` it so by md-update."""
        self.room.call("guest.configure", spec=self.with_net(link=on))
        if tell:
            self.room.call("guest.md_update", guest=self.number)

    def with_net(self, *, link: bool) -> dict[str, Any]:
        other = 3 - self.number
        net = {"name": "n0", "number": 0, "channel": 1, "mac": MACS[self.number], "switch": "vsw0",
               "peers": [[2, MACS[other]]] if link else []}  # fmt: skip
        return self.spec | {"nets": [net]}

    def begin(self, command: str) -> int:
        """Type a command; where its echo begins."""
        begin = len(self.room.text(self.number))
        self.room.server.console(self.number).type(f'{command}; echo "<"$?">"\n'.encode())
        return begin

    def end(self, begin: int) -> str:
        """Its echo and output."""
        text = lambda: self.room.text(self.number)  # noqa: E731
        self.room.until(lambda: END.search(text(), begin) is not None, most_ns=3 * MINUTE_NS, what="a command's end")
        return text()[begin:]

    def do(self, command: str) -> str:
        return self.end(self.begin(command))


def linux_spec(number: int) -> dict[str, Any]:
    found, why = find_linux()
    if found is None:
        pytest.skip(why)
    boot = {"kernel": str(found.kernel), "initrd": str(found.initrd),
            "arguments": f"console=ttyHV0 {CRYPTO['none']} rdinit=/bin/sh"}  # fmt: skip
    return lab_spec(number, f"linux{number}", memory=[[0, (16 << 30) + number * (256 << 20), 256 << 20]], boot=boot)


def switch(room: Room, *, online: bool) -> None:
    room.call("service.configure", switches=[{"name": "vsw0", "mtu": 1500, "online": online}])


def frames(room: Room) -> int:
    """That came to the switch so far."""
    return sum(port.counters.received for _, switch in [room.server.switches.find("vsw0")] for port in switch.ports)


@pytest.mark.slow
def test_a_link_outlasts_the_switch_and_comes_and_goes() -> None:
    with Room() as room:
        switch(room, online=True)
        shells = [Shell(room, 1), Shell(room, 2)]
        for shell in shells:
            room.until(lambda n=shell.number: room.text(n).endswith("/ # "), most_ns=5 * MINUTE_NS)
            shell.do(INIT)
            shell.do(f"ip addr add 10.0.0.{shell.number}/24 dev eth0; ip link set eth0 up")
        one, other = shells
        assert "3 packets received" in one.do("ping -c 3 -i 0.2 10.0.0.2"), "with the switch"
        before = frames(room)
        assert "20 packets received" in one.do("ping -c 20 -i 0.05 -s 1400 10.0.0.2")
        assert frames(room) - before < 5, "frames for the other guest do not go through the switch"
        switch(room, online=False)
        assert "20 packets received" in one.do("ping -c 20 -i 0.05 10.0.0.2"), "the switch's domain is away"
        for tell in (False, True):
            for shell in shells:
                shell.link(False, tell=tell)
            assert "0 packets received" in one.do("ping -c 2 -i 0.2 -W 1 10.0.0.2"), "without link and switch"
            switch(room, online=True)
            assert " 0% packet loss" in one.do("sleep 2; ping -c 3 -i 0.2 10.0.0.2"), "through the switch"
            for shell in shells:
                shell.link(True, tell=tell)
            one.do("sleep 2; ping -c 1 10.0.0.2")
            before = frames(room)
            assert "20 packets received" in other.do("ping -c 20 -i 0.05 10.0.0.1")
            assert frames(room) - before < 5, "a link that has come back"
            switch(room, online=False)
        switch(room, online=True)
        room.call("guest.suspend", guest=2)
        room.call("guest.resume", guest=2)
        assert " 0% packet loss" in one.do("sleep 1; ping -c 5 -i 0.2 10.0.0.2"), "its ends were out meanwhile"
        assert all("Unable to handle" not in room.text(shell.number) for shell in shells)
