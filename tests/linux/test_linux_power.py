"""How a guest ends, starts again, and changes its cpus; clock, watchdog and break."""

from __future__ import annotations

import re

import pytest
from guest_console import PROMPT, GuestConsole
from linux_guest import Linux, boot_linux

from emulator import StopReason, StrandState

pytestmark = [pytest.mark.slow, pytest.mark.nosan]

LEAP_DAY = 1_582_977_600  # 2020-02-29 12:00 UTC


@pytest.fixture(scope="module")
def guest(linux: Linux) -> GuestConsole:
    """One machine for these tests in their order: each leaves it at a prompt."""
    return boot_linux(linux, vcpus=2, append="panic=-1", tod_seconds=1_400_000_000)


def wait_for_prompt(guest: GuestConsole) -> None:
    guest.expect(r"Linux version")
    guest.shell()


def seconds(guest: GuestConsole) -> tuple[int, float]:
    """The guest's idea of the time of day, and its uptime."""
    found = re.match(r"(\d+)\n([\d.]+) ", guest.command("date +%s; cat /proc/uptime"))
    assert found is not None
    return int(found[1]), float(found[2])


def test_date_is_the_machines(guest: GuestConsole) -> None:
    now, up = seconds(guest)
    assert -1 < now - up - 1_400_000_000 < 2  # whole seconds


def test_sleep_takes_its_time(guest: GuestConsole) -> None:
    before = guest.command("cut -d ' ' -f 1 /proc/uptime; sleep 3; cut -d ' ' -f 1 /proc/uptime").split()
    assert 3.0 <= float(before[1]) - float(before[0]) < 3.2


def test_break_reaches_sysrq(guest: GuestConsole) -> None:
    guest.command("echo 1 > /proc/sys/kernel/sysrq")
    guest.machine.console.break_()
    guest.machine.console.feed(b"h")
    guest.expect(r"sysrq: HELP : ")
    guest.send("")  # Linux gives the key to the terminal as well
    guest.expect(PROMPT)


def test_reboot_boots_again(guest: GuestConsole) -> None:
    guest.command("touch /tmp/before")
    guest.send("reboot -f")
    guest.run_to_stop(StopReason.RESET)
    guest.restart()
    wait_for_prompt(guest)
    assert guest.command("nproc").strip() == "2"
    guest.command("! test -e /tmp/before")


def test_clock_that_the_guest_set_survives_a_reboot(guest: GuestConsole) -> None:
    guest.command("date -s '2020-02-29 12:00:00' && hwclock -w -u")
    guest.send("reboot -f")
    guest.run_to_stop(StopReason.RESET)
    guest.restart()
    wait_for_prompt(guest)
    now, _ = seconds(guest)
    assert LEAP_DAY <= now < LEAP_DAY + 24 * 3600


def test_panic_restarts(guest: GuestConsole) -> None:
    guest.send("echo c > /proc/sysrq-trigger")
    guest.expect(r"Kernel panic - not syncing: sysrq triggered crash")
    guest.run_to_stop(StopReason.RESET)
    guest.restart()
    wait_for_prompt(guest)


def test_watchdog_bites(guest: GuestConsole) -> None:
    """A watchdog that was opened, and closed without the word that turns it off."""
    guest.send("echo x > /dev/watchdog")
    guest.expect(r"watchdog did not stop")
    guest.run_to_stop(StopReason.EXPIRED)
    guest.restart()
    wait_for_prompt(guest)


def test_poweroff(guest: GuestConsole) -> None:
    guest.send("poweroff -f")
    stop = guest.run_to_stop(StopReason.EXIT)
    assert stop.exit_code == 0
    assert "reboot: Power down" in guest.text


def set_cpu(guest: GuestConsole, cpu: int, *, online: bool) -> None:
    """sparc64 has no file `online` for its cpus, but the states of hot-plug can be set: 0 is off."""
    state = guest.command("cat /sys/devices/system/cpu/cpu0/hotplug/state").strip() if online else "0"
    guest.command(f"echo {state} > /sys/devices/system/cpu/cpu{cpu}/hotplug/target")


def test_cpus_come_and_go(linux: Linux) -> None:
    """Under load, cpus the boot left alone come by CPU_START, entered with the MMU off, and go by CPU_STOP.

    One that went does not come back this way: Linux takes it as no longer present.
    """
    guest = boot_linux(linux, vcpus=3, append="maxcpus=1")
    online = "cat /sys/devices/system/cpu/online"
    states = [strand.state for strand in guest.machine.strands]
    assert states == [StrandState.RUNNING, StrandState.STOPPED, StrandState.STOPPED]
    guest.send("(load fp 4 4; load threads 4 100; load forks 20) > /tmp/load 2>&1 &")
    for cpu, now in ((2, "0,2"), (1, "0-2")):
        set_cpu(guest, cpu, online=True)
        assert guest.command(online).strip() == now
    assert guest.command("load cpus").strip() == "cpus: ok 3"
    set_cpu(guest, 1, online=False)
    assert guest.command(online).strip() == "0,2"
    assert guest.machine.strands[1].state is StrandState.STOPPED
    assert guest.command("wait; cat /tmp/load").count(": ok ") == 3
