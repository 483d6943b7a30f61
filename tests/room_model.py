"""What must be after commands on a machine room, worked out without anything of ldmd: names, amounts, states, owners.

A `Model` says for a command what the room must look like where it is accepted (`effect`), and where it knows whether it
must be (`verdict`). It knows no placement: which strands, blocks, ports and addresses is ldmd's affair, as long as
nothing is given twice.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

MIB = 1 << 20
UNITS = {"M": MIB, "G": 1 << 30}
FACTORY = "factory-default"
AMOUNTS = {"vcpu": "vcpus", "memory": "memory", "crypto": "crypto"}


@dataclass
class Dom:
    """One domain."""

    name: str
    vcpus: int = 0
    memory: int = 0
    crypto: int = 0
    state: str = "inactive"
    disks: dict[str, str] = field(default_factory=dict)  # -> volume@vds
    nets: dict[str, str] = field(default_factory=dict)  # -> switch
    variables: dict[str, str] = field(default_factory=dict)
    vds: dict[str, set[str]] = field(default_factory=dict)  # -> volumes
    switches: set[str] = field(default_factory=set)
    vccs: set[str] = field(default_factory=set)


@dataclass
class Model:
    """All domains, what is pending for the control domain, and what is saved."""

    strands_per_core: int
    doms: dict[str, Dom] = field(default_factory=dict)
    pending: Dom | None = None
    saved: dict[str, dict[str, Dom]] = field(default_factory=dict)
    next: str = FACTORY

    def target(self, name: str) -> Dom | None:
        """What a change of a domain is a change of."""
        return self.pending if name == "primary" and self.pending is not None else self.doms.get(name)

    def foreseen(self) -> dict[str, Dom]:
        """All domains, with what is pending."""
        return self.doms | ({} if self.pending is None else {"primary": self.pending})

    def owner(self, kind: str, service: str) -> Dom | None:
        """Whose service it is."""
        return next((dom for dom in self.foreseen().values() if service in getattr(dom, kind)), None)

    def verdict(self, command: str, arguments: dict[str, Any]) -> bool | None:
        """True: it must be accepted, False: it must not, None: that depends."""
        name = arguments.get("domain") or (arguments.get("domains") or ["?"])[0]
        dom = self.target(name)
        if command == "add-domain":
            return dom is None and self.pending is None
        if command == "add-vds" and self.owner("vds", arguments["vds"]):
            return False
        if command == "add-vsw" and self.owner("switches", arguments["vswitch"]):
            return False
        if name != "?" and dom is None:
            return False
        running = command.startswith(("stop", "start", "panic"))
        if self.pending is not None and name not in ("primary", "?") and not running:
            return False
        wrong = {"bind-domain": "inactive", "unbind-domain": "bound", "start-domain": "bound", "stop-domain": "active",
                 "panic-domain": "active", "remove-domain": "inactive"}
        if command in wrong and dom is not None and name != "primary":
            return None if dom.state == wrong[command] else False
        return None

    def effect(self, command: str, arguments: dict[str, Any]) -> Model:
        """The room after the command."""
        after = copy.deepcopy(self)
        verb, _, noun = command.partition("-")
        if noun in (*AMOUNTS, "core"):
            after._amount(verb, noun, arguments)
        else:
            getattr(after, "_" + command.replace("-", "_"))(**arguments)
        return after

    def _dom(self, name: str) -> Dom:
        found = self.target(name)
        assert found is not None, f"{name} was accepted, and is not there"
        return found

    def _amount(self, verb: str, noun: str, arguments: dict[str, Any]) -> None:
        dom = self._dom(arguments["domain"])
        text = arguments.get("count") or arguments["size"]
        number = int(text[:-1]) * UNITS[text[-1]] if noun == "memory" else int(text)
        member = AMOUNTS.get(noun, "vcpus")
        if noun == "core":
            number *= self.strands_per_core
        now = getattr(dom, member)
        setattr(dom, member, {"set": number, "add": now + number, "remove": now - number}[verb])

    def _add_domain(self, domains: list[str]) -> None:
        self.doms[domains[0]] = Dom(domains[0])

    def _remove_domain(self, domains: list[str]) -> None:
        del self.doms[domains[0]]

    def _bind_domain(self, domain: str) -> None:
        self.doms[domain].state = "bound"

    def _unbind_domain(self, domain: str) -> None:
        self.doms[domain].state = "inactive"

    def _start_domain(self, domains: list[str]) -> None:
        self.doms[domains[0]].state = "active"

    def _stop_domain(self, domains: list[str], force: bool = False, reboot: bool = False) -> None:
        if domains == ["primary"]:
            self.doms |= {"primary": self.pending or self.doms["primary"]}
            self.pending = None
        elif not reboot:
            self.doms[domains[0]].state = "bound"

    def _panic_domain(self, domain: str) -> None:
        """It comes up again."""

    def _start_reconf(self, domain: str) -> None:
        if domain == "primary" and self.pending is None:
            self.pending = copy.deepcopy(self.doms["primary"])

    def _cancel_reconf(self, domain: str) -> None:
        self.pending = None

    def _set_variable(self, assignments: list[str], domain: str) -> None:
        self._dom(domain).variables |= dict(each.split("=", 1) for each in assignments)

    def _remove_variable(self, names: list[str], domain: str) -> None:
        self._dom(domain).variables.pop(names[0], None)

    def _add_vds(self, vds: str, domain: str) -> None:
        self._dom(domain).vds[vds] = set()

    def _service(self, kind: str, name: str) -> Dom:
        found = self.owner(kind, name)
        assert found is not None, f"{name} was accepted, and is not there"
        return found

    def _remove_vds(self, vds: str, force: bool = False) -> None:
        del self._service("vds", vds).vds[vds]

    def _add_vdsdev(self, backend: str, volume: str, quick: bool) -> None:
        name, vds = volume.split("@")
        self._service("vds", vds).vds[vds].add(name)

    def _remove_vdsdev(self, volume: str, force: bool = False) -> None:
        name, vds = volume.split("@")
        self._service("vds", vds).vds[vds].remove(name)

    def _add_vdisk(self, disk: str, volume: str, domain: str) -> None:
        self._dom(domain).disks[disk] = volume

    def _remove_vdisk(self, disk: str, domain: str) -> None:
        del self._dom(domain).disks[disk]

    def _add_vsw(self, vswitch: str, domain: str) -> None:
        self._dom(domain).switches.add(vswitch)

    def _remove_vsw(self, vswitch: str, force: bool = False) -> None:
        self._service("switches", vswitch).switches.remove(vswitch)

    def _add_vnet(self, vnet: str, vswitch: str, domain: str) -> None:
        self._dom(domain).nets[vnet] = vswitch

    def _remove_vnet(self, vnet: str, domain: str) -> None:
        del self._dom(domain).nets[vnet]

    def _set_vconsole(self, domain: str, port: str) -> None:
        """Ports are checked for being there once."""

    def _add_spconfig(self, config: str) -> None:
        self.saved[config] = {name: copy.deepcopy(dom) for name, dom in self.foreseen().items()}
        self.next = config

    def _set_spconfig(self, config: str) -> None:
        self.next = config

    def _remove_spconfig(self, config: str) -> None:
        del self.saved[config]
        self.next = FACTORY if self.next == config else self.next

    def power_cycle(self) -> Model:
        """After a power-on: what was saved runs, the rest is inactive. Of the factory's control domain no more is said
        than its name."""
        after = copy.deepcopy(self)
        loaded = copy.deepcopy(self.saved.get(self.next, {"primary": Dom("primary", vcpus=-1, state="active")}))
        for dom in loaded.values():
            dom.state = "inactive" if dom.state == "inactive" else "active"
        rest = {name: dom for name, dom in after.doms.items() if name not in loaded}
        there = list(loaded.values())
        for dom in rest.values():  # whoever has a service in what was loaded keeps it
            dom.state = "inactive"
            dom.vds = {name: dom.vds[name] for name in dom.vds if not any(name in each.vds for each in there)}
            dom.switches = {name for name in dom.switches if not any(name in each.switches for each in there)}
            there.append(dom)
        after.doms, after.pending = loaded | rest, None
        return after
