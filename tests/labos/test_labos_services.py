"""Domain services of labos: what the manager asks for happens, and is answered."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from device_support import PROMPT, Lab, image

from emulator import StopReason
from emulator.devices.ds import CpuAction, Reply, UnitResult
from emulator.devices.lab import DiskSpec, NetSpec
from emulator.devices.switch import Switch

SEED = int(os.environ.get("SUN4V_TEST_SEED", "1"))
SERVICES = (
    "md-update", "domain-shutdown", "domain-panic", "domain-suspend", "dr-cpu", "dr-crypto-mau", "dr-crypto-cwq",
    "dr-mem", "dr-vio", "system-info", "var-config", "var-config-backup",
)  # fmt: skip


def wait(lab: Lab, reply: Reply) -> Reply:
    for _ in range(500):
        if reply.done:
            return reply
        lab.run()
    raise AssertionError(f"no answer: {reply}, {lab.seen!r}")


def on_line(lab: Lab) -> list[str]:
    return [line.split("\t")[1] for line in lab.command("psrinfo").splitlines()]


def test_services_are_registered() -> None:
    assert Lab().services.services == SERVICES
    old = Lab(args="release=old").services.services
    assert old == tuple(name for name in SERVICES if not name.startswith("dr-crypto"))


def test_cpus_come_and_go() -> None:
    lab = Lab(strands=4)
    reply = wait(lab, lab.services.cpu(CpuAction.UNCONFIGURE, [1, 3, 9]))
    gone = "CPU is not in the machine description"
    assert reply.units == (UnitResult(1, 0, 1), UnitResult(3, 0, 1), UnitResult(9, 4, 0, gone))
    assert on_line(lab) == ["on-line", "off-line", "on-line", "off-line"]
    reply = wait(lab, lab.services.cpu(CpuAction.CONFIGURE, [3]))
    assert reply.ok
    reply = wait(lab, lab.services.cpu(CpuAction.STATUS, [0, 1, 2, 3, 4]))
    assert [unit.status for unit in reply.units] == [2, 1, 2, 2, 0]
    assert on_line(lab) == ["on-line", "off-line", "on-line", "on-line"]


def test_the_last_cpu_stays() -> None:
    lab = Lab(strands=2)
    assert wait(lab, lab.services.cpu(CpuAction.UNCONFIGURE, [1])).ok
    reply = wait(lab, lab.services.cpu(CpuAction.FORCE, [0]))
    assert (reply.units[0].result, reply.units[0].status) == (2, 2)
    assert reply.units[0].text == "the last CPU cannot be unconfigured"
    assert lab.command("echo alive") == "alive\n"


def test_variables() -> None:
    lab = Lab(variables={"auto-boot?": "true", "boot-device": "disk"})
    assert lab.command("eeprom") == "auto-boot?=true\nboot-device=disk\n"
    assert lab.command("eeprom boot-device=disk1 net") == ""
    assert lab.command("eeprom nvramrc=x") == ""
    assert lab.services.variables == {"auto-boot?": "true", "boot-device": "disk1 net", "nvramrc": "x"}
    assert lab.command("eeprom boot-device") == "boot-device=disk1 net\n"
    assert lab.command("eeprom -d nvramrc") == ""
    assert lab.command("eeprom -d nvramrc") == "eeprom: nvramrc: no such variable\n"
    assert lab.command("eeprom nvramrc") == "nvramrc: data not available.\n"
    assert lab.services.variables == {"auto-boot?": "true", "boot-device": "disk1 net"}


def test_shutdown() -> None:
    lab = Lab()
    assert wait(lab, lab.services.shutdown(1000)).ok
    for _ in range(100):
        if lab.run() not in (StopReason.BUDGET, StopReason.CONSOLE):
            break
    assert "Shutdown requested by the Logical Domains Manager" in lab.seen
    assert lab.run() is StopReason.IDLE


def test_panic() -> None:
    lab = Lab()
    reply = lab.services.panic()
    for _ in range(200):
        lab.run()
        if "forced by the Logical Domains Manager" in lab.seen:
            break
    assert reply.ok
    assert "forced by the Logical Domains Manager" in lab.seen


def test_suspend_answers_before_and_after() -> None:
    lab = Lab(strands=2)
    reply = lab.services.suspend()
    for _ in range(1000):
        lab.run(20_000)
        if lab.machine.suspended:
            break
    assert lab.machine.suspended
    assert lab.machine.soft_state.text == "Solaris suspended"
    assert list(reply.phases) == [0]
    lab.machine.resume()
    for _ in range(1000):
        lab.run(20_000)
        if len(reply.phases) > 1:
            break
    assert list(reply.phases) == [0, 5]
    assert lab.services.services == SERVICES
    assert lab.machine.soft_state.text == "Solaris running"
    assert lab.command("echo alive") == "alive\n"


def test_a_refused_suspend_is_told() -> None:
    lab = Lab()
    reply = lab.services.suspend()
    for _ in range(1000):
        lab.run(20_000)
        if lab.machine.suspended:
            break
    lab.machine.resume(9)
    for _ in range(300):
        lab.run()
        if len(reply.phases) > 1:
            break
    assert reply.phases == (0, 4)
    assert reply.reason == "MACH_SUSPEND returned 9"


def test_devices_come_with_a_new_description(tmp_path: Path) -> None:
    paths = []
    for number in range(2):
        paths.append(tmp_path / f"{number}.img")
        paths[-1].write_bytes(bytes(1 << 20))
    switch = Switch()
    lab = Lab(disks=[DiskSpec(path) for path in paths], nets=[NetSpec(switch)], boot=False)
    full = lab.machine.machine_description
    lab.domain.close()
    with_one = Lab(disks=[DiskSpec(paths[0])], boot=False)
    one = with_one.machine.machine_description
    with_one.domain.close()
    lab = Lab(disks=[DiskSpec(path) for path in paths], nets=[NetSpec(switch)], boot=False)
    lab.machine.machine_description = one
    lab.machine.boot(image(), args=["labos"])
    lab.until(PROMPT)
    assert "c0d1" not in lab.command("disks")
    assert "vnet0" not in lab.command("ifconfig -a")
    lab.machine.machine_description = full
    assert wait(lab, lab.services.md_update()).ok
    assert "1. c0d1 <SUN-DiskImage-1.00MB" in lab.command("disks")
    assert "vnet0" in lab.command("ifconfig -a")
    assert lab.command("write c0d1 3 new") == "c0d1: 1 block written at 3\n"
    assert paths[1].read_bytes()[3 * 512 :][:3] == b"new"
    lab.machine.machine_description = one
    assert wait(lab, lab.services.md_update()).ok
    assert "c0d1" not in lab.command("disks")
    assert lab.command("read c0d1 3") == "c0d1: no such disk\n"
    lab.machine.machine_description = full
    assert wait(lab, lab.services.md_update()).ok
    assert lab.command("read c0d1 3").startswith("00000600  6e 65 77 00 ")


def test_hostile_manager() -> None:
    """Messages of chance, and right ones that are damaged; then the session works again."""
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    lab = Lab(strands=2)
    services = lab.services
    send = services.link.send
    sent = 0

    def hostile(message: bytes) -> bool:
        nonlocal sent
        sent += 1
        data = bytearray(message)
        for _ in range(rng.randrange(3)):
            data[rng.randrange(len(data))] = rng.choice((0, 1, 2, 9, 0x7F, 0xFF))
        return send(bytes(data[: rng.choice((len(data), rng.randrange(1, len(data) + 1)))]))

    services.link.send = hostile  # type: ignore[method-assign]
    for _ in range(120):
        if rng.randrange(10) == 0:
            services.drop_link("a test")
        if services.link.up:
            handle = rng.choice((*services._services.values(), 0, (1 << 64) - 1))
            kind = rng.choice((0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 0xFFFFFFFF))
            body = handle.to_bytes(8, "big") + rng.randbytes(rng.randrange(40))
            services.link.send(kind.to_bytes(4, "big") + len(body).to_bytes(4, "big") + body)
        for name in ("dr-cpu", "dr-vio", "dr-crypto-mau", "dr-mem", "system-info"):
            if name in services.services:
                services._request(name, rng.randbytes(rng.randrange(64)))
        services.flush()
        for _ in range(4):
            lab.run(rng.randrange(1, 200_000))
    services.link.send = send  # type: ignore[method-assign]
    assert sent > 200
    services.drop_link("the end of the damage")
    for _ in range(300):
        lab.run()
        if services.services == SERVICES:
            break
    assert services.services == SERVICES
    assert wait(lab, services.cpu(CpuAction.CONFIGURE, [0, 1])).ok
    assert lab.command("echo alive") == "alive\n"


@pytest.mark.parametrize("resets", [20])
def test_sessions_end_and_begin(resets: int) -> None:
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    lab = Lab()
    for _ in range(resets):
        lab.services.drop_link("a test")
        for _ in range(rng.randrange(4)):
            lab.run(rng.randrange(1, 20_000))
    for _ in range(100):
        lab.run()
    assert lab.services.services == SERVICES
    assert wait(lab, lab.services.md_update()).ok
