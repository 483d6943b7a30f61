"""The ok prompt: exact transcripts of commands, and what the machine is asked to do."""

from __future__ import annotations

import pytest
from firmware_support import CHANNELS, FakeHost, Session, session

from emulator.firmware.devtree import cells, text
from emulator.firmware.host import Boot, Go, PowerOff, Reset
from emulator.firmware.prompt import Interpreted
from emulator.firmware.variables import Variables

DISK = f"{CHANNELS}/disk@0"
BANNER = """
SPARC Enterprise T5220, No Keyboard
Copyright (c) 1998, 2013, Oracle and/or its affiliates. All rights reserved.
OpenBoot 4.33.6, 4096 MB memory available, Serial #83455765.
Ethernet address 0:14:4f:f9:6f:15, Host ID: 84f96f15.



"""


def test_banner() -> None:
    assert session().line("banner") == BANNER
    newer = session(version="4.36.0", memory_bytes=31 << 29, serial=83_456_789)
    assert "OpenBoot 4.36.0, 15.5000 GB memory available, Serial #83456789.\n" in newer.line("banner")
    own = session(variables={"oem-banner?": "true", "oem-banner": "The Lab"})
    assert own.line("banner") == "\n\nThe Lab\n\n\n\n\n"


def test_the_prompt_shows_the_strand() -> None:
    person = Session(FakeHost())
    person.prompt.enter()
    assert person.shown() == "{0} ok "
    other = session(enter=False, cpu=0x1C)
    other.prompt.enter("Program terminated\n")
    assert other.shown() == "Program terminated\n{1c} ok "


def test_output_goes_out_with_carriage_returns() -> None:
    person = session()
    person.prompt.feed(b"1 .\r")
    assert bytes(person.host.out) == b"1 .\r\n1 \r\n{0} ok "


def test_printenv() -> None:
    person = session(variables={"boot-file": "0123456789" * 4, "nvramrc": "one\ntwo", "oem-logo": "\x00\x01" * 9,
                                "security-password": "secret", "site": "lab"})  # fmt: skip
    lines = person.line("printenv").split("\n")
    assert lines[:2] == ["Variable Name           Value                          Default Value", ""]
    assert "auto-boot?              true                           true" in lines
    assert "boot-device             disk net                       disk net" in lines
    assert "boot-file               012345678901234567890123 ...   " in [line[:55] for line in lines]
    assert "oem-logo                00 01 00 01 00 01 00 01  ..." in [line.rstrip() for line in lines]
    assert [lines[index + 1].rstrip() for index, line in enumerate(lines) if line.startswith("nvramrc ")] == [
        " " * 24 + "two"
    ]
    assert "security-password                                      No default" in lines
    assert "network-boot-arguments" in [line.strip() for line in lines]
    assert "site                    lab" in [line.rstrip() for line in lines]
    assert person.line("printenv boot-file") == "boot-file =             " + "0123456789" * 4 + "\n"
    assert person.line("printenv network-boot-arguments") == "network-boot-arguments =  \n"
    assert person.line("printenv site") == "site =                  lab\n"
    assert person.line("printenv nonesuch") == "Unknown option: nonesuch\n"
    assert "secret" not in person.line("printenv security-password")


def test_setenv() -> None:
    person = session()
    variables = person.host.variables
    assert person.line("setenv auto-boot? false") == "auto-boot? =            false\n"
    assert person.line("setenv boot-device  disk1:a  net ") == "boot-device =           disk1:a  net\n"
    assert person.line("setenv screen-#rows 0x1e") == "screen-#rows =          30\n"
    assert person.line("setenv screen-#rows many") == "Invalid value; previous value retained.\n"
    assert person.line("setenv ttya-mode 9600,8,n,1,-,and,more") == "Invalid value; previous value retained.\n"
    assert person.line("setenv auto-boot? maybe") == "\nOptions:\nfalse         true \n\n"
    assert person.line("setenv verbosity loud") == "\nOptions:\nmax           normal        min           none \n\n"
    assert person.line("setenv boot-file") == "Usage: setenv option-name value\n"
    assert person.line("setenv") == "Usage: setenv option-name value\n"
    assert person.line("setenv nonesuch 1") == "Unknown option: nonesuch\n"
    assert variables.save() == {"auto-boot?": "false", "boot-device": "disk1:a  net", "screen-#rows": "30"}
    assert person.line("set-default auto-boot?") == ""
    assert person.line("set-default") == "Usage: set-default option-name\n"
    assert person.line("set-default nonesuch") == "Unknown option: nonesuch\n"
    assert "auto-boot?" not in variables.save()
    assert person.line("set-defaults") == "Setting NVRAM parameters to default values.\n"
    assert variables.save() == {}


def test_variables_as_strings() -> None:
    person = session()
    assert person.line('" -s" " boot-file" $setenv') == "boot-file =             -s\n"
    assert person.line('" boot-file" $getenv . type') == "0 -s\n"
    assert person.line('" nonesuch" $getenv .') == "-1 \n"


def test_options_node_follows_the_variables() -> None:
    person = session(variables={"boot-file": "-v"})
    node = person.host.tree.find("/options")
    assert node is not None
    assert (node.text("boot-file"), node.text("auto-boot?")) == ("-v", "true")
    person.line("setenv auto-boot? false")
    assert node.text("auto-boot?") == "false"
    person.host.variables.outside("site", "lab")
    assert node.text("site") == "lab"
    person.line("set-defaults")
    assert (node.text("auto-boot?"), node.text("site")) == ("true", None)
    assert "security-password" not in node.properties


def test_show_devs() -> None:
    person = session()
    assert person.line("show-devs") == (
        "/packages\n/chosen\n/openprom\n/options\n/aliases\n/memory@m0,8000000\n/virtual-devices@100\n/cpu@0\n/cpu@1\n"
        f"/virtual-devices@100/console@1\n{CHANNELS}\n{DISK}\n{CHANNELS}/disk@1\n{CHANNELS}/network@0\n"
    )
    assert person.line(f"show-devs {CHANNELS}") == f"{DISK}\n{CHANNELS}/disk@1\n{CHANNELS}/network@0\n"
    assert person.line("show-devs /nowhere") == "Device not found\n"


def test_walking_the_tree() -> None:
    person = session()
    nowhere = "Not at a device tree node. Use 'dev <device-pathname>'.\n"
    assert person.line("pwd") == nowhere
    assert person.line("ls") == nowhere
    assert person.line(".properties") == nowhere
    assert person.line("cd disk") == ""
    assert person.line("pwd") == f"{DISK}\n"
    assert person.line(".properties") == (
        "reg                      00000000 \ndevice_type              block\nname                     disk\n"
    )
    assert person.line("dev ..") == ""
    assert person.line("pwd") == f"{CHANNELS}\n"
    assert person.line("ls") == "d disk@0\ne disk@1\nf network@0\n"
    assert person.line("cd network") == ""
    assert person.line(".properties") == (
        "local-mac-address        00 14 4f f8 00 01 \n"
        "device_type              network\nname                     network\n"
    )
    assert person.line("cd /nowhere") == "Device not found\n"
    assert person.line("pwd") == f"{CHANNELS}/network@0\n"
    assert person.line("device-end pwd") == nowhere
    assert person.line("cd / cd .. pwd") == "/\n"
    assert person.line('" /cpu@1" find-device pwd') == "/cpu@1\n"


def test_properties_of_all_kinds() -> None:
    person = session()
    node = person.host.tree.find("/openprom")
    assert node is not None
    for name, value in {
        "flag": b"", "one": cells(5), "list": text("alpha", "beta"), "odd": b"\x01\x02\x03", "long": bytes(range(20)),
        "interrupts": cells(1, 2), "almost": b"abc", "gap": b"a\0\0b\0", "reg": cells(1, 2, 3, 4, 5), "short": b"\x01",
    }.items():  # fmt: skip
        node.set(name, value)
    node.set("interrupts", b"\x00\x00\x00\x01\x02")
    assert person.line("show-props /openprom") == (
        "short                    01 \n"
        "reg                      00000001 00000002 00000003 00000004 \n"
        "                         00000005 \n"
        "gap                      61 00 00 62 00 \n"
        "almost                   61 62 63 \n"
        "interrupts               00000001 \n"
        "                         00000002 \n"
        "long                     00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f ...\n"
        "odd                      01 02 03 \n"
        "list                     alpha\n"
        "                         beta\n"
        "one                      00000005 \n"
        "flag \n"
        "name                     openprom\n"
    )


def test_properties_as_forth_sees_them() -> None:
    person = session()
    assert person.line('cd disk " device_type" get-property . type') == "0 block\x00\n"
    assert person.line('" nonesuch" get-property .') == "-1 \n"
    assert person.line('" /cpu@1" find-package . " reg" rot get-package-property . decode-int . 2drop') == (
        "-1 0 c0000001 \n"
    )
    assert person.line('" /nowhere" find-package .') == "0 \n"
    assert person.line('device-end " /chosen" find-device " name" get-property drop decode-string type . .').startswith(
        "chosen0 "
    )


def test_devalias() -> None:
    person = session()
    assert person.line("devalias") == (
        "virtual-console          /virtual-devices/console@1\n"
        f"disk                     {DISK}\n"
        f"net                      {CHANNELS}/network@0\n"
        "name                     aliases\n"
    )
    assert person.line("devalias root /virtual-devices@100/channel-devices@200/disk@1:a") == ""
    assert person.line("devalias root") == f"root                     {CHANNELS}/disk@1:a\n"
    assert person.line("devalias nonesuch") == "nonesuch : no such alias\n"
    assert person.line("devalias name") == "name : no such alias\n"
    assert person.line("cd root pwd") == f"{CHANNELS}/disk@1\n"


def test_nvalias_and_nvunalias() -> None:
    person = session()
    variables = person.host.variables
    assert person.line(f"nvalias a {DISK}") == ""
    assert person.line(f"nvalias b {CHANNELS}/disk@1") == ""
    assert person.line(f"nvalias a {CHANNELS}/network@0") == ""
    assert variables.get("nvramrc") == f"devalias a {CHANNELS}/network@0\ndevalias b {CHANNELS}/disk@1\n"
    assert variables.flag("use-nvramrc?")
    assert person.line("devalias a") == f"a                        {CHANNELS}/network@0\n"
    assert person.line("nvunalias a") == ""
    assert person.line("nvunalias nonesuch") == ""
    assert variables.get("nvramrc") == f"devalias b {CHANNELS}/disk@1\n"
    assert person.line("nvalias a") == "Usage: nvalias name path\n"
    assert person.line("nvunalias") == "Usage: nvunalias name\n"
    variables.set("nvramrc", "x" * 8192)
    assert person.line("nvalias c /x") == "Can't create new alias because nvramrc is full\n"
    again = session(enter=False, variables={"nvramrc": f"devalias b {CHANNELS}/disk@1\n", "use-nvramrc?": "true",
                                            "auto-boot?": "false"})  # fmt: skip
    again.prompt.start()
    again.shown()
    assert again.line("devalias b") == f"b                        {CHANNELS}/disk@1\n"


def test_aliases_as_strings() -> None:
    person = session()
    assert person.line('" mine" " /cpu@1" $nvalias devalias mine') == "mine                     /cpu@1\n"
    assert person.line('" mine" $nvunalias printenv nvramrc') == "nvramrc =               \n"
    assert person.line('" a/b" " /cpu@1" $nvalias') == "Not a name for an alias: a/b\n"


def test_nvrecover_edits_what_is_stored() -> None:
    person = session(variables={"nvramrc": "stored"})
    person.type("nvedit\n\x15edited\x03")
    assert person.type("nvrecover\n") == "nvrecover\n0: stored"
    person.type("\x03")
    assert person.line("nvstore nvrun") == ""
    assert person.host.variables.get("nvramrc") == "stored"


def test_an_edited_nvramrc_may_be_too_long() -> None:
    person = session(variables={"nvramrc": "\n".join(["x" * 900] * 9)})
    person.type("nvedit\n" + "y" * 120 + "\x03")
    assert person.line("nvstore") == "nvramrc is full\n"
    assert "y" not in person.host.variables.get("nvramrc")


def test_nvedit() -> None:
    person = session(variables={"nvramrc": "banner"})
    assert person.type("nvedit\n") == "nvedit\n0: banner"
    assert person.type('\n." hi" cr') == '\n1: ." hi" cr'
    assert person.type("\x10") == "\n0: banner"
    assert person.type("\x0e\x15two").startswith("\n1: ")
    assert person.type("\x0c") == "\n0: banner\n1: two\n\n1: two"
    assert person.type("\x03") == "\n{0} ok "
    assert person.line("printenv nvramrc") == "nvramrc =               banner\n"
    assert person.line("nvalias a /x").startswith("'nvalias' and 'nvunalias' cannot be executed while 'nvedit'")
    assert person.line("nvstore") == ""
    assert person.host.variables.get("nvramrc") == "banner\ntwo"
    person.type("nvedit\n\x15\x0b\x03")
    assert person.line("nvrun") == "two ?\n"
    assert person.type("nvquit\n") == "nvquit\nDiscard edits [y/n]? "
    assert person.type("y") == "y\n{0} ok "
    assert person.prompt.nvedit is None
    assert person.line("nvalias a /x") == ""


def test_menus() -> None:
    person = session()
    menu = f"a) {DISK}\nb) {CHANNELS}/disk@1\nq) NO SELECTION \nEnter Selection, q to quit: "
    assert person.type("show-disks\n") == "show-disks\n" + menu
    assert person.type("z") == "z\rvalid choice: a...b, q to quit "
    chosen = person.type("b")
    assert chosen.startswith(f"b\n{CHANNELS}/disk@1 has been selected.\n")
    assert chosen.endswith("{0} ok ")
    assert person.type("devalias mine \x19\n") == f"devalias mine {CHANNELS}/disk@1\n{{0}} ok "
    assert person.line("devalias mine") == f"mine                     {CHANNELS}/disk@1\n"
    assert (
        person.type("show-nets\n")
        == f"show-nets\na) {CHANNELS}/network@0\nq) NO SELECTION \nEnter Selection, q to quit: "
    )
    assert person.type("q") == "q\n{0} ok "


def test_a_long_menu_has_pages() -> None:
    person = session()
    channels = person.host.tree.find(CHANNELS)
    assert channels is not None
    for index in range(2, 13):
        person.host.tree.add(channels, "disk", f"{index:x}").set("device_type", text("block"))
    assert person.type("show-disks\n").endswith("m) MORE SELECTIONS \nq) NO SELECTION \nEnter Selection, q to quit: ")
    assert person.type("m").startswith(f"m\n\n\na) {CHANNELS}/disk@a\n")
    assert f"{CHANNELS}/disk@c has been selected" in person.type("c")


def test_boot() -> None:
    person = session()
    assert person.line("boot") == f"Boot device: {DISK}  File and args: \n"
    assert person.actions == [Boot(DISK, "")]
    person.prompt.enter()
    assert person.type("boot disk:a kernel -s\n") == (
        f"{{0}} ok boot disk:a kernel -s\nBoot device: {DISK}:a  File and args: kernel -s\n"
    )
    assert person.actions[1:] == [Boot(f"{DISK}:a", "kernel -s")]
    assert person.type("1 .\n") == ""  # not firmware's turn


def test_boot_after_something_ran_resets_first() -> None:
    person = session(has_run=True)
    assert person.line("boot net -v") == ""
    assert person.actions == [Reset("boot net -v")]


def test_boot_that_fails() -> None:
    person = session()
    assert person.line("boot /nowhere") == ("Boot device: /nowhere  File and args: \n\nCan't locate boot device\n\n")
    person.host.missing.add(DISK)
    assert person.line("boot disk -s") == f"Boot device: {DISK}  File and args: -s\n\nCan't open boot device\n\n"
    assert person.actions == []
    person.prompt.enter("Boot load failed\n")
    assert person.shown() == "\nBoot load failed\n{0} ok "


@pytest.mark.parametrize(
    ("typed", "action"), [("reset-all", Reset()), ("reset", Reset()), ("power-off", PowerOff()), ("go", Go())]
)
def test_ends_of_a_turn(typed: str, action: object) -> None:
    person = session(can_go=True)
    assert person.line(f"{typed} 1 2 . .") == ""
    assert person.actions == [action]
    person.prompt.enter()
    assert person.shown() == "{0} ok "


def test_type_ahead_survives_the_turn() -> None:
    person = session()
    person.type("reset-all\n1 2 + .\n")
    assert person.actions == [Reset()]
    person.prompt.enter()
    assert person.type("") == "{0} ok 1 2 + .\n3 \n{0} ok "


def test_nothing_to_continue() -> None:
    assert session().line("go") == "No program to continue\n"


def test_small_ones() -> None:
    person = session()
    assert person.line(".version") == "Release 4.33.6 created 2012/03/14 08:42\nOBP 4.33.6 2012/03/14 08:42\n"
    assert person.line(".speed") == "CPU  Speed : 1165.38MHz\n"
    assert person.line(".enet-addr") == "0:14:4f:f9:6f:15\n"
    assert person.line(".idprom") == (
        "Format/Type: 1 84 Ethernet: 0 14 4f f9 6f 15 Date: 0 0 0 0 \nSerial: f9 6f 15 Checksum: 4a \n"
    )
    assert person.line("hostid .") == "84f96f15 \n"
    assert person.line("probe-scsi-all") == ""
    assert person.line("test net") == f"Error: {CHANNELS}/network@0 device has no selftest method\n"
    assert person.line("test") == "Usage: test device-specifier\n"
    assert person.line("test-all") == ""
    assert person.line("1 4010 15 spacel! 4010 80 spacel@ . 10 15 spacel@ .") == (
        "ERROR: Last Trap: Fast Data Access MMU Miss\n\n"
    )
    assert person.line("1 10 15 spacel! 4010 80 spacel@ . 10 15 spacel@ .") == "1 1 \n"
    assert person.line("test nowhere") == "Device not found\n"
    assert person.line("4010 map?") == "VA:4010 RA:10\n"
    assert person.line("0 map?") == "VA:0 Invalid\n"
    assert person.line("sync") == "The program has registered no callback for sync\n"


def test_help() -> None:
    person = session()
    for row in person.prompt.forth.dictionary.builtins.by_name.values():
        assert row.effect, row.name
    everything = person.line("help")
    assert "    Booting\n" in everything
    assert person.line("help setenv") == "setenv  ( -- ) variable value  Change a configuration variable\n"
    assert "boot " in person.line("help booting")
    assert "Recall the line before" in person.line("help line editor")
    assert person.line("help nonesuch") == "No help on nonesuch\n"


SAVED = {"pc": 0x404000, "npc": 0x404004, "tba": 0xF0200000, "ccr": 0x44, "g1": 0x11, "a1": 0x22, "i0": 1, "l1": 2,
         "o2": 3,
         "o7": 0x4008, "i6": 0x4100 - 2047, "i7": 0x400C, "pstate": 0x16, "tt1": 0x68, "tpc1": 0x40, "tnpc1": 0x44,
         "tstate1": 0x4482001602}  # fmt: skip


def test_registers() -> None:
    person = session()
    for word in (".registers", ".locals", "ctrace", ".pstate", "%pc", "0 w"):
        assert person.line(word) == "No saved state\n"
    person.host.saved = dict(SAVED)
    shown = person.line(".registers").split("\n")
    assert shown[0] == "        Normal          GL=1"
    assert shown[2] == "1: " + "11".rjust(17) + "22".rjust(17)
    assert shown[9] == "%PC  404000 %nPC 404004 "
    assert shown[10] == "%TBA f0200000 %CCR 44 XCC:nZvc   ICC:nZvc"
    local = person.line(".locals").split("\n")
    assert local[0] == "        INs             LOCALs          OUTs"
    assert local[1] == "0: " + "1".rjust(17) + "0".rjust(17) * 2
    assert local[3] == "2: " + "0".rjust(17) * 2 + "3".rjust(17)
    assert person.line("%pc . %g1 . %l1 .") == "404000 11 2 \n"
    assert person.line(".pstate") == "IE:1 PRIV:1 AM:0 PEF:1 MM:0 TLE:0 CLE:0 TCT:0 \n"
    assert person.line(".trap-registers").startswith("%TL:1 %TT:68 %TPC:40 %TnPC:44 \n%TSTATE:4482001602  %CWP:2 \n")
    assert person.line("5000 set-pc %pc . %npc .") == "5000 5004 \n"
    assert person.line("5002 set-pc") == "Can't change that register\n"


def test_ctrace_and_windows() -> None:
    person = session()
    person.host.saved = dict(SAVED)
    person.host.memory[0x8:0xC] = (0x4000_0003).to_bytes(4, "big")  # at 4008: call 4014
    person.host.memory[0xC:0x10] = (0x9FC0_4000).to_bytes(4, "big")  # at 400c: a call through %g1
    for index in range(8):
        person.host.memory[0x100 + 8 * index : 0x108 + 8 * index] = (0x70 + index).to_bytes(8, "big")
    lines = person.line("ctrace").split("\n")
    assert lines[0] == "PC: 404000 "
    assert lines[1] == "Last leaf: call 4014    from 4008 "
    assert lines[2].startswith("     0  w  %o0-%o7: (0 0 3 0 0 0 0 4008 )")
    assert lines[4] == "jmpl  ????     from 400c "
    assert person.line("1 w %l3 . %o0 .") == "73 1 \n"
    assert person.line("5 w") == "Window number too large.  The maximum number is 1 \n"
    assert person.line("0 .window").split("\n")[1].startswith("0: " + "1".rjust(17))


def test_security_command_mode() -> None:
    person = session(enter=False, variables={"security-mode": "command", "security-password": "pass1234"})
    person.prompt.enter()
    assert person.shown() == "Type boot , go (continue), or login (command mode)\n> "
    assert person.type("printenv boot-file\n") == "printenv boot-file\nFirmware Password: "
    assert person.type("pass1234") == ""  # no echo
    assert person.type("\n") == "\nboot-file =             \n> "
    person.type("banner\n")
    assert person.type("wrong\n") == "\nSorry.  Waiting 10 seconds.\n"
    assert person.type("boot\n") == ""
    person.host.clock = 9_999
    assert not person.prompt.busy
    person.host.clock = 10_000
    assert person.type("") == f"> boot\nBoot device: {DISK}  File and args: \n"
    assert person.actions == [Boot(DISK, "")]
    assert person.host.variables.get("security-#badlogins") == "1"
    person.prompt.enter()
    person.shown()
    assert person.type("boot disk -s\n") == "boot disk -s\nFirmware Password: "
    assert person.type("pass1234\n") == f"\nBoot device: {DISK}  File and args: -s\n"
    assert person.actions[1:] == [Boot(DISK, "-s")]


def test_login_and_logout() -> None:
    person = session(enter=False, variables={"security-mode": "full", "security-password": "pw"})
    person.prompt.enter()
    person.shown()
    assert person.type("boot\n") == "boot\nFirmware Password: "
    assert person.type("pw\n").startswith("\nBoot device: ")
    person.prompt.enter()
    person.shown()
    assert person.type("login\npw\n") == "login\nFirmware Password: \n{0} ok "
    assert person.line("1 .") == "1 \n"
    assert person.type("logout\n") == "logout\n> "
    assert person.type("\x10") == "\a"  # no history for strangers


def test_setting_a_password() -> None:
    person = session()
    assert person.type("password\n") == "password\nNew password (8 characters max) "
    assert person.type("secret\n") == "\nRetype new password: "
    assert person.type("secret\n") == "\n{0} ok "
    assert person.host.variables.get("security-password") == "secret"
    assert person.type("password\none\ntwo\n").endswith("Mismatch - password unchanged\n{0} ok ")
    assert person.host.variables.get("security-password") == "secret"
    assert person.line("setenv security-password x") == "Use the password command.\n"
    assert person.line("setenv security-mode command") == "security-mode =         command\n> "
    assert person.prompt.secured


def test_evaluate_for_a_client() -> None:
    person = session(enter=False, variables={"security-mode": "full", "security-password": "pw"})
    assert person.prompt.evaluate("5 6 + .d") is None
    assert person.shown() == "11 \n> "
    assert person.prompt.evaluate("reset-all") == Reset()


def test_interpret_for_a_client() -> None:
    person = session(enter=False)
    prompt = person.prompt
    assert prompt.interpret("+ dup", [5, 6], 2) == Interpreted(0, (11, 11), None)
    assert prompt.interpret("- .d", [2, 9], 0) == Interpreted(0, (), None)
    assert person.shown() == "7 "
    assert prompt.interpret("nosuch", [], 1) == Interpreted(-13, (), None)
    assert prompt.interpret('1 2 abort" x"', [], 1).thrown == -2
    assert prompt.interpret("0 @").thrown == -256
    assert prompt.interpret("begin again").thrown == prompt.interpret("show-disks").thrown == -28
    assert prompt.interpret("key").thrown == prompt.interpret("d# 10 ms").thrown == -28
    assert prompt.interpret("reset-all") == Interpreted(0, (), Reset())
    assert prompt.interpret(": half", [], 0).thrown == 0
    assert prompt.forth.definition is None
    assert prompt.forth.stack == []
    person.shown()
    prompt.enter()
    assert person.shown().endswith("{0} ok ")
    assert person.line("1 .") == "1 \n"


def test_a_variable_from_outside_is_seen_at_once() -> None:
    person = Session(FakeHost(Variables()))
    person.prompt.enter()
    person.shown()
    person.host.variables.outside("boot-file", "-k")
    assert person.line("printenv boot-file") == "boot-file =             -k\n"


def test_a_break_ends_dialogs_sleep_and_a_line() -> None:
    person = session()
    person.type("show-disks\n")
    person.prompt.interrupt()
    assert person.shown().endswith("{0} ok ")
    assert person.prompt.dialog is None
    person.type("d# 100000 ms 1 .\n")
    person.prompt.interrupt()
    assert person.shown() == "Interrupted\n{0} ok "
    person.type("half a li")
    person.prompt.interrupt()
    assert person.shown() == "\n{0} ok "
    assert person.line("1 .") == "1 \n"


def test_no_idprom() -> None:
    person = session()
    del person.host.tree.root.properties["idprom"]
    assert person.line(".idprom") == "The IDPROM contents are invalid\n"


def test_aliases_are_bounded() -> None:
    person = session()
    assert person.line("devalias long /" + "x" * 600) == "No room for the alias\n"
    for index in range(260):
        person.prompt.forth.evaluate(f"devalias a{index} /x")
        person.type("")
    assert "No room for the alias" in person.line("devalias one-more /x")
