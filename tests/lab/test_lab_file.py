"""A lab's file: what it becomes, and what is told of a wrong one."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from ldmd.cli.parse import parse
from ldmd.lab.model import Lab
from ldmd.lab.plan import commands
from ldmd.lab.reader import LabFileError, read_lab

WHOLE = """
name = "both"

[server.beta]
platform = "t4-1"

[server.alpha]
platform = "t3-1"
memory = "16G"
deterministic = true

[server.alpha.domain.ldg1]
vcpus = 4
crypto = 1
memory = "512M"
cpu-arch = "generic"
master = ["primary", "svc"]
extended-mapin-space = false
vdisk.root = "vol1@primary-vds0"
vdisk.data = { volume = "vol1@svc-vds0", timeout = 30, id = 4 }
vnet.net0 = { switch = "primary-vsw0", vid = [5, 6], pvid = 2 }
console = { group = "all", log = false }
variable = { "auto-boot?" = "false", boot-device = "root net0" }
commands = ["add-policy util-upper=90 name=busy ldg1"]

[server.alpha.domain.svc]
cores = 1
memory = "1G"
start = false
io = ["pci_1"]
vds.svc-vds0.vol1 = { size = "1M", options = "ro", mpgroup = "both" }

[server.alpha.domain.primary]
cores = 2
memory = "4G"
shutdown-group = 0
vcc.primary-vcc0 = "5000-5100"
vsw.primary-vsw0 = { mtu = 9000, inter-vnet-link = "off" }
vds.primary-vds0.vol1 = "disk.img"
vds.primary-vds0.own = { file = "disk.img" }
vds.primary-vds0.copied = { copy = "disk.img" }
"""

SCRIPT = """
start-reconf primary
set-domain shutdown-group=0 primary
set-core 2 primary
set-memory 4G primary
stop-domain -r primary
add-domain cpu-arch=generic extended-mapin-space=off master=primary,svc ldg1
add-domain svc
add-vcc port-range=5000-5100 primary-vcc0 primary
add-vsw mtu=9000 inter-vnet-link=off primary-vsw0 primary
add-vds primary-vds0 primary
add-vdsdev made/alpha.primary-vds0.vol1.overlay vol1@primary-vds0
add-vdsdev {disk} own@primary-vds0
add-vdsdev made/alpha.primary-vds0.copied.img copied@primary-vds0
add-vds svc-vds0 svc
add-vdsdev options=ro mpgroup=both made/alpha.mpgroup.both.img vol1@svc-vds0
set-crypto 1 ldg1
set-vcpu 4 ldg1
set-memory 512M ldg1
add-vdisk root vol1@primary-vds0 ldg1
add-vdisk timeout=30 id=4 data vol1@svc-vds0 ldg1
add-vnet vid=5,6 pvid=2 net0 primary-vsw0 ldg1
set-vcons group=all log=off ldg1
set-variable auto-boot?=false 'boot-device=root net0' ldg1
add-policy util-upper=90 name=busy ldg1
set-core 1 svc
set-memory 1G svc
add-io pci_1 svc
bind-domain ldg1
start-domain ldg1
bind-domain svc
add-spconfig lab
"""


def lab_of(tmp_path: Path, text: str) -> Lab:
    """The lab of a text."""
    path = tmp_path / "lab.toml"
    path.write_text(text)
    (tmp_path / "disk.img").touch()
    return read_lab(path)


def test_a_file_becomes_commands(tmp_path: Path) -> None:
    lab = lab_of(tmp_path, WHOLE)
    assert lab.name == "both"
    assert [(server.name, server.platform, server.memory, server.deterministic) for server in lab.servers] == [
        ("beta", "t4-1", "", False), ("alpha", "t3-1", "16G", True)]  # fmt: skip
    beta, alpha = lab.servers
    assert list(commands(beta, Path)) == [("add-spconfig", "lab")]
    made = list(commands(alpha, lambda name: Path("made") / name))
    wanted = SCRIPT.format(disk=tmp_path / "disk.img").strip().splitlines()
    assert made == [tuple(shlex.split(line)) for line in wanted]
    for command in made:
        parse(command)  # the grammar knows them


def test_the_name_is_that_of_the_file_where_it_has_none(tmp_path: Path) -> None:
    assert lab_of(tmp_path, "[server.a]\nplatform = 't5-2'\n").name == "lab"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "server: a lab has one server or more"),
        ("x = [", "Invalid value"),
        ("servers = 1\n[server.a]", "lab.servers: no such key; there are name, faults and server"),
        ("name = '../x'\n[server.a]", "name: '../x' is no name"),
        ("[server.'a b']", "server.a b: 'a b' is no name"),
        ("[server.a]\nplatform = 't99'", "server.a.platform: "),
        ("[server.a]\nplatform = 7", "server.a.platform: a string is wanted, not 7"),
        ("[server.a]\nmemory = '5 apples'", "server.a.memory: "),
        ("[server.a]\ndomain = 3", "server.a.domain: a table is wanted"),
        ("[server.a.domain.d]\ncores = 1\nvcpus = 2", "server.a.domain.d: cores and vcpus"),
        ("[server.a.domain.d]\nvcpus = '2'", "server.a.domain.d.vcpus: a number is wanted, not '2'"),
        ("[server.a.domain.d]\nvcpus = -1", "server.a.domain.d.vcpus: 0 or more"),
        ("[server.a.domain.d]\nvcpu = 1", "server.a.domain.d.vcpu: no such key; there are cores, vcpus"),
        ("[server.a.domain.primary]\nstart = false", "the control domain is always bound"),
        ("[server.a.domain.d]\nvdisk.x = {timeout = 1}", "server.a.domain.d.vdisk.x: a volume is missing"),
        ("[server.a.domain.d]\nvnet.x = 5", "server.a.domain.d.vnet.x: a table is wanted"),
        ("[server.a.domain.d]\nvcc.x = 5000", "server.a.domain.d.vcc.x: a range of ports is wanted"),
        ("[server.a.domain.d]\nvds.x.v = {}", "one of image (never written: an overlay keeps what is), file"),
        ("[server.a.domain.d]\nvds.x.v = {size = '1M', file = 'disk.img'}", "one of image"),
        ("[server.a.domain.d]\nvds.x.v = 'missing.img'", "missing.img does not exist"),
        ("[server.a.domain.d]\nvds.x.v = {file = 'disk.img', boot = 'disk.img'}", "boot goes with size"),
        ("[server.a.domain.d]\nvds.x.v = {size = '1M', format = 'raw'}", "vds.x.v.format: no such key"),
        ("[server.a.domain.d]\nio = 'pci_1'", "server.a.domain.d.io: a list of strings is wanted"),
        ("[server.a.domain.d]\nconsole = {port = 1.5}", "server.a.domain.d.console.port: a word"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(LabFileError) as caught:
        lab_of(tmp_path, text)
    assert any(problem in each for each in caught.value.problems), caught.value.problems


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(LabFileError) as caught:
        lab_of(tmp_path, "[server.a]\nplatform = 't99'\nmemory = 'x'\n[server.a.domain.d]\nvcpus = 'y'\nz = 1\n")
    assert len(caught.value.problems) == 4
