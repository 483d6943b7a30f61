"""Networks of labos: two machines at one switch, a station written here, streams over resets and a move.

While a program computes (`spin`), a machine's time does not jump, so that machines which take turns agree about time;
without it, time jumps to the next timeout when all is quiet, which makes lost frames cheap.
"""

from __future__ import annotations

import os
import random
import re
import struct

import pytest
from device_support import PROMPT, Lab, Station, run_together

from emulator.devices.lab import NetSpec
from emulator.devices.switch import Port, Switch

SEED = int(os.environ.get("SUN4V_TEST_SEED", "1"))
A_MAC, B_MAC = 0x00144FF81000, 0x00144FF82000
RIGHT = "{0} bytes sent, {0} bytes came back, every byte right"
ETHER = "0:14:4f:f8:10:0"


def pair(*, mtu: int = 1518, args: str = "", spin: bool = True) -> tuple[Lab, Lab, Switch]:
    """Two machines, 10.0.0.1 and 10.0.0.2."""
    switch = Switch()
    labs = []
    for number, mac in enumerate((A_MAC, B_MAC), 1):
        lab = Lab(nets=[NetSpec(switch, mtu=mtu)], first_mac=mac, args=args)
        if spin:
            lab.command("spin 1")
        assert lab.command(f"ifconfig vnet0 10.0.0.{number}/24") == ""
        labs.append(lab)
    return labs[0], labs[1], switch


def echo_stream(a: Lab, b: Lab, size: int, *, steps: int = 20_000) -> str:
    assert b.command("tcp-echo") == "tcp-echo: port 7\n"
    b.seen = ""
    return run_together((a, b), a, f"tcp-send 10.0.0.2 7 {size}", steps=steps)


def test_ifconfig() -> None:
    lab = Lab(nets=[NetSpec(Switch())])
    assert lab.command("ifconfig vnet0 10.1.2.3/20") == ""
    assert lab.command("ifconfig -a") == (
        "lo0: flags=2001000849<UP,LOOPBACK,RUNNING,MULTICAST,IPv4,VIRTUAL> mtu 8232 index 1\n"
        "\tinet 127.0.0.1 netmask ff000000\n"
        "vnet0: flags=1000843<UP,BROADCAST,RUNNING,MULTICAST,IPv4> mtu 1500 index 2\n"
        "\tinet 10.1.2.3 netmask fffff000 broadcast 10.1.15.255\n"
        f"\tether {ETHER}\n"
    )
    assert lab.command("ifconfig vnet7 10.1.2.3/20") == "ifconfig: vnet7: no such interface\n"
    assert lab.command("ifconfig vnet0 10.1.2.0/24") == "ifconfig: 10.1.2.0/24: not an address for an interface\n"
    assert lab.command("ifconfig vnet0 10.1.2").startswith("usage: ")


def test_ping_as_solaris_prints_it() -> None:
    a, b, _ = pair()
    assert run_together((a, b), a, "ping 10.0.0.2") == "10.0.0.2 is alive\n"
    line = run_together((a, b), b, "ping 10.0.0.1 1").splitlines()
    assert line[0] == "PING 10.0.0.1: 56 data bytes"
    found = re.fullmatch(r"64 bytes from 10\.0\.0\.1: icmp_seq=0\. time=(\d+\.\d{3}) ms", line[1])
    assert found is not None, line
    assert 0 < float(found[1]) < 10
    assert line[2:5] == ["", "----10.0.0.1 PING Statistics----",
                         "1 packets transmitted, 1 packets received, 0% packet loss"]  # fmt: skip
    assert line[5] == f"round-trip (ms)  min/avg/max/stddev = {found[1]}/{found[1]}/{found[1]}/0.000"
    shown = run_together((a, b), a, "arp -a")
    assert "vnet0  10.0.0.2             0:14:4f:f8:20:0\n" in shown


def test_ping_of_nobody() -> None:
    lab = Lab(nets=[NetSpec(Switch())])
    lab.command("ifconfig vnet0 10.0.0.1/24")
    assert lab.command("ping 10.0.0.9") == "no answer from 10.0.0.9\n"
    assert lab.command("ping 10.0.0.9 2").splitlines()[-1] == (
        "2 packets transmitted, 0 packets received, 100% packet loss"
    )
    assert lab.command("ping 192.0.2.1") == "no answer from 192.0.2.1\n"
    assert lab.command("tcp-send 192.0.2.1 7 1") == "tcp-send: network is unreachable\n"


@pytest.mark.parametrize(
    ("mtu", "args"), [(1518, ""), (9018, ""), (1518, "vnet=packets")], ids=["ring", "jumbo", "packets"]
)
def test_stream_between_machines(mtu: int, args: str) -> None:
    a, b, _ = pair(mtu=mtu, args=args)
    assert f"mtu {mtu - 18} index 2" in a.command("ifconfig vnet0")
    output = echo_stream(a, b, 400_000)
    assert RIGHT.format(400_000) in output
    assert "tcp-echo: 10.0.0.1." in b.seen
    assert b.seen.endswith(": 400000 bytes\n")
    longest = max(int(row.split()[1]) for row in a.command("netstat -i").splitlines()[1:])
    assert longest >= mtu - 18


def test_refused() -> None:
    a, b, _ = pair()
    assert "connection refused" in run_together((a, b), a, "tcp-send 10.0.0.2 9 1000")


def test_stream_survives_loss() -> None:
    """The switch loses one frame in twenty both ways."""
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    a, b, switch = pair(spin=False)
    lost = 0
    for port in switch.ports:
        deliver = port.deliver

        def lossy(frame: bytes, hops: int, deliver=deliver) -> None:  # type: ignore[no-untyped-def]
            nonlocal lost
            if rng.randrange(20) == 0:
                lost += 1
            else:
                deliver(frame, hops)

        port.deliver = lossy  # type: ignore[method-assign]
    output = echo_stream(a, b, 300_000)
    assert RIGHT.format(300_000) in output
    assert lost > 10
    assert " 0 segments sent again" not in output


def test_stream_survives_resets() -> None:
    """The channels of both machines are reset at any instruction while a stream goes through them."""
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    a, b, _ = pair(spin=False)
    assert b.command("tcp-echo") == "tcp-echo: port 7\n"
    line, resets = "tcp-send 10.0.0.2 7 400000", 0
    a.type(line)
    for _ in range(60_000):
        if a.ended(line):
            break
        for lab in (a, b):
            lab.run(rng.randrange(1, 40_000))
            if resets < 30 and rng.randrange(8) == 0:
                lab.domain.nets[0].drop_link("a test")
                resets += 1
    assert RIGHT.format(400_000) in a.output(line)
    assert resets == 30


@pytest.mark.parametrize("at", [60_000, 600_000])
def test_stream_goes_on_after_a_move(at: int) -> None:
    """The sender is suspended as for a migration and goes on in another machine at the same switch."""
    a, b, switch = pair(spin=False)
    assert b.command("tcp-echo") == "tcp-echo: port 7\n"
    line = "tcp-send 10.0.0.2 7 800000"
    a.type(line)
    for _ in range(at // 20_000):
        a.run(20_000)
        b.run(20_000)
    reply = a.services.suspend()
    for _ in range(20_000):
        if a.machine.suspended:
            break
        a.run(5_000)
        b.run(5_000)
    assert a.machine.suspended
    assert reply.phases == (0,)
    assert not a.ended(line)
    state = a.machine.save()
    a.domain.close()
    c = Lab(nets=[NetSpec(switch)], first_mac=A_MAC, boot=False)
    c.machine.load(state)
    c.seen = a.seen
    for _ in range(50):
        b.run(20_000)  # the other end goes on meanwhile
    c.machine.resume()
    for _ in range(60_000):
        if c.ended(line):
            break
        c.run(20_000)
        b.run(20_000)
    assert RIGHT.format(800_000) in c.output(line)


class TimeServer(Station):
    """Answers SNTP with a time of its own."""

    seconds = 1_900_000_000  # 2030
    stratum = 2
    wrong_origin = False

    def datagram(self, port: int, data: bytes) -> bytes | None:
        """RFC 5905: the origin is the client's transmit stamp."""
        if port != 123 or len(data) != 48 or data[0] & 7 != 3:
            return None
        stamp = struct.pack(">II", self.seconds + 2_208_988_800, 0x8000_0000)
        origin = bytes(8) if self.wrong_origin else data[40:48]
        return bytes((0x24, self.stratum, 0, 0xEC)) + bytes(12) + stamp + origin + stamp + stamp


def with_time_server(lab: Lab, server: TimeServer, line: str) -> str:
    lab.seen = ""
    lab.type(line)
    for _ in range(4000):
        if lab.ended(line):
            break
        lab.run(20_000)
        server.serve()
    return lab.output(line)


def test_ntp_sets_the_clock() -> None:
    switch = Switch()
    server = TimeServer(switch.add(Port("station")), "10.0.0.66")
    lab = Lab(nets=[NetSpec(switch)])
    lab.command("spin 1")
    lab.command("ifconfig vnet0 10.0.0.1/24")
    before = int(lab.command("date +%s"))
    output = with_time_server(lab, server, "ntp 10.0.0.66")
    found = re.fullmatch(
        r"Sun Mar 17 17:46:4\d UTC 2030 ntp: step time server 10\.0\.0\.66 stratum 2 offset (\d+)\.\d{6} sec\n", output
    )
    assert found is not None, output
    assert abs(int(found[1]) - (server.seconds - before)) <= 1
    assert 0 <= int(lab.command("date +%s")) - server.seconds <= 1
    assert " adjust time server 10.0.0.66 " in with_time_server(lab, server, "ntp 10.0.0.66")


@pytest.mark.parametrize("what", ["stratum", "origin", "nobody"])
def test_ntp_believes_no_other_answer(what: str) -> None:
    switch = Switch()
    server = TimeServer(switch.add(Port("station")), "10.0.0.66")
    server.stratum = 0 if what == "stratum" else 2
    server.wrong_origin = what == "origin"
    lab = Lab(nets=[NetSpec(switch)])
    lab.command("ifconfig vnet0 10.0.0.1/24")
    before = int(lab.command("date +%s"))
    address = "10.0.0.67" if what == "nobody" else "10.0.0.66"
    output = with_time_server(lab, server, f"ntp {address}")
    assert output == "ntp: no server suitable for synchronization found\n"
    assert 0 <= int(lab.command("date +%s")) - before < 100_000  # quiet time passes fast


def test_hostile_switch() -> None:
    """Packets and the exported ring of the switch are damaged by chance; then all works again."""
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    a, b, _ = pair(spin=False)
    device = a.domain.nets[0]
    channel = device.channel
    send, write = channel.send, channel.set_exported
    damaged = 0

    def damage(data: bytes, step: int) -> bytes:
        nonlocal damaged
        changed = bytearray(data)
        for at in range(0, len(changed), step):
            if rng.randrange(6) == 0:
                damaged += 1
                changed[min(at + rng.randrange(step), len(changed) - 1)] = rng.choice((0, 1, 2, 4, 0x80, 0xFF))
        return bytes(changed)

    channel.send = lambda packets: send(damage(packets, 64))  # type: ignore[method-assign]
    channel.set_exported = lambda offset, data: write(offset, damage(data, 48))  # type: ignore[method-assign]
    lines = {a: "tcp-send 10.0.0.2 9 100", b: "ping 10.0.0.1"}
    a.seen = b.seen = PROMPT
    for _ in range(10_000):
        for lab, line in lines.items():
            if lab.seen.endswith(PROMPT):
                lab.seen = ""
                lab.type(line)
            lab.run(rng.randrange(1, 60_000))
        if damaged > 120:
            break
    channel.send, channel.set_exported = send, write  # type: ignore[method-assign]
    assert damaged > 120
    device.drop_link("the end of the damage")
    for lab in (a, b):
        lab.until(PROMPT)
    assert run_together((a, b), a, "ping 10.0.0.2", steps=20_000) == "10.0.0.2 is alive\n"
