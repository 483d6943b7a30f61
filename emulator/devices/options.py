"""Disks and networks as a command line writes them: a value, then words behind commas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from emulator.devices.capture import Capture
from emulator.devices.lab import DiskSpec, NetSpec
from emulator.devices.switch import MAX_VLAN, Switch
from emulator.devices.vdisk import DiskOptions, Medium
from emulator.errors import ConfigError

DISK_USAGE = "FILE[,ro|,cow|,overlay=FILE][,sync][,slice][,cd][,name=NAME]"
NET_USAGE = "WORD[,WORD ...] of: default, mac=MAC, vlan=N, name=NAME, capture=FILE"


def parse_disk(text: str) -> DiskSpec:
    """``disk.img,cow``: see DISK_USAGE. A comma of the file's name is written twice. Raises ConfigError."""
    path, *words = (part.replace("\0", ",") for part in text.replace(",,", "\0").split(","))
    if not path:
        raise ConfigError(f"--disk {text}: a file is missing ({DISK_USAGE})")
    flags = {word for word in words if "=" not in word}
    values = dict(word.split("=", 1) for word in words if "=" in word)
    if unknown := (flags - {"ro", "cow", "sync", "slice", "cd"}) | (values.keys() - {"overlay", "name"}):
        raise ConfigError(f"--disk {text}: unknown: {', '.join(sorted(unknown))} ({DISK_USAGE})")
    if "ro" in flags and ("cow" in flags or "overlay" in values):
        raise ConfigError(f"--disk {text}: a read-only disk has no overlay")
    options = DiskOptions(
        slice="slice" in flags, write_through="sync" in flags, medium=Medium.CD if "cd" in flags else None
    )
    return DiskSpec(
        path, name=values.get("name", ""), read_only="ro" in flags, copy_on_write="cow" in flags,
        overlay=values.get("overlay"), options=options,
    )  # fmt: skip


@dataclass(frozen=True)
class NetWords:
    """A network of a command line."""

    mac: int | None = None
    vlan: int | None = None
    name: str = ""
    capture: str | None = None


def parse_net(text: str) -> NetWords:
    """``mac=00:14:4f:f8:00:07,capture=f.pcapng``: see NET_USAGE. Raises ConfigError."""
    words = [word for word in text.split(",") if word != "default"]
    values = dict(word.partition("=")[::2] for word in words)
    if unknown := values.keys() - {"mac", "vlan", "name", "capture"}:
        raise ConfigError(f"--net {text}: unknown: {', '.join(sorted(unknown))} ({NET_USAGE})")
    mac = parse_mac(values["mac"]) if "mac" in values else None
    vlan = None
    if "vlan" in values:
        vlan = int(values["vlan"]) if values["vlan"].isdecimal() else 0
        if not 1 <= vlan <= MAX_VLAN:
            raise ConfigError(f"--net {text}: VLANs are 1 to {MAX_VLAN}")
    return NetWords(mac, vlan, values.get("name", ""), values.get("capture"))


def parse_mac(text: str) -> int:
    """``00:14:4f:f8:00:07``, leading zeros may be left out. Raises ConfigError."""
    parts = text.split(":")
    try:
        numbers = [int(part, 16) for part in parts]
    except ValueError:
        numbers = []
    if len(numbers) != 6 or not all(0 <= number <= 0xFF for number in numbers) or numbers[0] & 1:
        raise ConfigError(f"not the MAC address of a station: {text}")
    return int.from_bytes(bytes(numbers), "big")


def make_nets(words: Sequence[NetWords], switch: Switch) -> tuple[list[NetSpec], list[Capture]]:
    """Specifications of networks on one switch, and the captures to close. Raises OSError for a capture's file."""
    captures: dict[str, Capture] = {}
    specs = []
    for each in words:
        if each.capture is not None and each.capture not in captures:
            captures[each.capture] = Capture(each.capture)
        capture = captures[each.capture] if each.capture is not None else None
        specs.append(NetSpec(switch, each.mac, each.name, each.vlan, capture=capture))
    return specs, list(captures.values())
