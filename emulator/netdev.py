"""Where the physical network devices of a machine are plugged in: ``--net net0=lan``, machine.toml, a lab's file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from emulator.errors import ConfigError

DEVICE_LETTERS, NETWORK_LETTERS, TAP_LETTERS = 32, 32, 15
NETWORK, NONE, PASST, STREAM, TAP = "network", "none", "passt", "stream", "tap"
FORMS = "NETWORK, none, passt:SOCKET, stream:HOST:PORT, tap:NAME"
MAX_DEVICES = 64
_DEVICE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
_NETWORK = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_TAP = re.compile(r"[A-Za-z0-9_.-]+")


@dataclass(frozen=True)
class Outlet:
    """Where a device is plugged in. `target`: name of a lab network or TAP device, path of a socket, HOST:PORT."""

    kind: str
    target: str = ""

    def __str__(self) -> str:
        """As a person writes it."""
        if self.kind == NONE:
            return NONE
        return self.target if self.kind == NETWORK else f"{self.kind}:{self.target}"

    @property
    def outward(self) -> bool:
        """Does it lead to something that is no machine of the lab?"""
        return self.kind in (PASST, STREAM, TAP)

    @property
    def host_port(self) -> tuple[str, int]:
        """Of a stream."""
        host, _, port = self.target.rpartition(":")
        return host.strip("[]"), int(port)


def check_device(name: str) -> str:
    """The name of a network device, as net0 or aggr1. Raises ConfigError."""
    if len(name) > DEVICE_LETTERS or not _DEVICE.fullmatch(name):
        raise ConfigError(f"{name!r} is no name of a network device; they are called net0, net1, aggr0, ...")
    return name


def parse_outlet(text: str) -> Outlet:
    """One of FORMS. Raises ConfigError."""
    kind, colon, target = text.partition(":")
    if not colon:
        if text == NONE:
            return Outlet(NONE)
        if len(text) > NETWORK_LETTERS or not _NETWORK.fullmatch(text):
            raise ConfigError(f"{text!r} is no network: at most {NETWORK_LETTERS} letters, digits, any of - _ .")
        return Outlet(NETWORK, text)
    if kind == PASST and target and "\0" not in target:
        return Outlet(PASST, target)
    if kind == STREAM:
        host, _, port = target.rpartition(":")
        if host and port.isascii() and port.isdecimal() and 1 <= int(port) <= 65535:
            return Outlet(STREAM, target)
        raise ConfigError(f"{text!r}: a stream is written stream:HOST:PORT")
    if kind == TAP and len(target) <= TAP_LETTERS and _TAP.fullmatch(target):
        return Outlet(TAP, target)
    raise ConfigError(f"{text!r} is no place to plug a network device in; there are {FORMS}")


def parse_plan(pairs: Mapping[str, str]) -> dict[str, Outlet]:
    """Devices and where they are plugged in. Raises ConfigError, also where two share what only one can have."""
    if len(pairs) > MAX_DEVICES:
        raise ConfigError(f"at most {MAX_DEVICES} network devices can be plugged in")
    plan = {check_device(device): parse_outlet(text) for device, text in pairs.items()}
    taken: dict[Outlet, str] = {}
    for device, outlet in plan.items():
        if outlet.outward and outlet in taken:
            raise ConfigError(f"{outlet}: only one of {taken[outlet]} and {device} can be plugged in there")
        taken[outlet] = device
    return plan


def parse_words(words: Iterable[str]) -> dict[str, str]:
    """``["net0=lan"]`` as {"net0": "lan"}. Raises ConfigError."""
    pairs: dict[str, str] = {}
    for word in words:
        device, equals, text = word.partition("=")
        if not equals:
            raise ConfigError(f"{word!r}: write DEVICE=OUTLET, as net0=lan; outlets are {FORMS}")
        if device in pairs:
            raise ConfigError(f"{device} is plugged in twice")
        parse_plan({device: text})
        pairs[device] = text
    parse_plan(pairs)
    return pairs
