"""What a person can do wrong with `ldm`: what is said, the exit status, and that nothing was changed."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from ldm_support import ldm, ldm_ok
from manager_support import machine_of, make_manager
from room_support import Shell

from ldmd.manager import Manager

SETUP = """
add-vcc port-range=5000-5001 primary-vcc0 primary
add-vds primary-vds0 primary
add-vsw primary-vsw0 primary
add-vdsdev -q /disks/one vol1@primary-vds0
add-vdsdev -q /disks/two vol2@primary-vds0
start-reconf primary
set-core 2 primary
set-memory 4G primary
stop-domain -r primary
add-domain ldg1
set-vcpu 8 ldg1
set-memory 2G ldg1
add-vdisk vdisk0 vol1@primary-vds0 ldg1
add-vnet vnet0 primary-vsw0 ldg1
bind-domain ldg1
start-domain ldg1
add-domain ldg2
set-vcpu 8 ldg2
set-memory 1G ldg2
bind-domain ldg2
add-domain ldg3
set-vcpu 8 ldg3
set-memory 1G ldg3
add-domain ldg4
set-vcpu 1 ldg4
set-memory 2G ldg4
"""
# the line, words of what must be said (text, cause or remedy)
REFUSED = (
    # names
    ("bind-domain nobody", "LDom nobody was not found", "`ldm list`"),
    ("list nobody", "LDom nobody was not found", "`ldm list`"),
    ("add-domain ldg1", "LDom ldg1 already exists", "choose another name"),
    ("add-domain primary", "LDom primary already exists", "Remedy"),
    ("add-domain a/b", "a/b", "Remedy"),
    ("add-domain ''", "", "Remedy"),
    ("add-vds primary-vds0 primary", "primary-vds0 already exists", "Remedy"),
    ("add-vsw primary-vsw0 primary", "primary-vsw0 already exists", "Remedy"),
    ("add-vcc port-range=6000-6010 primary-vcc0 primary", "primary-vcc0 already exists", "Remedy"),
    ("add-vdsdev -q /disks/three vol1@primary-vds0", "vol1@primary-vds0 already exists", "another name"),
    ("add-vdsdev -q /disks/one vol3@primary-vds0", "/disks/one is already exported as vol1@primary-vds0", "-f"),
    ("add-vdisk vdisk0 vol2@primary-vds0 ldg1", "vdisk0", "Remedy"),
    ("add-vnet vnet0 primary-vsw0 ldg1", "vnet0", "Remedy"),
    # wrong state
    ("start-domain ldg1", "LDom ldg1 is active", "only a bound domain is started"),
    ("start-domain ldg3", "LDom ldg3 is inactive", "`ldm bind-domain ldg3` first"),
    ("stop-domain ldg2", "LDom ldg2 is bound", "only an active domain is stopped"),
    ("unbind-domain ldg1", "LDom ldg1 is active", "`ldm stop-domain ldg1` first"),
    ("unbind-domain ldg3", "LDom ldg3 is inactive", "only a bound domain is unbound"),
    ("bind-domain ldg2", "LDom ldg2 is already bound", "only an inactive domain is bound"),
    ("remove-domain ldg1", "LDom ldg1 is active", "`ldm stop-domain ldg1` and `ldm unbind-domain ldg1`"),
    ("panic-domain ldg2", "ldg2", "Cause"),
    ("set-domain cpu-arch=generic ldg1", "ldg1 ", "while it is active"),
    ("cancel-reconf primary", "LDom primary is not in delayed reconfiguration", "flag d"),
    ("start-reconf ldg1", "Delayed reconfiguration of LDom ldg1 is not permitted", "root domains"),
    ("cancel-operation memdr ldg1", "No memory operation of LDom ldg1", "flag r"),
    # the control domain
    ("stop-domain primary", "LDom primary cannot be stopped", "`ldm stop-domain -r primary`"),
    ("unbind-domain primary", "LDom primary is active", "Cause"),
    ("remove-domain primary", "LDom primary is the control domain", ""),
    # not enough
    ("set-vcpu 500 ldg3", "This server has 64 strands, not 500", "at most 64"),
    ("add-vcpu 60 ldg2", "", "Remedy"),
    ("set-memory 100T ldg2", "", "Remedy"),
    ("set-memory 100G ldg3", "", "Remedy"),
    ("bind-domain ldg3", "port", "primary-vcc0 5000-5001"),
    ("set-crypto 9 ldg2", "crypto", ""),
    ("set-vcpu 0 ldg2", "", "ldg2"),
    ("remove-vcpu 9 ldg2", "", "Remedy"),
    ("remove-memory 4G ldg2", "LDom ldg2 has 1G of memory, 4G cannot be removed", "remove less"),
    # units and numbers
    ("set-memory 1Q ldg3", "1Q is not a size of memory", "K, M or G"),
    ("set-memory lots ldg3", "lots is not a size of memory", "K, M or G"),
    ("set-memory 0 ldg3", "more than nothing", "such as 4G"),
    ("set-memory 4294967296T ldg3", "no server has so much memory", ""),
    ("set-vcpu two ldg3", "two", ""),
    ("set-vcpu 1.5 ldg3", "1.5", ""),
    ("set-core 2x ldg3", "2x", ""),
    ("set-memory mblock=0:1G ldg3", "The memory block 0x0:1G is not free for domains", "firmware keeps 0x0:"),
    ("set-memory mblock=0x7000000000:1G ldg3", "is not memory of this server", "list-devices -a memory"),
    ("set-memory mblock=1G ldg3", "is not a list of memory blocks", "mblock=START:SIZE"),
    # services
    ("add-vdisk vdisk1 vol9@primary-vds0 ldg3", "Volume vol9@primary-vds0 does not exist", "`ldm list-services`"),
    ("add-vdisk vdisk1 vol1@other ldg3", "Virtual disk server other does not exist", "`ldm list-services`"),
    ("add-vdisk vdisk1 vol1 ldg3", "'vol1' does not name a volume", "vol1@primary-vds0"),
    ("add-vdisk vdisk1 @ ldg3", "'@' does not name a volume", "vol1@primary-vds0"),
    ("add-vnet vnet1 other ldg3", "Virtual switch other does not exist", "`ldm list-services`"),
    ("add-vdsdev /not/there vol3@primary-vds0", "Backend /not/there cannot be used", "sun4v mkdisk"),
    ("remove-vds primary-vds0", "primary-vds0 is in use", "ldg1"),
    ("remove-vsw primary-vsw0", "primary-vsw0 is in use by ldg1", "remove the clients first"),
    ("remove-vcc primary-vcc0", "primary-vcc0 is in use by ldg1", "unbind those domains first"),
    ("remove-vdsdev vol1@primary-vds0", "vol1", "Remedy"),
    ("remove-vdisk other ldg1", "other", ""),
    ("add-vcc port-range=5001-5005 vcc1 primary", "already has a virtual console", "use set-vcc"),
    ("add-vcc port-range=9-1 vcc1 primary", "9-1", ""),
    ("add-vcc port-range=70000-70001 vcc1 primary", "70000", ""),
    ("set-vcons port=7000 ldg3", "", ""),
    ("add-io pci_99 ldg3", "pci_99", ""),
    # variables, configurations
    ("remove-variable nothing ldg3", "nothing", ""),
    ("remove-spconfig nothing", "nothing", ""),
    ("set-spconfig nothing", "nothing", ""),
    ("add-spconfig factory-default", "factory-default", ""),
    ("remove-spconfig factory-default", "factory-default", ""),
    # documents
    ("add-domain -i missing.xml", "missing.xml", ""),
    ("add-domain -i empty.xml", "The XML is malformed: line 1", "correct the document there"),
    ("add-domain -i broken.xml", "The XML is malformed: line 1, column 35", "correct the document there"),
    ("add-domain -i bomb.xml", "The XML has a document type declaration", "entities and DTDs are not read"),
    ("init-system -i broken.xml", "The XML is malformed: line 1, column 35", "correct the document there"),
)
WRONG = ("lst", "add-vcpu", "add-vcpu 3", "add-vcpu 1 2 3", "set-memory -5 ldg3", "list -o colour", "set-memory ldg3",
         "add-vdisk vdisk0 ldg1", "stop-domain", "add-domain colour=red ldg9", "bind-domain --fast ldg3", "list -x -p")
DOCUMENTS = {
    "empty.xml": "", "broken.xml": "<LDM_interface version='1.3'><cmd>",
    "bomb.xml":
        "<!DOCTYPE a [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;&a;'>]><LDM_interface version='1.3'>&b;</LDM_interface>",
}


@pytest.fixture(scope="module")
def manager() -> Manager:
    manager = make_manager("t4-1", "16G")
    machine_of(manager).boot_os(0)
    for line in SETUP.strip().splitlines():
        ldm_ok(manager, line)
    return manager


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in DOCUMENTS.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def all_of(manager: Manager) -> tuple[str, ...]:
    """What `ldm` shows of constraints, services and what is bound."""
    return tuple(ldm_ok(manager, line) for line in ("list-constraints -x", "list-services", "list-bindings -p",
                                                    "list-spconfig"))


@pytest.mark.parametrize(("line", "says", "helps"), REFUSED, ids=[each[0] for each in REFUSED])
def test_refused(manager: Manager, folder: Path, line: str, says: str, helps: str) -> None:
    before, configuration = all_of(manager), manager.configuration
    done = ldm(manager, line)
    assert done.status == 1, done
    assert done.err.strip() and "internal error" not in done.err and "Traceback" not in done.err
    assert says in done.err and helps in done.err, done.err
    assert all_of(manager) == before
    assert manager.configuration == configuration
    assert not any(spec in done.err for spec in ("{", "None", "Error("))


@pytest.mark.parametrize("line", WRONG)
def test_wrong_command_lines(manager: Manager, line: str) -> None:
    configuration = manager.configuration
    done = ldm(manager, line)
    assert done.status == 2 and done.err.startswith("ldm: "), done
    assert manager.configuration is configuration


def test_during_a_delayed_reconfiguration() -> None:
    manager = make_manager("t4-1", "16G")
    machine_of(manager).boot_os(0)
    ldm_ok(manager, "start-reconf primary")
    for line in ("add-domain new", "remove-domain -a"):
        done = ldm(manager, line)
        assert done.status == 1, done
        assert "Domains cannot be added or removed during a delayed reconfiguration" in done.err
        assert "`ldm cancel-reconf primary` forgets them" in done.err
        assert "Notice: LDom primary is in the process of a delayed reconfiguration." in done.out
    ldm_ok(manager, "cancel-reconf primary")
    ldm_ok(manager, "add-domain new")


def test_a_full_disk(manager: Manager) -> None:
    before, database = all_of(manager), manager.store._db
    pages = database.execute("PRAGMA page_count").fetchone()[0]
    database.execute(f"PRAGMA max_page_count={pages}")
    try:
        done = ldm(manager, "set-variable " + " ".join(f"v{n}={'x' * 8000}" for n in range(12)) + " ldg3")
    finally:
        database.execute("PRAGMA max_page_count=1000000")
    assert done.status == 1 and "the configuration could not be written" in done.err, done
    assert "nothing was changed; free some space there and try again" in done.err
    assert all_of(manager) == before


@pytest.fixture
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    shell = Shell(tmp_path_factory.mktemp("e"))
    yield shell
    shell.end()


@pytest.mark.nosan
def test_no_machine(shell: Shell) -> None:
    assert shell.ldm("list", status=1) == "no machine is on; `sun4v power-on NAME` powers one on\n"
    assert shell.ldm("-m", "gamma", "list", status=1) == (
        "Failed to connect to logical domain manager: No such file or directory\n"
        "Cause: there is no machine gamma; there are: none\n"
        "Remedy: give the right name with --machine or in SUN4V_MACHINE, or make it with `sun4v power-on gamma`\n")
    assert "name" in shell.ldm("-m", "../x", "list", status=1)


@pytest.mark.slow
@pytest.mark.nosan
def test_machines_and_managers_that_are_not_there(shell: Shell) -> None:
    for name in ("alpha", "beta"):
        shell.sun4v("power-on", "--platform", "t4-1", "--memory", "8G", name)
    assert shell.ldm("list", status=1) == (
        "several machines are on (alpha, beta): say which with --machine NAME, or in SUN4V_MACHINE\n")
    shell.sun4v("power-off", "beta")
    assert shell.ldm("-m", "beta", "list", status=1) == (
        "Failed to connect to logical domain manager: No such file or directory\n"
        "Cause: the machine beta is off\n"
        "Remedy: `sun4v power-on beta`, or name another with --machine or in SUN4V_MACHINE\n")
    shell.ldm("add-domain", "ldg1")
    before = shell.ldm("list-constraints", "-x")
    shell.kill_ldmd("alpha")
    for words in ("list", "add-domain ldg2", "list-constraints -x"):
        assert shell.ldm(*shlex.split(words), status=1) == (
            "Failed to connect to logical domain manager: Connection refused\n"
            f"Cause: nobody answers on {shell.home}/run/alpha/ldmd.sock\n"
            "Remedy: start ldmd for this machine, or name another with --machine\n")
    shell.run("ldmd.daemon", "--machine", "alpha")
    assert shell.ldm("list-constraints", "-x") == before
