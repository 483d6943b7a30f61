"""What firmware does after a reset: banner, nvramrc, auto-boot; and what ``boot`` means."""

from __future__ import annotations

import pytest
from firmware_support import CHANNELS, session, small_tree

from emulator.firmware.devtree import text
from emulator.firmware.host import Boot, Reset
from emulator.firmware.startup import (
    ABORTING,
    CANNOT_LOCATE,
    CANNOT_OPEN,
    NOT_OKAY,
    Start,
    boot_error,
    decide_start,
    parse_boot,
    password_needed,
)
from emulator.firmware.variables import Variables

DISK = f"{CHANNELS}/disk@0"
NET = f"{CHANNELS}/network@0"


@pytest.mark.parametrize(
    ("variables", "reboot", "flags", "expected"),
    [
        ({}, "", {}, Start("", "boot")),
        ({"boot-command": " boot net "}, "", {}, Start("", "boot net")),
        ({"auto-boot?": "false"}, "", {}, Start("", "")),
        ({"auto-boot?": "false"}, "boot disk", {}, Start("Rebooting with command: boot disk\n", "boot disk")),
        ({"verbosity": "none"}, "boot disk", {}, Start("", "boot disk")),
        ({}, "boot -s", {"interrupted": True}, Start("Rebooting with command: boot -s\n", "boot -s")),
        ({}, "", {"interrupted": True}, Start(ABORTING, "")),
        ({"auto-boot?": "false"}, "", {"interrupted": True}, Start("", "")),
        ({}, "", {"error": True}, Start(ABORTING, "")),
        ({"auto-boot-on-error?": "true"}, "", {"error": True}, Start("", "boot")),
    ],
)
def test_decision(variables: dict, reboot: str, flags: dict, expected: Start) -> None:
    assert decide_start(Variables(variables), reboot, **flags) == expected


@pytest.mark.parametrize(
    ("line", "variables", "expected"),
    [
        ("", {}, Boot(DISK, "")),
        ("", {"boot-device": "net", "boot-file": "-v"}, Boot(NET, "-v")),
        ("", {"boot-device": ""}, Boot("", "")),
        ("-s", {}, Boot(DISK, "-s")),
        ("-s", {"boot-file": "-v"}, Boot(DISK, "-s")),
        ("net", {"boot-file": "-v"}, Boot(NET, "-v")),
        ("net:dhcp,1 - install", {}, Boot(f"{NET}:dhcp,1", "- install")),
        ("/a/b@1:c  kernel/unix -k ", {}, Boot("/a/b@1:c", "kernel/unix -k")),
        ("nosuchalias -s", {}, Boot(DISK, "nosuchalias -s")),
        ("console=hvc0 root=/dev/vda", {}, Boot(DISK, "console=hvc0 root=/dev/vda")),
        ("", {"boot-device": "disk9 net"}, Boot(NET, "")),
        ("", {"boot-device": "disk9 disk8"}, Boot("disk8", "")),
        ("", {"boot-device": "  disk:b   net  "}, Boot(f"{DISK}:b", "")),
    ],
)
def test_boot_arguments(line: str, variables: dict, expected: Boot) -> None:
    assert parse_boot(line, Variables(variables), small_tree()) == expected


def test_devices_that_cannot_be_opened_are_passed_over() -> None:
    tree, variables = small_tree(), Variables()
    assert parse_boot("", variables, tree, lambda path: path != DISK) == Boot(NET, "")
    disk = tree.find(DISK)
    assert disk is not None
    disk.set("status", text("fail"))
    assert parse_boot("", variables, tree) == Boot(NET, "")
    assert boot_error(Boot(DISK, ""), tree, lambda path: True) == NOT_OKAY
    assert boot_error(Boot(NET, ""), tree, lambda path: True) == ""
    assert boot_error(Boot(NET, ""), tree, lambda path: False) == CANNOT_OPEN
    assert boot_error(Boot("disk7", ""), tree, lambda path: True) == CANNOT_LOCATE


def test_passwords() -> None:
    def needed(mode: str, arguments: str | None, password: str = "x") -> bool:
        return password_needed(Variables({"security-mode": mode, "security-password": password}), arguments)

    assert [needed("none", value) for value in (None, "", "-s")] == [False, False, False]
    assert [needed("command", value) for value in (None, "", "-s")] == [True, False, True]
    assert [needed("full", value) for value in (None, "", "-s")] == [True, True, True]
    assert not needed("full", "-s", "")


def test_auto_boot() -> None:
    person = session(enter=False)
    assert person.prompt.start() == Boot(DISK, "")
    out = person.shown()
    assert out.startswith("\nSPARC Enterprise T5220, No Keyboard\n")
    assert out.endswith(f"Host ID: 84f96f15.\n\n\n\nBoot device: {DISK}  File and args: \n")


def test_no_auto_boot() -> None:
    person = session(enter=False, variables={"auto-boot?": "false"})
    assert person.prompt.start() is None
    assert person.shown().endswith("Host ID: 84f96f15.\n\n\n\n{0} ok ")


def test_an_interrupted_auto_boot() -> None:
    person = session(enter=False)
    assert person.prompt.start(interrupted=True) is None
    assert person.shown().endswith("\n\n\n\nAborting auto-boot sequence.\n{0} ok ")


def test_a_reboot() -> None:
    person = session(enter=False, variables={"auto-boot?": "false", "reboot-command": "boot net -s"})
    assert person.prompt.start() == Boot(NET, "-s")
    assert person.shown().endswith(f"Rebooting with command: boot net -s\nBoot device: {NET}  File and args: -s\n")
    assert person.prompt.start() is None  # once
    again = session(enter=False)
    assert again.prompt.start("boot disk:c") == Boot(f"{DISK}:c", "")


def test_silence() -> None:
    person = session(enter=False, variables={"verbosity": "none"})
    assert person.prompt.start() == Boot(DISK, "")
    assert person.shown() == ""


def test_nvramrc_runs_before_the_banner() -> None:
    person = session(enter=False, variables={"use-nvramrc?": "true", "nvramrc": '." first" cr\nnosuch\n." not this"'})
    assert person.prompt.start() == Boot(DISK, "")
    assert person.shown().startswith("first\nnosuch ?\n\nSPARC Enterprise")


def test_nvramrc_that_shows_the_banner_itself_or_boots() -> None:
    own = session(enter=False, variables={"use-nvramrc?": "true", "nvramrc": 'banner ." after"', "auto-boot?": "false"})
    own.prompt.start()
    out = own.shown()
    assert out.count("No Keyboard") == 1
    assert out.endswith("after\n{0} ok ")
    quiet = session(enter=False, variables={"use-nvramrc?": "true", "nvramrc": "suppress-banner\nboot net"})
    assert quiet.prompt.start() == Boot(NET, "")
    assert quiet.shown() == f"Boot device: {NET}  File and args: \n"


def test_nvramrc_is_left_alone_unless_used_and_can_be_broken() -> None:
    idle = session(enter=False, variables={"nvramrc": '." never"', "auto-boot?": "false"})
    idle.prompt.start()
    assert "never" not in idle.shown()
    stuck = session(enter=False, variables={"use-nvramrc?": "true", "nvramrc": "begin again", "auto-boot?": "false"})
    assert stuck.prompt.start() is None
    assert stuck.prompt.busy
    stuck.prompt.interrupt()
    assert stuck.type("").startswith("Interrupted\n\nSPARC Enterprise")


def test_a_failing_boot_command_leads_to_the_prompt() -> None:
    person = session(enter=False, variables={"boot-command": "nosuch", "boot-device": "nowhere"})
    assert person.prompt.start() is None
    assert person.shown().endswith("\n\n\n\nnosuch ?\n{0} ok ")
    assert person.prompt.start("reset-all") == Reset()


def test_full_security_asks_before_auto_boot() -> None:
    person = session(enter=False, variables={"security-mode": "full", "security-password": "pw"})
    assert person.prompt.start() is None
    assert person.shown().endswith("\n\n\n\nFirmware Password: ")
    person.type("pw\n")
    assert person.actions == [Boot(DISK, "")]
    wrong = session(enter=False, variables={"security-mode": "full", "security-password": "pw"})
    wrong.prompt.start()
    wrong.type("no\n")
    wrong.host.clock = 10_000
    assert wrong.type("") == "> "
    assert wrong.actions == []
