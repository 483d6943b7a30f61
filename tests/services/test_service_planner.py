"""Random sequences of commands about virtual and physical I/O: what is refused changes nothing, and what is done
breaks no invariant, survives the store's codec, and can be exported and read again."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from manager_support import machine_of, make_manager
from services_support import put_guest

from ldmd.model import Configuration, State
from ldmd.model.plain import from_plain, to_plain
from ldmd.planner import iobuses, macs
from ldmd.planner.invariants import problems
from ldmd.planner.reconfiguration import foreseen
from ldmd.xmlif.export import export
from ldmd.xmlif.read import read_documents

STEPS = 120
DOMAINS = ("primary", "ldg1", "ldg2", "svc", "primary", "ldg1", "ldg2", "svc", "nobody")
PF = "/SYS/MB/NET0/IOVNET.PF0"
FLAG = object()

# command -> argument -> what it may be; an argument with None among its choices may be left out
CHOICES: dict[str, dict[str, tuple[Any, ...]]] = {
    "add-vds": {"vds": ("v0", "v1"), "domain": DOMAINS},
    "remove-vds": {"vds": ("v0", "v1"), "force": (None, True)},
    "add-vdsdev": {"backend": ("/dev/a", "/dev/b", "c"), "volume": ("x@v0", "y@v0", "x@v1", "y@v1"), "quick": (True,),
                   "force": (None, True), "options": (None, "ro", "excl", "slice,ro"), "mpgroup": (None, "mp", "mq")},
    "set-vdsdev": {"volume": ("x@v0", "y@v1"), "options": (None, "", "ro"), "mpgroup": (None, "", "mp"),
                   "force": (None, True)},
    "remove-vdsdev": {"volume": ("x@v0", "y@v0", "x@v1"), "force": (None, True)},
    "add-vdisk": {"disk": ("d0", "d1", "d2"), "volume": ("x@v0", "y@v0", "x@v1", "y@v1"), "domain": DOMAINS,
                  "id": (None, "0", "1", "7"), "timeout": (None, "5")},
    "set-vdisk": {"disk": ("d0", "d1"), "domain": DOMAINS, "volume": (None, "x@v1", "y@v0"), "timeout": (None, "9")},
    "remove-vdisk": {"disk": ("d0", "d1", "d2"), "domain": DOMAINS, "force": (None, True)},
    "add-vsw": {"vswitch": ("s0", "s1"), "domain": DOMAINS, "vid": (None, "5,6"), "mtu": (None, "9000"),
                "net-dev": (None, "net0"), "inter-vnet-link": (None, "on", "off"), "id": (None, "0", "3")},
    "set-vsw": {"vswitch": ("s0", "s1"), "vid": (None, "+7", "-5", ""), "pvid": (None, "3", ""),
                "mac-addr": (None, None, "00:14:4f:fc:00:05")},
    "remove-vsw": {"vswitch": ("s0", "s1"), "force": (None, True)},
    "add-vnet": {"vnet": ("n0", "n1", "n2"), "vswitch": ("s0", "s1"), "domain": DOMAINS, "id": (None, "0", "2"),
                 "alt-mac-addrs": (None, "auto", "auto,00:14:4f:fc:00:07"), "pvid": (None, "3"),
                 "vid": (None, "3", "4"),
                 "mac-addr": (None, None, "00:14:4f:fc:00:05", "00:14:4f:f8:00:00")},
    "set-vnet": {"vnet": ("n0", "n1"), "domain": DOMAINS, "vswitch": (None, "s1"), "mac-addr": (None, ""),
                 "alt-mac-addrs": (None, "", "auto,auto"), "maxbw": (None, "1G", "")},
    "remove-vnet": {"vnet": ("n0", "n1", "n2"), "domain": DOMAINS, "force": (None, True)},
    "add-vcc": {"vcc": ("c0", "c1"), "domain": DOMAINS, "port-range": ("5000-5010", "5005-5020", "6000-6001")},
    "set-vcc": {"vcc": ("c0", "guests-vcc0"), "port-range": ("5000-5001", "7000-7001", "7005-7006")},
    "remove-vcc": {"vcc": ("c0", "guests-vcc0"), "force": (None, True)},
    "set-vconsole": {"domain": DOMAINS, "port": (None, "5001", "7009", ""), "group": (None, "g", ""),
                     "log": (None, "off")},
    "add-vsan": {"iport": ("/p/1", "/SYS/MB/SASHBA0/HBA0/PORT1"), "vsan": ("a0", "a1"), "domain": DOMAINS,
                 "quick": (None, True)},
    "remove-vsan": {"vsan": ("a0", "a1")},
    "add-vhba": {"vhba": ("h0", "h1"), "vsan": ("a0", "a1"), "domain": DOMAINS, "id": (None, "0")},
    "remove-vhba": {"vhba": ("h0", "h1"), "domain": DOMAINS, "force": (None, True)},
    "add-io": {"device": ("pci_2", "/SYS/MB/PCIE1", f"{PF}.VF0", f"{PF}.VF1"), "domain": DOMAINS},
    "remove-io": {"device": ("pci_2", "/SYS/MB/PCIE1", f"{PF}.VF0", f"{PF}.VF1"), "domain": DOMAINS},
    "set-io": {"device": ("pci_1", PF, f"{PF}.VF0"), "iov": (None, "on", "off"), "pvid": (None, "4")},
    "create-vf": {"pf": (PF,), "number": ("1", "2", "max")},
    "destroy-vf": {"device": (PF, f"{PF}.VF0"), "number": (None, "1", "max")},
    "bind-domain": {"domain": DOMAINS}, "unbind-domain": {"domain": DOMAINS},
    "start-domain": {"domains": tuple([name] for name in DOMAINS)},
    "stop-domain": {"domains": tuple([name] for name in DOMAINS[1:]), "force": (True,)},
    "cancel-reconf": {"domain": ("primary",)},
}  # fmt: skip


FIRST = (
    ("add-vds", {"vds": "v0", "domain": "primary"}), ("add-vds", {"vds": "v1", "domain": "svc"}),
    ("add-vsw", {"vswitch": "s0", "domain": "primary"}), ("add-vsw", {"vswitch": "s1", "domain": "svc"}),
    ("set-io", {"device": "pci_1", "iov": "on"}), ("stop-domain", {"domains": ["primary"], "reboot": True}),
)  # fmt: skip


def some(rng: Random, command: str) -> dict[str, Any]:
    chosen = {name: rng.choice(values) for name, values in CHOICES[command].items()}
    return {name: value for name, value in chosen.items() if value is not None}


def check(configuration: Configuration) -> None:
    """What must always hold of I/O, besides the invariants of all."""
    for view in (configuration, foreseen(configuration)):
        assert problems(view) == ()
        addresses = [mac for domain in view.domains for mac, _ in macs.domain_macs(domain)]
        assert len(set(addresses)) == len(addresses)
        assert macs.allocate(view, Random(1))[0] not in addresses
        for lists in ("disk_servers", "switches", "vccs", "vsans", "vdpcss"):
            names = [each.name for domain in view.domains for each in getattr(domain, lists)]
            assert len(set(names)) == len(names)
        for domain in view.domains:
            for lists in ("vdisks", "vnets", "vhbas"):
                names = [each.name for each in getattr(domain, lists)]
                assert len(set(names)) == len(names)
        devices = [name for domain in view.domains for name in domain.io]
        assert len(set(devices)) == len(devices)
        owned = [name for name in devices if name.startswith("/") and ".VF" not in name]
        for name in owned:
            device = iobuses.known_device(view, name)
            root = iobuses.bus_owner(view, device.bus)
            assert root is None or name in root.io_without
        for function in view.virtual_functions:
            assert function.pf == PF
    assert from_plain(Configuration, to_plain(configuration)) == configuration
    documents = read_documents(export(configuration.domains))
    assert [each.name for each in documents] == [domain.name for domain in configuration.domains]


@pytest.mark.parametrize("seed", range(4))
def test_random_commands_keep_all_invariants(seed: int) -> None:
    rng = Random(seed)
    manager = make_manager(seed=seed)
    for name, state in (("ldg1", State.BOUND), ("ldg2", State.INACTIVE), ("svc", State.ACTIVE)):
        put_guest(manager, name, state=state)
    if seed % 2:
        machine_of(manager).boot_os(2, "md-update", "dr-vio")
    for command, arguments in FIRST:
        manager.execute(command, arguments)
    commands = [*CHOICES, *(command for command in CHOICES if command.startswith("add-"))]
    done = 0
    for _ in range(STEPS):
        if manager.configuration.pending and rng.random() < 0.6:
            name = manager.configuration.pending[0].domain.name
            manager.execute("stop-domain", {"domains": [name]} | (
                {"reboot": True} if name == "primary" else {"force": True}))  # fmt: skip
        command = rng.choice(commands)
        before, arguments = manager.configuration, some(rng, command)
        outcome = manager.execute(command, arguments)
        where = f"seed {seed}: {command} {arguments}"
        if outcome.error is not None:
            assert outcome.error.code not in ("internal", "manager.conflict"), f"{where}: {outcome.error}"
            assert outcome.error.text
            changed = manager.configuration != before
            assert not changed or outcome.error.code == "stop.failed", where
        else:
            done += 1
        check(manager.configuration)
    assert done > STEPS // 12
