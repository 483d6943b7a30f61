"""Every command's help has examples; all of them can be parsed, and each of `ldm` is carried out on a server."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest
from ldm_sessions import Session

from emulator import cli
from emulator.cli import make_parsers
from emulator.examples import EXAMPLES, example_lines
from ldmd.cli import usage
from ldmd.cli.examples import EXAMPLES as LDM
from ldmd.cli.grammar import COMMANDS
from ldmd.cli.parse import parse

PF = "/SYS/MB/NET0/IOVNET.PF"
ROOM = """\
ldm add-vcc port-range=5000-5100 primary-vcc0 primary
ldm add-vds primary-vds0 primary
ldm add-vds spare-vds primary
ldm add-vsw net-dev=net0 primary-vsw0 primary
ldm add-vsw spare-vsw primary
ldm add-vsan -q /SYS/MB/SASHBA0/HBA0/PORT2 vsan0 primary
ldm add-vsan -q /SYS/MB/SASHBA0/HBA0/PORT3 spare-vsan primary
ldm add-vdpcs used-vdpcs primary
ldm add-vdpcs spare-vdpcs primary
ldm start-reconf primary
ldm set-core 2 primary
ldm set-memory 8G primary
ldm set-io iov=on pci_1
ldm stop -r primary
ldm add-vdsdev disk0.img vol0@primary-vds0
ldm add-vdsdev disk1.img spare@primary-vds0
ldm add-domain ldg1
ldm set-vcpu 8 ldg1
ldm set-memory 2G ldg1
ldm add-vdisk vdisk0 vol0@primary-vds0 ldg1
ldm add-vnet vnet0 primary-vsw0 ldg1
ldm add-vhba vhba0 vsan0 ldg1
ldm set-variable boot-device=vdisk0 ldg1
ldm add-policy util-lower=25 util-upper=75 vcpu-min=2 vcpu-max=16 name=busy ldg1
ldm add-domain ldg2
ldm set-vcpu 4 ldg2
ldm set-memory 1G ldg2
ldm add-vdpcc vdpcc0 used-vdpcs ldg2
"""
RUNS = "ldm bind ldg1", "ldm start ldg1", "! boot ldg1"
SAVED = ("ldm add-spconfig first",)
BEFORE: Mapping[str, tuple[str, ...]] = {
    "add-core": ("ldm set-core 1 ldg2",),
    "remove-core": ("ldm set-core 2 ldg2",),
    "add-vcc": ("ldm remove-vcc primary-vcc0",),
    "unbind-domain": ("ldm bind ldg1",),
    "start-domain": ("ldm bind ldg1",),
    "cancel-reconf": ("ldm start-reconf primary",),
    "cancel-operation": (*RUNS, "! moving ldg1 beta", "ldm start-reconf primary"),
    "set-spconfig": SAVED,
    "remove-spconfig": (*SAVED, "ldm set-spconfig factory-default"),
    "add-io": ("ldm start-reconf primary", "ldm remove-io pci_3 primary", "ldm stop -r primary"),
    "set-io": (f"ldm create-vf -n 1 {PF}0",),
    "destroy-vf": (f"ldm create-vf -n 2 {PF}0",),
    **dict.fromkeys(("set-vdisk", "remove-vdisk", "remove-vnet", "remove-vhba", "remove-vcc"), ()),
}
"""What is typed before instead of RUNS."""
STAGE = "backend disk0.img 1G", "backend disk1.img 1G", "backend ldg2.img 1G", "backend cd.iso 64M", "moves"
SMALL = ("ldm start-reconf primary", "ldm set-crypto 0 primary", "ldm set-vcpu 8 primary",
         "ldm set-memory 4G primary", "ldm stop -r primary",
         "ldm add-domain ldg2", "ldm set-vcpu 8 ldg2", "ldm set-memory 1G ldg2")
CRYPTO = ("platform t3-1 32G", *SMALL, "ldm set-crypto 1 ldg2")
FUJITSU = ("platform m10-4 128G",)
ELSEWHERE = {
    "add-crypto": (*CRYPTO[:-1],), "set-crypto": CRYPTO, "remove-crypto": CRYPTO,
    "list-socket": FUJITSU, "list-permits": FUJITSU, "init-system": ("platform t5-2",),
}
"""Commands that other servers have; and what is there."""
REFUSED = ("add-cmi", "set-cmi", "remove-cmi", "set-socket", "grow-socket", "shrink-socket")
"""Commands of the grammar that no server of ours has."""


def _ldm_examples() -> Iterator[tuple[str, str]]:
    for name, lines in LDM.items():
        yield from ((name, line) for line in lines)


def test_every_command_of_ldm_has_examples_of_itself() -> None:
    assert list(LDM) == sorted(LDM, key=list(COMMANDS).index) or {*LDM} == {*COMMANDS}
    for name, line in _ldm_examples():
        words = shlex.split(line.partition(" > ")[0])
        assert words[0] == "ldm" and parse(words[1:]).command.name == name, line


@pytest.mark.parametrize("name", LDM)
def test_the_help_of_ldm_shows_them(name: str) -> None:
    shown = list(usage.command_help(COMMANDS[name]))
    assert all(f"  {line}" in shown for line in LDM[name])


def verbs_of(name: str, parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    yield name, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for verb, each in action.choices.items():
                yield from verbs_of(f"{name} {verb}", each)


PARSERS = dict(each for name, parser in make_parsers()[1].items() for each in verbs_of(name, parser))


def test_every_command_has_examples_in_its_help() -> None:
    assert {*EXAMPLES} == {*PARSERS}
    for name, lines in EXAMPLES.items():
        assert PARSERS[name].format_help().endswith(example_lines(lines)), name
        assert any(f"sun4v {name}" in line for line in lines), name


def test_they_can_be_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "make_parsers", cache(make_parsers))
    for line in [line for lines in EXAMPLES.values() for line in lines]:
        commands = re.findall(r"\bsun4v ([^|)']+)", line)
        assert commands or line.startswith("tshark "), line
        for command in commands:
            assert cli.parse_arguments(shlex.split(command)).handler, line


def stage(folder: Path, name: str) -> Session:
    """A server as the table says, and what a command needs besides."""
    session = Session(folder)
    if name in ELSEWHERE:
        stages, lines = ELSEWHERE[name][:1], ELSEWHERE[name][1:]
    else:
        stages, lines = STAGE, (*ROOM.splitlines(), *BEFORE.get(name, RUNS))
    for line in (*(f"! {each}" for each in stages), *lines):
        if line.startswith("! "):
            session.stage(line[2:].split())
        else:
            out = session.type(line)
            assert "[exit" not in out, f"{line}: {out}"
    files(session)
    return session


def files(session: Session) -> None:
    """Files that examples name: a password, a domain and a server in XML."""
    session.stage(["file", "secret"], "correct horse\n")
    session.stage(["mode", "secret", "600"])
    session.stage(["file", "server.xml"], session.type("ldm list-constraints -x primary"))
    domain = session.type("ldm list-constraints -x ldg2").replace("ldg2", "ldg3")
    session.stage(["file", "ldg3.xml"], re.sub(r"00:14:4f(:..){3}", "00:14:4f:fb:00:01", domain))


@pytest.mark.parametrize("name", [name for name in LDM if name not in REFUSED])
def test_they_are_carried_out(tmp_path: Path, name: str) -> None:
    for number, line in enumerate(LDM[name]):
        folder = tmp_path / str(number)
        folder.mkdir()
        out = stage(folder, name).type(line.partition(" > ")[0])
        assert "[exit" not in out, f"{line}: {out}"
