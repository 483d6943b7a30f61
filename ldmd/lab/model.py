"""What a lab's file says, as frozen data. Names of properties are those of `ldm`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from emulator.faults.rules import Plan

Properties = tuple[tuple[str, str], ...]
"""``(("mtu", "9000"),)``: as they are written on ldm's command line."""


@dataclass(frozen=True, kw_only=True)
class Volume:
    """What a virtual disk server exports. One of `file`, `image`, `copy`, `size` says where it comes from."""

    name: str
    file: Path | None = None  # used as it is, and written to
    image: Path | None = None  # never written: what the lab writes goes to an overlay of its own
    copy: Path | None = None  # copied for the lab, which leaves it alone
    size: str = ""  # a new disk of that size
    boot: Path | None = None  # with `size`: the program OpenBoot boots from it
    properties: Properties = ()


@dataclass(frozen=True, kw_only=True)
class Service:
    """A virtual switch or console concentrator."""

    name: str
    properties: Properties


@dataclass(frozen=True, kw_only=True)
class DiskServer:
    """A virtual disk server and its volumes."""

    name: str
    volumes: tuple[Volume, ...]


@dataclass(frozen=True, kw_only=True)
class Device:
    """A virtual disk or network of a domain, and the volume or switch behind it."""

    name: str
    source: str
    properties: Properties


@dataclass(frozen=True, kw_only=True)
class LabDomain:
    """A domain. The control domain is there already: it is only changed."""

    name: str
    properties: Properties = ()  # of add-domain
    cores: int | None = None
    vcpus: int | None = None
    memory: str = ""
    crypto: int | None = None
    concentrators: tuple[Service, ...] = ()
    switches: tuple[Service, ...] = ()
    disk_servers: tuple[DiskServer, ...] = ()
    disks: tuple[Device, ...] = ()
    networks: tuple[Device, ...] = ()
    console: Properties = ()
    io: tuple[str, ...] = ()
    variables: Properties = ()
    commands: tuple[str, ...] = ()  # of ldm, before the domain is bound
    bind: bool = True
    start: bool = True


@dataclass(frozen=True, kw_only=True)
class LabServer:
    """A server and its domains, the control domain first."""

    name: str
    platform: str
    memory: str = ""
    deterministic: bool = False
    engine: str = ""  # power-on --engine; "": as the machine comes
    networks: Properties = ()  # network devices and what they are plugged into: power-on --net
    domains: tuple[LabDomain, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Lab:
    """All of it. `text` is the file."""

    name: str
    servers: tuple[LabServer, ...]
    text: str
    faults: Plan | None = None  # armed once everything is up
