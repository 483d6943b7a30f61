"""What a running domain sees of `ldm`: processors, memory and disks that come and go, services that stop."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from host_shares import free_ports
from room_support import Console, Shell

ROOT = Path(__file__).resolve().parents[2]
LABOS = ROOT / "images" / "prebuilt" / "labos.elf"
pytestmark = [pytest.mark.slow, pytest.mark.nosan]
SERVICE = """
[server.alpha.domain.svc]
vcpus = 1
memory = "512M"
vdisk.vdisk0 = "svc@primary-vds0"
variable.boot-device = "vdisk0"
vds.svc-vds = {}
vcc.svc-vcc = "PORTS"
"""
LAB = f"""
[server.alpha]
platform = "t4-1"
memory = "8G"
[server.alpha.domain.primary]
cores = 1
memory = "1G"
vcc.primary-vcc0 = "PORTS"
vds.primary-vds0.ldg1 = {{ size = "16M", boot = "{LABOS}" }}
vds.primary-vds0.svc = {{ size = "16M", boot = "{LABOS}" }}
[server.alpha.domain.ldg1]
vcpus = 2
memory = "512M"
vdisk.vdisk0 = "ldg1@primary-vds0"
variable.boot-device = "vdisk0"
"""


@pytest.fixture
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    shell = Shell(tmp_path_factory.mktemp("d"))
    yield shell
    shell.end()


def up(shell: Shell, text: str) -> int:
    """Make a lab; the port of ldg1's console."""
    port = free_ports(6)
    for first in (port, port + 3):
        text = text.replace("PORTS", f"{first}-{first + 2}", 1)
    (shell.home / "lab.toml").write_text(text)
    shell.sun4v("lab", "up", "lab.toml")
    return port


def online(console: Console) -> int:
    return len(re.findall(r"^\d+\s+on-line", console.do("psrinfo"), re.MULTILINE))


def megabytes(console: Console) -> int:
    found = re.search(r"total (\d+) MB", console.do("mem"))
    assert found is not None
    return int(found[1])


def test_a_running_domain_grows_and_shrinks(shell: Shell) -> None:
    console = shell.console(up(shell, LAB))
    console.until(b"\n# ")
    assert (online(console), megabytes(console)) == (2, 512)
    shell.ldm("add-vcpu", "2", "ldg1")
    assert online(console) == 4
    shell.ldm("remove-vcpu", "3", "ldg1")
    assert online(console) == 1
    shell.ldm("add-memory", "256M", "ldg1")
    assert megabytes(console) == 768
    shell.ldm("remove-memory", "256M", "ldg1")
    assert megabytes(console) == 512
    shell.sun4v("mkdisk", "data.img", "8M")
    shell.ldm("add-vdsdev", "data.img", "data@primary-vds0")
    shell.ldm("add-vdisk", "vdisk1", "data@primary-vds0", "ldg1")
    assert "c0d1: 1 block written" in console.do("write c0d1 0 hello")
    assert (shell.home / "data.img").read_bytes()[:5] == b"hello"
    shell.ldm("remove-vdisk", "vdisk1", "ldg1")
    assert "c0d1: no such disk" in console.do("read c0d1 0")
    shell.ldm("panic-domain", "ldg1")
    console.until(b"panic")
    console.until(b"\n# ")
    assert "|state=active|" in shell.ldm("list", "-p", "ldg1")


def test_a_service_domain_stops_and_comes_back(shell: Shell) -> None:
    port = up(shell, LAB + SERVICE)
    console = shell.console(port)
    console.until(b"\n# ")
    shell.sun4v("mkdisk", "data.img", "8M")
    shell.ldm("add-vdsdev", "data.img", "data@svc-vds")
    shell.ldm("add-vdisk", "vdisk1", "data@svc-vds", "ldg1")
    shell.ldm("add-domain", "ldg2")
    for line in ("set-vcpu 1 ldg2", "set-memory 256M ldg2", "set-vcons service=svc-vcc ldg2",
                 "set-variable auto-boot?=false ldg2", "bind-domain ldg2", "start-domain ldg2"):
        shell.ldm(*line.split())
    theirs = shell.console(port + 3)
    theirs.until(b"ok ")
    assert "c0d1: 1 block written" in console.do("write c0d1 0 hello")
    for how in ((), ("-f",)):
        shell.ldm("stop-domain", *how, "svc")
        assert theirs.closed()
        console.type(b"read c0d1 0 1\n")
        console.until(b"read c0d1 0 1\r\n")
        assert console.quiet(2.0), console.seen
        shell.ldm("start-domain", "svc")
        assert b"|hello" in console.until(b"\n# ")
        theirs = shell.console(port + 3)
        theirs.until(b"ok ")
