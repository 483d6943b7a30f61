"""Guests on two machines talk: labos through the sockets of two processes, and in virtual time in one."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from network_support import until
from server_support import Room, labos_spec
from test_power import Rack, rack

from emulator.hvctl.client import Hvctl
from emulator.server.joined import advance_together, join_servers

__all__ = ["rack"]
DEADLINE = 120


class Typist:
    """The console of a guest of another process."""

    def __init__(self, client: Hvctl, number: int, *, prompt: bytes = b"\n# ") -> None:
        _, fds = client.call_fds("console.open", guest=number, replay=True)
        self.socket = socket.socket(fileno=fds[0])
        self.socket.settimeout(DEADLINE)
        self.prompt = prompt
        self.seen = b""

    def wait(self, end: bytes | None = None) -> str:
        """What is written up to the prompt, or to `end`."""
        end = end or self.prompt
        while end not in self.seen:
            more = self.socket.recv(65536)
            assert more, self.seen
            self.seen += more.replace(b"\r", b"")
        text, _, self.seen = self.seen.partition(end)
        return text.decode("latin-1")

    def type(self, line: str) -> None:
        self.socket.sendall(line.encode() + b"\r")

    def do(self, line: str) -> str:
        self.type(line)
        return self.wait().partition("\n")[2]

    def close(self) -> None:
        self.socket.close()


def net(mac: int, **changes: Any) -> dict[str, Any]:
    return {"name": "n0", "number": 0, "channel": 10, "mac": mac, "switch": "vsw0"} | changes


def wires(client: Hvctl) -> list[str]:
    return [wire["name"] for row in client.call("network.list")["devices"] for wire in row["wires"]]


def test_labos_on_two_machines(rack: Rack) -> None:
    clients = {name: rack.on(name) for name in ("alpha", "beta")}
    guests = []
    for number, (name, client) in enumerate(clients.items(), start=1):
        client.call("service.configure", switches=[{"name": "vsw0", "net_dev": "net0"}])
        client.call("guest.configure", spec=labos_spec(number, name=name, nets=[net(0x144FF81000 + number)]))
        client.call("guest.start", guest=number)
        guests.append(Typist(client, number))
    for number, guest in enumerate(guests, start=1):
        guest.wait()
        guest.do(f"ifconfig vnet0 10.0.0.{number}/24")
    until(lambda: wires(clients["alpha"]) == ["beta"] and wires(clients["beta"]) == ["alpha"])
    said = guests[0].do("ping 10.0.0.2")
    assert "is alive" in said, said
    assert "port 7" in guests[1].do("tcp-echo 7")
    said = guests[0].do("tcp-send 10.0.0.2 7 2000000")
    assert "2000000 bytes sent, 2000000 bytes came back, every byte right" in said, said
    devices = {row["name"]: row for row in clients["alpha"].call("network.list")["devices"]}
    assert devices["net0"]["up"] and devices["net0"]["switches"] == ["vsw0"]
    assert devices["net0"]["wires"][0]["out_bytes"] > 2_000_000
    shown = json.loads(rack.run("machines", "--json", "-l", "alpha"))
    assert [link["name"] for link in shown[0]["networks"]] == ["net0"]
    assert "beta" in rack.run("machines", "-l", "alpha")
    rack.run("kill", "beta")
    until(lambda: wires(clients["alpha"]) == [])
    said = guests[0].do("ping 10.0.0.2 1")
    assert "is alive" not in said, said
    for each in (*guests, *clients.values()):
        each.close()


def test_options_of_networks_are_kept(rack: Rack, tmp_path: Path) -> None:
    said = rack.run("power-on", "alpha", "--no-ldmd", "--net", "net0=vde:x", status=2)
    assert "net0" in said or "vde" in said
    said = rack.run("power-on", "alpha", "--no-ldmd", "--deterministic", "--net", "net0=tap:t0", status=2)
    assert "virtual time" in said
    with rack.on("alpha", "--net", "net0=lan", "--net", f"net1=passt:{tmp_path}/p") as client:
        rows = client.call("network.list")["devices"]
        assert [(row["name"], row["outlet"], row["up"]) for row in rows] == [
            ("net0", "lan", True), ("net1", f"passt:{tmp_path}/p", False)]  # fmt: skip
    rack.run("power-off", "alpha")
    with rack.on("alpha") as client:
        assert [row["outlet"] for row in client.call("network.list")["devices"]] == ["lan", f"passt:{tmp_path}/p"]
        client.call("network.plug", device="net1", outlet="none")
        assert [row["outlet"] for row in client.call("network.list")["devices"]] == ["lan", "none"]
        rack.run("plug", "alpha", "net1=lan2", "net2=none")
        rack.run("plug", "--once", "alpha", "net0=none")
    rack.run("power-off", "alpha")
    with rack.on("alpha") as client:
        kept = {row["name"]: row["outlet"] for row in client.call("network.list")["devices"]}
        assert kept == {"net0": "lan", "net1": "lan2", "net2": "none"}
    rack.run("power-off", "alpha")
    with rack.on("alpha", "--net", "") as client:
        assert client.call("network.list")["devices"] == []


def course() -> list[Any]:
    """Two servers in one virtual time; what is said, and the digests at the end."""
    with Room(name="a") as a, Room(name="b") as b:
        rooms = (a, b)
        join_servers(a.server, b.server)
        for number, room in enumerate(rooms, start=1):
            room.call("service.configure", switches=[{"name": "vsw0", "net_dev": "net0"}])
            room.add(labos_spec(number, nets=[net(0x144FF81000 + number)]))
            room.prompt(number)
            room.do(number, f"ifconfig vnet0 10.0.0.{number}/24")
        b.type(2, "tcp-echo 7")
        a.type(1, "ping 10.0.0.2")
        for _ in range(2000):
            advance_together((a.server, b.server), 1_000_000)
            if "is alive" in a.text(1):
                break
        assert "is alive" in a.text(1)
        return [a.text(1), b.text(2), *(room.call("guest.digest", guest=n) for n, room in enumerate(rooms, start=1))]


def test_two_servers_in_one_virtual_time_do_the_same_every_time() -> None:
    assert course() == course()
