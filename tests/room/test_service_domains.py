"""A service domain stops, panics, comes back: what its clients see, on a real machine, by commands of `ldm`.

Its clients' disks wait, their networks lose frames, their consoles drop; all goes on by itself when the service is
back, and nothing that was written is lost (Administration Guide 3.3).
"""

from __future__ import annotations

import hashlib
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from host_shares import free_ports
from linux_found import find_linux
from room_support import PATIENCE, Console, Shell

ROOT = Path(__file__).resolve().parents[2]
LABOS = ROOT / "images" / "prebuilt" / "labos.elf"
pytestmark = [pytest.mark.slow, pytest.mark.nosan]
DOMAIN = """
[server.alpha.domain.{name}]
vcpus = 1
memory = "256M"
vdisk.vdisk0 = "{name}@primary-vds0"
variable.boot-device = "vdisk0"
"""
CLIENT = DOMAIN + 'vdisk.data = "{name}-data@svc-vds"\nvnet.vnet0 = "svc-vsw"\n'
NAMES = ("svc", "ldg1", "ldg2")


def lab(port: int) -> str:
    """Two clients of a service domain; the consoles of the first at `port` of the control domain's concentrator."""
    disks = "".join(f'vds.primary-vds0.{name} = {{ size = "16M", boot = "{LABOS}" }}\n' for name in NAMES)
    service = "vsw.svc-vsw = { inter-vnet-link = \"off\" }\n" + f'vcc.svc-vcc = "{port + 3}-{port + 5}"\n' + "".join(
        f'vds.svc-vds.{name}-data = {{ size = "8M" }}\n' for name in NAMES[1:])
    return (
        f'[server.alpha]\nplatform = "t4-1"\nmemory = "8G"\n[server.alpha.domain.primary]\ncores = 1\nmemory = "1G"\n'
        f'vcc.primary-vcc0 = "{port}-{port + 2}"\n{disks}'
        + DOMAIN.format(name="svc") + service + CLIENT.format(name="ldg1") + CLIENT.format(name="ldg2")
    )  # fmt: skip


@pytest.fixture
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    shell = Shell(tmp_path_factory.mktemp("s"))
    yield shell
    shell.end()


class Room:
    """The lab, and the console of ldg1."""

    def __init__(self, shell: Shell) -> None:
        self.shell, self.port = shell, free_ports(6)
        (shell.home / "lab.toml").write_text(lab(self.port))
        shell.sun4v("lab", "up", "lab.toml")
        self.ports = dict(re.findall(r"^(\w+) .* (\d{4,5}) ", shell.ldm("list"), re.MULTILINE))
        self.one = self.console("ldg1")

    def console(self, name: str) -> Console:
        console = Console(int(self.ports[name]))
        console.until(b"# ")
        return console


    def starts(self, console: Console, command: str) -> None:
        """Type a command that will take its time."""
        console.type(command.encode() + b"\n")
        console.until(command.encode() + b"\r\n")

    def gone(self, two: Console) -> None:
        """The service domain is down: disk requests wait, frames are lost, consoles have dropped."""
        assert two.closed()
        with pytest.raises(ConnectionRefusedError):
            Console(int(self.ports["ldg2"]))
        assert "100% packet loss" in self.one.do("ping 10.0.0.2 1")
        self.starts(self.one, "write c0d1 0 pattern 4000")
        assert self.one.quiet(2.0), self.one.until(b"\n# ")

    def back(self) -> Console:
        """It is up again: what waited is done, and all of it; the console of ldg2."""
        assert b"4000 blocks written at 0" in self.one.until(b"\n# ")
        assert "4000 blocks from 0 are the pattern" in self.one.do("verify c0d1 0 4000")
        two = self.reconnect("ldg2")
        two.type(b"\n")
        two.until(b"# ")
        assert "10.0.0.2 is alive" in self.one.do("ping 10.0.0.2")
        return two

    def reconnect(self, name: str) -> Console:
        """vntsd listens again a moment after the service is back."""
        for _ in range(int(PATIENCE * 10)):
            try:
                return Console(int(self.ports[name]))
            except ConnectionRefusedError:
                self.one.quiet(0.1)
        raise AssertionError(f"nobody serves the console of {name}")


def test_clients_wait_and_go_on(shell: Shell) -> None:
    room = Room(shell)
    shell.ldm("stop-domain", "-f", "ldg2")
    shell.ldm("unbind-domain", "ldg2")
    shell.ldm("set-vcons", "service=svc-vcc", "ldg2")
    shell.ldm("bind-domain", "ldg2")
    shell.ldm("start-domain", "ldg2")
    room.ports["ldg2"] = str(room.port + 3)
    two = room.console("ldg2")
    room.one.do("ifconfig vnet0 10.0.0.1/24")
    two.do("ifconfig vnet0 10.0.0.2/24")
    assert "10.0.0.2 is alive" in room.one.do("ping 10.0.0.2")
    for how in ((), ("-f",)):
        shell.ldm("stop-domain", *how, "svc")
        room.gone(two)
        shell.ldm("start-domain", "svc")
        two = room.back()
    assert "svc" in shell.ldm("unbind-domain", "svc", status=1), "it runs"
    # a panic: the services go with the system, and come back with it, while the domain is active all the time
    shell.ldm("set-variable", "auto-boot?=false", "svc")
    svc = room.console("svc")
    shell.ldm("panic-domain", "svc")
    svc.until(b"ok ")
    assert "|state=active|" in shell.ldm("list", "-p", "svc")
    room.gone(two)
    shell.kill_ldmd("alpha")
    shell.run("ldmd.daemon", "--machine", "alpha")
    assert room.one.quiet(2.0), "a new manager knows it as well"
    svc.type(b"boot\n")
    room.back()


LINUX = """
[server.alpha.domain.linux]
vcpus = 1
memory = "512M"
vdisk.vdisk0 = "kernel@primary-vds0"
vdisk.vdisk1 = "root@primary-vds0"
vdisk.vdisk2 = "ldg1-data@svc-vds"
variable.boot-device = "vdisk0"
variable.boot-file = "console=ttyHV0 cryptomgr.notests=1 root=/dev/vdiskb init=/init"
"""
ROOT_DISK = "mkdir root && (cd root && zcat {} | cpio -id --quiet) && truncate -s 32M root.img && " \
            "mke2fs -q -t ext4 -d root root.img"
PROMPT = b"sun4v# "
COMMANDS = (  # each fits a line of the console, which is edited
    "dd if=/dev/urandom of=/tmp/x bs=64k count=96 2>/dev/null",
    "w() { dd if=/tmp/x of=/dev/vdiskc bs=64k conv=fsync 2>/dev/null; }",
    "r() { for n in 1 2 3 4; do w || echo FAILED; done; echo WR''OTE; }",
    "c() { dd if=/dev/vdiskc bs=64k count=96 2>&- | md5sum; md5sum </tmp/x; }",
)


def linux_console(shell: Shell) -> Console:
    """A Linux whose third disk the service domain serves, at its prompt."""
    found, why = find_linux()
    if found is None:
        pytest.skip(why)
    for tool in ("cpio", "mke2fs", "zcat"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    shell.sun4v("mkdisk", "--boot", str(found.kernel), "kernel.img", "64M")
    subprocess.run(["sh", "-c", ROOT_DISK.format(shlex.quote(str(found.initrd)))], cwd=shell.home, check=True)
    port = free_ports(6)
    head, _, tail = lab(port).partition("[server.alpha.domain.ldg1]")[0].partition("[server.alpha.domain.svc]")
    volumes = 'vds.primary-vds0.kernel = { file = "kernel.img" }\nvds.primary-vds0.root = { file = "root.img" }\n'
    (shell.home / "lab.toml").write_text(f"{head}{volumes}[server.alpha.domain.svc]{tail}{LINUX}")
    shell.sun4v("lab", "up", "lab.toml")
    console = Console(port + 1)
    console.until(PROMPT)
    return console


def test_linux_goes_on_writing(shell: Shell) -> None:
    """A service domain stops, is killed and panics in the middle of writes: all of them succeed, nothing is lost."""
    console = linux_console(shell)
    for command in COMMANDS:
        console.do(command, PROMPT)
    for how in ("stop-domain", "stop-domain -f", "panic-domain"):
        console.do("r &", PROMPT)
        shell.ldm(*how.split(), "svc")
        said = b""
        if how != "panic-domain":
            console.type(b"cat /proc/uptime\n")  # the rest of it goes on
            said = console.until(PROMPT)
            shell.ldm("start-domain", "svc")
        if b"WROTE" not in said:
            said += console.until(b"WROTE")
        assert b"FAILED" not in said and b"error" not in said, said
    console.do("echo 3 > /proc/sys/vm/drop_caches", PROMPT)
    sums = console.do("c", PROMPT)
    first, second = re.findall(r"\b[0-9a-f]{32}\b", sums)
    assert first == second
    data = next(shell.home.glob("labs/*/disks/*ldg1-data*")).read_bytes()[: 96 * 65536]
    assert hashlib.md5(data, usedforsecurity=False).hexdigest() == first
