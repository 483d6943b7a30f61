"""labos and an unmodified Linux at one switch: ping both ways, and a TCP stream that Linux echoes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from device_support import Lab

from emulator.devices.lab import NetSpec, run_together
from emulator.devices.switch import Switch

sys.path.append(str(Path(__file__).resolve().parents[1] / "devices"))

from linux_support import Shell, linux, linux_program

pytestmark = pytest.mark.slow


class Beside:
    """What linux_support's Shell wants of the machine that runs beside it: labos."""

    def __init__(self, lab: Lab) -> None:
        self.domain, self.text = lab.domain, ""


def command(lab: Lab, shell: Shell, line: str) -> str:
    """A command of labos while Linux runs on."""
    lab.seen = ""
    lab.type(line)
    for _ in range(4000):
        if lab.ended(line):
            break
        run_together([lab.domain, shell.domain], 1_000_000)
        lab.seen += lab.machine.console.read().decode("latin-1").replace("\r", "")
        shell.text += shell.domain.machine.console.read().decode("latin-1")
    return lab.output(line)


def test_ping_and_stream() -> None:
    linux_program()
    switch = Switch()
    shell = linux(nets=[NetSpec(switch)], first_mac=0x00144FF82000)
    shell.do("ifconfig eth0 10.0.0.2 netmask 255.255.255.0 up")
    lab = Lab(nets=[NetSpec(switch)])
    lab.command("ifconfig vnet0 10.0.0.1/24")
    now = max(shell.domain.machine.time_ns, lab.machine.time_ns)
    for domain in (shell.domain, lab.domain):
        domain.machine.run(1 << 40, until_ns=now)  # from here on both have one time
    assert command(lab, shell, "ping 10.0.0.2") == "10.0.0.2 is alive\n"
    lines = command(lab, shell, "ping -s 10.0.0.2 1472 2").splitlines()
    assert [line.split(" time=")[0] for line in lines[1:3]] == [
        f"1480 bytes from 10.0.0.2: icmp_seq={n}." for n in range(2)
    ]
    shell.do("ifconfig lo up; (busybox tcpsvd -E 0.0.0.0 7 /bin/busybox cat &); sleep 1")
    output = command(lab, shell, "tcp-send 10.0.0.2 7 300000")
    assert "300000 bytes sent, 300000 bytes came back, every byte right" in output
    shell.others = (Beside(lab),)  # type: ignore[assignment]
    for size in (0, 1472):
        output = shell.do(f"ping -c 1 -s {size} 10.0.0.1")
        assert "1 packets transmitted, 1 packets received, 0% packet loss" in output
    assert "00:14:4f:f8:10:00" in shell.do("cat /proc/net/arp").lower()
