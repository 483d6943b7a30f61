"""All that the manager of one server knows, as one immutable value."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ldmd.model.domain import PRIMARY, Domain
from ldmd.model.services import DiskServer, Vcc, Vsan, Vsw


@dataclass(frozen=True, kw_only=True)
class Server:
    """The hardware. `platform`: a name of the catalogue; `platform_toml`: the text of a custom server's file, or ""."""

    name: str
    platform: str
    memory_bytes: int
    platform_toml: str = ""


@dataclass(frozen=True, kw_only=True)
class VirtualFunction:
    """An SR-IOV virtual function that `create-vf` made on a physical function."""

    name: str  # "/SYS/MB/NET0/IOVNET.PF0.VF0"
    pf: str
    kind: str = "NETWORK"  # "NETWORK", "FIBRECHANNEL", "INFINIBAND"
    properties: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Pending:
    """A delayed reconfiguration: the domain as it will be after its next reboot."""

    domain: Domain
    removed_io_services: bool = False
    """A remove-* of virtual I/O is part of it: it cannot be cancelled."""


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """Server, domains (the control domain is the first), virtual functions. Never changed in place."""

    server: Server
    domains: tuple[Domain, ...]
    virtual_functions: tuple[VirtualFunction, ...] = ()
    iov_buses: tuple[str, ...] = ()  # buses with iov=on
    pf_properties: tuple[tuple[str, str], ...] = ()  # ("/SYS/..PF0 mtu", "9000") of set-io
    freed_macs: tuple[int, ...] = ()  # given out before, preferred; the latest last, at most 256
    pending: tuple[Pending, ...] = ()
    spconfig: str = "factory-default"  # the one that was loaded or saved last
    next_poweron: str = "factory-default"

    def find(self, name: str) -> Domain | None:
        """A domain by name."""
        return next((domain for domain in self.domains if domain.name == name), None)

    def pending_for(self, name: str) -> Pending | None:
        """The delayed reconfiguration of a domain."""
        return next((each for each in self.pending if each.domain.name == name), None)

    @property
    def primary(self) -> Domain:
        """The control domain."""
        return self.domains[0]

    @property
    def guests(self) -> tuple[Domain, ...]:
        """All other domains."""
        return tuple(domain for domain in self.domains if domain.name != PRIMARY)

    def with_domain(self, domain: Domain) -> Configuration:
        """With this domain in the place of the one of its name, or as the last one."""
        if self.find(domain.name) is None:
            return replace(self, domains=(*self.domains, domain))
        return replace(self, domains=tuple(domain if each.name == domain.name else each for each in self.domains))

    def without_domain(self, name: str) -> Configuration:
        """Without a domain."""
        return replace(self, domains=tuple(each for each in self.domains if each.name != name))

    def but(self, **changes: Any) -> Configuration:
        """The same with some fields changed."""
        return replace(self, **changes)

    # -- services, by name, with the domain that has them

    def disk_servers(self) -> Iterator[tuple[Domain, DiskServer]]:
        """All virtual disk servers."""
        return ((domain, service) for domain in self.domains for service in domain.disk_servers)

    def switches(self) -> Iterator[tuple[Domain, Vsw]]:
        """All virtual switches."""
        return ((domain, service) for domain in self.domains for service in domain.switches)

    def vccs(self) -> Iterator[tuple[Domain, Vcc]]:
        """All console concentrators."""
        return ((domain, service) for domain in self.domains for service in domain.vccs)

    def vsans(self) -> Iterator[tuple[Domain, Vsan]]:
        """All virtual storage area networks."""
        return ((domain, service) for domain in self.domains for service in domain.vsans)

    def find_vds(self, name: str) -> tuple[Domain, DiskServer] | None:
        """A virtual disk server by name."""
        return next((pair for pair in self.disk_servers() if pair[1].name == name), None)

    def find_vsw(self, name: str) -> tuple[Domain, Vsw] | None:
        """A virtual switch by name."""
        return next((pair for pair in self.switches() if pair[1].name == name), None)

    def find_vcc(self, name: str) -> tuple[Domain, Vcc] | None:
        """A console concentrator by name."""
        return next((pair for pair in self.vccs() if pair[1].name == name), None)

    def find_vsan(self, name: str) -> tuple[Domain, Vsan] | None:
        """A virtual storage area network by name."""
        return next((pair for pair in self.vsans() if pair[1].name == name), None)
