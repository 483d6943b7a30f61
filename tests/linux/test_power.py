"""How a guest ends, starts again, and changes its cpus; clock, watchdog and break."""

from __future__ import annotations

import re

import pytest
from guest_console import GuestConsole
from linux_support import PROMPT, Linux, boot_linux

from emulator import StopReason, StrandState

pytestmark = [pytest.mark.slow, pytest.mark.nosan]

LEAP_DAY = 1_582_977_600  # 2020-02-29 12:00 UTC


@pytest.fixture(scope="module")
def guest(linux: Linux) -> GuestConsole:
    """One machine for these tests in their order: each leaves it at a prompt."""
    return boot_linux(linux, vcpus=4, append="panic=1", tod_seconds=1_400_000_000)


def wait_for_prompt(guest: GuestConsole) -> None:
    guest.expect(r"Linux version")
    guest.expect(r"init: shell")
    guest.expect(PROMPT)


def seconds(guest: GuestConsole) -> tuple[int, float]:
    """The guest's idea of the time of day, and its uptime."""
    found = re.match(r"(\d+)\n([\d.]+) ", guest.command("date +%s; cat /proc/uptime"))
    assert found is not None
    return int(found[1]), float(found[2])


def test_date_is_the_machines(guest: GuestConsole) -> None:
    now, up = seconds(guest)
    assert 0 <= now - up - 1_400_000_000 < 2


def test_sleep_takes_its_time(guest: GuestConsole) -> None:
    before = guest.command("cut -d ' ' -f 1 /proc/uptime; sleep 3; cut -d ' ' -f 1 /proc/uptime").split()
    assert 3.0 <= float(before[1]) - float(before[0]) < 3.2


def set_cpus(guest: GuestConsole, cpus: tuple[int, ...], *, online: bool) -> None:
    """sparc64 has no file `online` for its cpus, but the states of hot-plug can be set: 0 is off."""
    state = guest.command("cat /sys/devices/system/cpu/cpu0/hotplug/state").strip() if online else "0"
    for cpu in cpus:
        guest.command(f"echo {state} > /sys/devices/system/cpu/cpu{cpu}/hotplug/target")


def test_cpus_go_offline_and_online(guest: GuestConsole) -> None:
    """Off: CPU_STOP from another cpu. On again: CPU_START, entered with the MMU off."""
    for round_number in range(3):
        set_cpus(guest, (1, 3, 2), online=False)
        assert guest.command("cat /sys/devices/system/cpu/online").strip() == "0"
        assert [strand.state for strand in guest.machine.strands[1:]] == [StrandState.STOPPED] * 3
        assert guest.command("load sums 1").strip().endswith("0d6c2cba2017a646")
        set_cpus(guest, (2, 1, 3), online=True)
        assert guest.command("cat /sys/devices/system/cpu/online").strip() == "0-3", round_number
    assert guest.command("load cpus").strip() == "cpus: ok 4"
    assert guest.command("load threads 8 100").strip().startswith("threads: ok")


def test_cpus_go_and_come_under_load(guest: GuestConsole) -> None:
    guest.send("(load fp 8 40; load threads 8 400; load forks 60) > /tmp/load 2>&1 &")
    for _ in range(2):
        set_cpus(guest, (1, 2, 3), online=False)
        set_cpus(guest, (3, 1, 2), online=True)
    assert guest.command("wait; cat /tmp/load").count(": ok ") == 3


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
    assert guest.command("nproc").strip() == "4"
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
