"""Unmodified Linux on two machines: TCP with checksums both ways, ping without loss, jumbo frames, clean captures."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from linux_found import CRYPTO, find_linux
from network_support import until
from test_joined_machines import Typist, net, wires
from test_power import Rack, rack

from emulator.hvctl.client import Hvctl
from emulator.server.spec import lab_spec

__all__ = ["rack"]
PROMPT = b"sun4v# "
MTU = 9000
MEGABYTES = 16


class Shell(Typist):
    """Linux at the shell of its console."""

    def __init__(self, client: Hvctl, number: int) -> None:
        super().__init__(client, number, prompt=PROMPT)
        self.socket.settimeout(400)

    def do(self, line: str) -> str:
        self.socket.sendall(line.encode() + b"\n")
        return self.wait().partition("\n")[2]


def linux(client: Hvctl, number: int, **changes: Any) -> Shell:
    """A guest, on its way to the shell."""
    found, why = find_linux()
    if found is None:
        pytest.skip(why)
    boot = {"kernel": str(found.kernel), "initrd": str(found.initrd),
            "arguments": f"console=ttyHV0 {CRYPTO['none']}"}  # fmt: skip
    spec = lab_spec(number, f"linux{number}", memory=[[0, (16 << 30) + number * (256 << 20), 256 << 20]], boot=boot)
    client.call("guest.configure", spec=spec | {"nets": [net(0x144FF81000 + number, **changes)]})
    client.call("guest.start", guest=number)
    return Shell(client, number)


@pytest.fixture
def pair(rack: Rack) -> Iterator[tuple[list[Hvctl], list[Shell]]]:
    """Two machines on one network, a Linux on each with an address and large frames."""
    clients = [rack.on(name) for name in ("alpha", "beta")]
    for client in clients:
        client.call("service.configure", switches=[{"name": "vsw0", "net_dev": "net0", "mtu": MTU}])
    shells = [linux(client, number, mtu=MTU) for number, client in enumerate(clients, start=1)]
    for number, shell in enumerate(shells, start=1):
        shell.wait()
        shell.do(f"ip link set eth0 mtu {MTU} up; ip addr add 10.0.0.{number}/24 dev eth0")
    until(lambda: wires(clients[0]) == ["beta"] and wires(clients[1]) == ["alpha"])
    yield clients, shells
    for each in (*shells, *clients):
        each.close()


@pytest.mark.slow
def test_linux_on_two_machines(pair: tuple[list[Hvctl], list[Shell]], tmp_path: Path) -> None:
    clients, (a, b) = pair
    record = tmp_path / "n0.pcapng"
    clients[0].call("network.record", guest=1, net="n0", path=str(record))
    said = a.do("ping -c 20 -i 0.2 10.0.0.2 | tail -3")
    assert "20 packets transmitted, 20 packets received, 0% packet loss" in said, said
    said = a.do(f"ping -c 3 -s {MTU - 28} 10.0.0.2 | tail -3")
    assert "3 packets received" in said, f"jumbo frames: {said}"
    clients[0].call("network.record", guest=1, net="n0", path=None)
    b.do("mkdir -p /tmp/w; cd /tmp/w; httpd -p 80 -h /tmp/w")
    (checksum,) = sums(b.do(f"dd if=/dev/urandom of=f bs=1M count={MEGABYTES} 2>/dev/null; sha256sum f"))
    assert sums(a.do("wget -q -O /tmp/f http://10.0.0.2/f; sha256sum < /tmp/f")) == [checksum]
    # and back, at the same time as another copy comes
    a.do("httpd -p 80 -h /tmp")
    b.do("rm -f /tmp/back; (wget -q -O - http://10.0.0.1/f | sha256sum > /tmp/back) &")
    assert sums(a.do("wget -q -O - http://10.0.0.2/f | sha256sum")) == [checksum]
    assert sums(b.do("while [ ! -s /tmp/back ]; do sleep 1; done; cat /tmp/back")) == [checksum]
    said = a.do("cat /sys/class/net/eth0/statistics/rx_errors /sys/class/net/eth0/statistics/tx_errors")
    assert said.split()[-2:] == ["0", "0"]
    clean(record)


def sums(said: str) -> list[str]:
    """SHA-256 sums in what a shell says; a long command is broken into lines."""
    return re.findall(r"\b[0-9a-f]{64}\b", said)


def clean(record: Path) -> None:
    """tshark sees whole frames, the protocols of a ping, and nothing malformed."""
    tshark = shutil.which("tshark")
    if tshark is None:
        pytest.skip("tshark is not there")

    def read(*words: str) -> list[str]:
        # sunvnet pads short frames with what lies behind them, which a dissector may take for a trailer of its own
        command = [tshark, "--disable-protocol", "f5ethtrailer", "-r", str(record), "-T", "fields", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
        return done.stdout.splitlines()

    assert read("-Y", "_ws.malformed || _ws.expert.severity > 6291456", "-eframe.number") == []
    rows = [line.split("\t") for line in read("-eframe.protocols", "-eframe.len")]
    protocols = {row[0] for row in rows}
    assert {"eth:ethertype:ip:icmp:data", "eth:ethertype:arp"} <= protocols
    assert max(int(row[1]) for row in rows) == MTU + 14


@pytest.mark.slow
def test_vlans_of_linux_on_two_machines_stay_apart(pair: tuple[list[Hvctl], list[Shell]]) -> None:
    clients, (a, b) = pair
    spec = clients[1].call("guest.spec", guest=2)
    assert "3 packets received" in a.do("ping -c 3 10.0.0.2")
    spec["nets"][0]["pvid"] = 5
    clients[1].call("guest.configure", spec=spec)
    assert "100% packet loss" in a.do("ping -c 3 -w 3 10.0.0.2")
    other = clients[0].call("guest.spec", guest=1)
    other["nets"][0]["pvid"] = 5
    clients[0].call("guest.configure", spec=other)
    assert "3 packets received" in a.do("ping -c 3 10.0.0.2"), "together again, in another VLAN"
    assert "3 packets received" in b.do("ping -c 3 10.0.0.1")


@pytest.mark.slow
def test_linux_tags_frames_itself(pair: tuple[list[Hvctl], list[Shell]]) -> None:
    """802.1Q devices of the guests: what both networks let through (vid) arrives, other tags do not."""
    clients, (a, b) = pair
    for number, client in enumerate(clients, start=1):
        spec = client.call("guest.spec", guest=number)
        spec["nets"][0]["vids"] = [7, 8] if number == 1 else [7]
        client.call("guest.configure", spec=spec)
    for number, shell in ((1, a), (2, b)):
        for vid in (7, 8):
            said = shell.do(f"vconfig add eth0 {vid} && ip addr add 10.{vid}.0.{number}/24 dev eth0.{vid} && "
                            f"ip link set eth0.{vid} up && echo it is up")  # fmt: skip
            assert "it is up" in said, said
    assert "3 packets received" in a.do("ping -c 3 10.7.0.2")
    assert "3 packets received" in b.do("ping -c 3 -s 4000 10.7.0.1")
    assert "100% packet loss" in a.do("ping -c 3 -w 3 10.8.0.2")
    assert "3 packets received" in a.do("ping -c 3 10.0.0.2"), "untagged as before"


@pytest.mark.slow
def test_tcp_for_some_time(pair: tuple[list[Hvctl], list[Shell]]) -> None:
    """Streams both ways whose every word is checked, and no ping is lost; S4V_TEST_TCP_SECONDS=180 goes on for long."""
    seconds = int(os.environ.get("S4V_TEST_TCP_SECONDS", "3"))
    _, (a, b) = pair
    shells = {"10.0.0.2": a, "10.0.0.1": b}
    for shell in shells.values():
        shell.do("(load netload serve > /tmp/served 2>&1) &")
    for host, shell in shells.items():
        shell.do(f"(ping -i 0.5 -c {2 * seconds} {host} > /tmp/pings) &")
        shell.do(f"(end=$(($(date +%s) + {seconds})); while [ $(date +%s) -lt $end ]; do "
                 f"load netload stream {host} >> /tmp/streams || break; done; echo over >> /tmp/streams) &")
    for shell in shells.values():
        said = shell.do("until grep -q over /tmp/streams; do sleep 1; done; cat /tmp/streams")
        assert said.count("ok") >= (2 if seconds > 60 else 1) and "FAILED" not in said, said[-2000:]
        said = shell.do("until grep -q transmitted /tmp/pings; do sleep 1; done; tail -3 /tmp/pings")
        assert " 0% packet loss" in said, said
